import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffDelay, defaultBackoff } from "../../src/upstream/backoff.ts";
import { hostPort, parseTarget } from "../../src/upstream/target.ts";

describe("backoffDelay()", () => {
  it.each([
    [1, 1_000],
    [2, 1_600],
    [3, 2_560],
    [11, 109_951],
    [12, 120_000],
    [10_000, 120_000],
  ])("is, after %s failures, %s ms in the middle", (failures, ms) => {
    expect(Math.round(backoffDelay(failures, 0.5))).toBe(ms);
  });

  it("stays within the jitter", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.double({ min: 0, max: 0.999_999, noNaN: true }),
        (failures, random) => {
          const middle = backoffDelay(failures, 0.5);
          const delay = backoffDelay(failures, random);
          expect(delay).toBeGreaterThanOrEqual(middle * 0.8 - 1e-6);
          expect(delay).toBeLessThanOrEqual(middle * 1.2 + 1e-6);
          expect(delay).toBeLessThanOrEqual(defaultBackoff.maxMs * 1.2);
        },
      ),
    );
  });
});

describe("parseTarget()", () => {
  it.each([
    ["http://10.0.0.1:50051", "10.0.0.1:50051", "10.0.0.1", 50_051, false, ["10.0.0.1"]],
    ["https://10.0.0.1", "10.0.0.1:443", "10.0.0.1", 443, true, ["10.0.0.1"]],
    ["http://[fd00::1]:80/", "[fd00::1]:80", "fd00::1", 80, false, ["fd00::1"]],
    ["HTTPS://Users.Example:8443", "users.example:8443", "users.example", 8_443, true, undefined],
    ["http://localhost:1", "localhost:1", "localhost", 1, false, ["127.0.0.1", "::1"]],
    ["http://a.localhost:1", "a.localhost:1", "a.localhost", 1, false, ["127.0.0.1", "::1"]],
    ["http://127.1:9", "127.0.0.1:9", "127.0.0.1", 9, false, ["127.0.0.1"]],
  ])("reads %j", (url, name, host, port, secure, addresses) => {
    expect(parseTarget(url)).toMatchObject({ name, host, port, secure, serverName: undefined, addresses });
  });

  it("takes name and server name as they are given", () => {
    const target = parseTarget({ name: "node-1", url: "https://10.0.1.1", serverName: "node.example" });
    expect(target).toMatchObject({ name: "node-1", serverName: "node.example" });
  });

  it.each([
    "",
    "10.0.0.1:50051",
    "localhost:50051",
    "ftp://a",
    "unix:///run/a.sock",
    "http://",
    "http://a:99999",
    "http://a:0",
    "http://a/path",
    "http://a/?q",
    "http://a#f",
    "http://user:secret@a",
    "http://a b",
  ])("refuses %j and names it", (url) => {
    expect(() => parseTarget(url)).toThrow(`invalid endpoint "${url}"`);
  });
});

describe("hostPort()", () => {
  it("puts IPv6 into brackets", () => {
    expect([hostPort("10.0.0.1", 1), hostPort("::1", 2)]).toEqual(["10.0.0.1:1", "[::1]:2"]);
  });
});
