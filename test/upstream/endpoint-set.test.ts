import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer, Lookup, LookupService, ServiceRecord } from "../../src/upstream/discovery.ts";
import type { Discovery, EndpointListener } from "../../src/upstream/endpoint-source.ts";
import { createUpstream, type Upstream } from "../../src/upstream/upstream.ts";
import { FakeTransport, FakeWaiter, fakeCall } from "./fake-dial.ts";

const call = fakeCall();
let transport: FakeTransport;
let open: Upstream[];
let lines: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  transport = new FakeTransport();
  open = [];
  lines = [];
});
afterEach(() => {
  for (const upstream of open) upstream.close();
  vi.useRealTimers();
});

const settled = () => vi.advanceTimersByTimeAsync(0);
const note = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
const log = { level: "info", debug: () => {}, info: note("info"), warn: note("warn"), error: note("error") };

interface Names {
  lookup?: Lookup;
  lookupService?: LookupService;
}

function upstreamOf(endpoints: string[] | Discovery, names: Names = {}): Upstream {
  const upstream = createUpstream({ name: "users", endpoints, log }, { dial: transport.dial, ...names });
  open.push(upstream);
  return upstream;
}

function acquire(upstream: Upstream): FakeWaiter {
  const waiter = new FakeWaiter();
  upstream.acquire(call, waiter);
  return waiter;
}

const addressesOf = (upstream: Upstream) => upstream.endpoints.map(({ address }) => address);

/** Names whose answers the test changes. */
function directory(hosts: Record<string, Answer>, services: Record<string, ServiceRecord[]> = {}) {
  const asked: string[] = [];
  const find = async <T>(from: Record<string, T>, name: string): Promise<T> => {
    asked.push(name);
    const found = from[name];
    if (found === undefined) throw new Error(`ENOTFOUND ${name}`);
    return found;
  };
  const lookup: Lookup = (host) => find(hosts, host);
  const lookupService: LookupService = (name) => find(services, name);
  return { asked, lookup, lookupService };
}

