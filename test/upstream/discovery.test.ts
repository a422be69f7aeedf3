import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLookups } from "../../src/upstream/discovery.ts";
import { type DnsServer, setAddresses, startDnsServer } from "../support/dns-server.ts";

let dns: DnsServer;

beforeEach(async () => {
  dns = await startDnsServer();
});
afterEach(() => dns.close());

function srv(target: string, port: number, priority = 0, weight = 1) {
  return { type: "SRV" as const, name: "_grpc._tcp.users.test", ttl: 1, data: { target, port, priority, weight } };
}

describe("createLookups()", () => {
  it("finds addresses of both kinds, and the shortest time that one is good", async () => {
    setAddresses(dns, "users.test", ["10.0.0.1", "10.0.0.2"], 7);
    dns.records.set("AAAA users.test", [{ type: "AAAA", name: "users.test", ttl: 3, data: "fd00::1" }]);
    const { lookup } = createLookups({ servers: [dns.address] });
    const answer = { addresses: ["10.0.0.1", "10.0.0.2", "fd00::1"], ttlMs: 3_000 };
    expect(await lookup("users.test")).toEqual(answer);
  });

  it("asks anew each time", async () => {
    setAddresses(dns, "users.test", ["10.0.0.1"], 3_600);
    const { lookup } = createLookups({ servers: [dns.address] });
    await lookup("users.test");
    setAddresses(dns, "users.test", ["10.0.0.2"], 3_600);
    expect(await lookup("users.test")).toMatchObject({ addresses: ["10.0.0.2"] });
  });

  it("rejects what isn't there, and what has no address", async () => {
    dns.records.set("TXT empty.test", []);
    const { lookup, lookupService } = createLookups({ servers: [dns.address] });
    await expect(lookup("none.test")).rejects.toMatchObject({ code: "ENOTFOUND" });
    await expect(lookup("empty.test")).rejects.toMatchObject({ code: "ENODATA" });
    await expect(lookupService("_grpc._tcp.none.test")).rejects.toMatchObject({ code: "ENOTFOUND" });
  });

  it("finds the records of a service", async () => {
    dns.records.set("SRV _grpc._tcp.users.test", [srv("a.test", 50_051), srv("b.test", 50_052, 1, 9)]);
    const { lookupService } = createLookups({ servers: [dns.address] });
    const found = await lookupService("_grpc._tcp.users.test");
    expect([...found].sort((a, b) => a.port - b.port)).toEqual([
      { host: "a.test", port: 50_051, priority: 0, weight: 1 },
      { host: "b.test", port: 50_052, priority: 1, weight: 9 },
    ]);
    dns.records.set("SRV _grpc._tcp.users.test", [srv(".", 0)]);
    await expect(lookupService("_grpc._tcp.users.test")).rejects.toThrow("has no hosts");
  });

  it("asks the system unless told otherwise, which knows the hosts file", async () => {
    const answer = await createLookups().lookup("localhost");
    const addresses = "addresses" in answer ? answer.addresses : answer;
    expect(addresses.some((address) => address === "127.0.0.1" || address === "::1")).toBe(true);
  });

  it("refuses a server that isn't an address, and names it", () => {
    expect(() => createLookups({ servers: ["dns.example"] })).toThrow("dns.example");
  });
});