describe("a name", () => {
  it("is asked for when its answer is out of date, while calls come", async () => {
    const hosts: Record<string, Answer> = { "users.example": { addresses: ["10.1.0.1"], ttlMs: 1_000 } };
    const names = directory(hosts);
    const upstream = upstreamOf(["http://users.example:1"], names);
    acquire(upstream);
    await settled();
    hosts["users.example"] = { addresses: ["10.1.0.2"], ttlMs: 60_000 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(addressesOf(upstream)).toEqual(["10.1.0.2:1"]);
    await vi.advanceTimersByTimeAsync(25_000);
    acquire(upstream);
    expect(names.asked.length).toBe(2);
  });

  it("is asked for again also when calls come anew right after it was last asked for", async () => {
    const hosts: Record<string, Answer> = { "users.example": { addresses: ["10.1.0.1"], ttlMs: 29_700 } };
    const names = directory(hosts);
    const upstream = upstreamOf(["http://users.example:1"], names);
    acquire(upstream);
    await vi.advanceTimersByTimeAsync(60_000); // of which nobody has called in the second half
    expect(names.asked.length).toBe(3);
    acquire(upstream);
    hosts["users.example"] = { addresses: ["10.1.0.2"], ttlMs: 60_000 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(addressesOf(upstream)).toEqual(["10.1.0.2:1"]);
  });

  it("that is disabled stays so at another address; one address of several is meant alone", async () => {
    const hosts: Record<string, Answer> = { "users.example": { addresses: ["10.1.0.1"], ttlMs: 1_000 } };
    const upstream = upstreamOf(["http://users.example:1"], directory(hosts));
    acquire(upstream);
    await settled();
    upstream.endpoints[0]!.enabled = false;
    hosts["users.example"] = { addresses: ["10.1.0.2", "10.1.0.3"], ttlMs: 1_000 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(upstream.endpoints.map(({ enabled }) => enabled)).toEqual([false, false]);
    upstream.endpoints[0]!.enabled = true;
    hosts["users.example"] = { addresses: ["10.1.0.3", "10.1.0.4"], ttlMs: 1_000 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(upstream.endpoints.map(({ enabled }) => enabled)).toEqual([false, true]);
  });

  it("keeps its last good answer, tells of the failure once, and is asked again every 5 s", async () => {
    const hosts: Record<string, Answer> = { "users.example": { addresses: ["10.1.0.1"], ttlMs: 2_000 } };
    const names = directory(hosts);
    const upstream = upstreamOf(["http://users.example:1"], names);
    acquire(upstream);
    await settled();
    delete hosts["users.example"];
    await vi.advanceTimersByTimeAsync(12_000);
    expect(addressesOf(upstream)).toEqual(["10.1.0.1:1"]);
    expect(names.asked.length).toBe(4);
    hosts["users.example"] = { addresses: ["10.1.0.2"], ttlMs: 60_000 };
    await vi.advanceTimersByTimeAsync(5_000);
    expect(addressesOf(upstream)).toEqual(["10.1.0.2:1"]);
    expect(lines).toEqual(["warn name can't be resolved", "info name resolves again"]);
  });

  it.each([
    [0, 1_000],
    [undefined, 30_000],
    [86_400_000, 300_000],
  ])("with a time to live of %s ms is asked for after %s ms", async (ttlMs, nextMs) => {
    const names = directory({ "users.example": { addresses: ["10.1.0.1"], ttlMs } });
    const upstream = upstreamOf(["http://users.example:1"], names);
    acquire(upstream);
    await settled();
    for (let left = nextMs - 1; left > 0; left -= 10_000) {
      await vi.advanceTimersByTimeAsync(Math.min(left, 10_000));
      acquire(upstream);
    }
    expect(names.asked.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(names.asked.length).toBe(2);
  });
});

describe("a service by SRV records", () => {
  const name = "_grpc._tcp.users.example";
  const at = (addresses: string[], ttlMs = 30_000): Answer => ({ addresses, ttlMs });

  it("has an endpoint for each address of each host, with the records' ports, priorities and weights", async () => {
    const names = directory(
      { "a.example": at(["10.1.0.1", "10.1.0.2"]) },
      {
        [name]: [
          { host: "a.example", port: 1, priority: 0, weight: 5 },
          { host: "10.2.0.1", port: 2, priority: 10, weight: 0 },
        ],
      },
    );
    const upstream = upstreamOf([`dns+srv://${name}`], names);
    acquire(upstream);
    await settled();
    expect(upstream.endpoints.map(({ name, address }) => [name, address])).toEqual([
      ["a.example:1", "10.1.0.1:1"],
      ["a.example:1", "10.1.0.2:1"],
      ["10.2.0.1:2", "10.2.0.1:2"],
    ]);
  });

  it("shows the name of the service's domain over TLS, not that of a record", async () => {
    const names = directory(
      { "a.example": at(["10.1.0.1"]) },
      { [name]: [{ host: "a.example", port: 1, priority: 0, weight: 1 }] },
    );
    acquire(upstreamOf([`dns+srv+tls://${name}`], names));
    await settled();
    expect(transport.one().options).toMatchObject({
      addresses: ["10.1.0.1"],
      port: 1,
      tls: { serverName: "users.example" },
    });
  });

  it("keeps what is known of a host that fails to resolve, while the others change", async () => {
    const hosts: Record<string, Answer> = { "a.example": at(["10.1.0.1"], 1_000), "b.example": at(["10.1.0.2"]) };
    const records = ["a.example", "b.example"].map((host) => ({ host, port: 1, priority: 0, weight: 1 }));
    const upstream = upstreamOf([`dns+srv://${name}`], directory(hosts, { [name]: records }));
    acquire(upstream);
    await settled();
    const kept = upstream.endpoints[0];
    delete hosts["a.example"];
    hosts["b.example"] = at(["10.1.0.3"]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(addressesOf(upstream)).toEqual(["10.1.0.1:1", "10.1.0.3:1"]);
    expect(upstream.endpoints[0]).toBe(kept);
  });
});

describe("a source of endpoints", () => {
  function source() {
    const seen = { listener: undefined as EndpointListener | undefined, started: 0, closed: 0 };
    const discovery: Discovery = (listener) => {
      seen.listener = listener;
      seen.started++;
      return { close: () => void seen.closed++ };
    };
    return { seen, discovery };
  }

  it("starts with the first call, which waits for it", async () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery);
    expect(seen.started).toBe(0);
    const waiter = acquire(upstream);
    expect([seen.started, waiter.told]).toEqual([1, 0]);
    seen.listener!.onEndpoints(["http://10.0.0.1:1", { url: "http://10.0.0.2:1", name: "two" }]);
    for (const dial of transport.take()) dial.open();
    expect(waiter.connection).toBeDefined();
    expect(upstream.endpoints.map(({ name }) => name)).toEqual(["10.0.0.1:1", "two"]);
    await vi.advanceTimersByTimeAsync(300_000);
    acquire(upstream);
    expect(seen.started).toBe(1);
    upstream.close();
    expect(seen.closed).toBe(1);
  });

  it("changes the set: what stays keeps its connections, what goes finishes its calls", () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery);
    acquire(upstream);
    seen.listener!.onEndpoints(["http://10.0.0.1:1", "http://10.0.0.2:1"]);
    acquire(upstream);
    acquire(upstream);
    const [first, second] = transport.take().map((dial) => dial.open());
    const kept = upstream.endpoints[1];
    seen.listener!.onEndpoints(["http://10.0.0.3:1", "http://10.0.0.2:1"]);
    expect(addressesOf(upstream)).toEqual(["10.0.0.3:1", "10.0.0.2:1"]);
    expect(upstream.endpoints[1]).toBe(kept);
    expect([first?.shutdowns, second?.shutdowns]).toEqual([1, 0]);
    seen.listener!.onEndpoints([]);
    expect(acquire(upstream).error?.message).toContain("no endpoint");
  });

  it("that fails leaves the last set, and says so once", () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery);
    acquire(upstream);
    seen.listener!.onEndpoints(["http://10.0.0.1:1"]);
    for (let at = 0; at < 3; at++) seen.listener!.onFailed(new Error("gone"));
    expect(addressesOf(upstream)).toEqual(["10.0.0.1:1"]);
    seen.listener!.onEndpoints(["http://10.0.0.1:1"]);
    expect(lines).toEqual(["warn discovery failed: endpoints stay", "info discovery works again"]);
  });

  it("whose failure is over isn't named as the cause any more", () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery);
    acquire(upstream);
    seen.listener!.onFailed(new Error("forbidden"));
    seen.listener!.onEndpoints([]);
    expect(acquire(upstream).error?.cause).toBeUndefined();
  });

  it("tells of an endpoint in other words, that is disabled: it stays so", () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery);
    acquire(upstream);
    const url = "http://10.0.0.1:1";
    seen.listener!.onEndpoints([{ url, name: "one" }, "http://10.0.0.2:1"]);
    upstream.endpoints[0]!.enabled = false;
    seen.listener!.onEndpoints([{ url, name: "one", weight: 2 }, "http://10.0.0.3:1"]);
    expect(upstream.endpoints.map(({ enabled }) => enabled)).toEqual([false, true]);
  });

  it("that tells nothing makes calls unavailable at the connect timeout, or when it fails", async () => {
    const silent = acquire(upstreamOf(source().discovery));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(silent.error?.message).toContain("upstream unavailable");
    const { seen, discovery } = source();
    const failed = acquire(upstreamOf(discovery));
    seen.listener!.onFailed(new Error("forbidden"));
    expect(failed.error?.message).toContain("upstream unavailable");
    expect(failed.error?.message).not.toContain("forbidden");
  });

  it("may tell of names, which are resolved", async () => {
    const { seen, discovery } = source();
    const upstream = upstreamOf(discovery, directory({ "users.example": { addresses: ["10.1.0.1"], ttlMs: 1_000 } }));
    const waiter = acquire(upstream);
    seen.listener!.onEndpoints(["http://users.example:1"]);
    await settled();
    transport.one().open();
    expect(waiter.connection).toBeDefined();
    expect(() => seen.listener!.onEndpoints(["users.example"])).toThrow('"users.example"');
    expect(addressesOf(upstream)).toEqual(["10.1.0.1:1"]);
  });
});
