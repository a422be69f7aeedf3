import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Call } from "../../src/call.ts";
import { compileMatch, type Match } from "../../src/route/match.ts";
import { fakeCall } from "../upstream/fake-dial.ts";

function matches(match: Match | undefined, call: Call): boolean {
  const compiled = compileMatch(match);
  return compiled.matchesPath(call.service, call.method) && (compiled.matchesCall?.(call) ?? true);
}

describe("service", () => {
  it.each([
    ["acme.users.v1.Users", "acme.users.v1.Users", true],
    ["acme.users.v1.Users", "acme.users.v1.users", false],
    ["acme.users.v1.Users", "acme.users.v1.Users2", false],
    ["acme.*", "acme.Users", true],
    ["acme.*", "acme.users.v1.Users", true],
    ["acme.*", "acme", false],
    ["acme.*", "acmeevil.Users", false],
    ["acme.*", "other.acme.Users", false],
    ["*", "anything.at.All", true],
  ])("%j on %s: %s", (service, name, expected) => {
    expect(matches({ service }, fakeCall({ path: `/${name}/Get` }))).toBe(expected);
  });

  it.each(["", "*.acme", "ac*me", "acme*", "acme.**", "a/b", ".*", "a b", "a%2e"])(
    "refuses %j and names it",
    (service) => {
      expect(() => compileMatch({ service })).toThrow(`invalid service "${service}"`);
    },
  );

  it('"prefix.*" matches what begins with the prefix, and nothing else', () => {
    const name = fc.string({ unit: fc.constantFrom("a", "b", "."), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(name, name, (prefix, service) => {
        fc.pre(prefix !== ".");
        const match = compileMatch({ service: `${prefix}.*` });
        expect(match.matchesPath(service, "Get")).toBe(service.startsWith(`${prefix}.`));
      }),
    );
  });
});

describe("method", () => {
  it.each([
    ["acme.Users/Get", "/acme.Users/Get", true],
    ["/acme.Users/Get", "/acme.Users/Get", true],
    ["acme.Users/Get", "/acme.Users/GetAll", false],
    ["acme.Users/Get*", "/acme.Users/GetAll", true],
    ["acme.Users/*", "/acme.Users/Put", true],
    ["acme.*/Get", "/acme.v1.Users/Get", true],
    ["*/Check", "/grpc.health.v1.Health/Check", true],
    ["*/Check", "/grpc.health.v1.Health/Watch", false],
  ])("%j on %s: %s", (method, path, expected) => {
    expect(matches({ method }, fakeCall({ path }))).toBe(expected);
  });

  it.each(["Get", "a/b/c", "a/", "/b", "a/G*t", "a/**", "ac*/Get"])("refuses %j and names it", (method) => {
    expect(() => compileMatch({ method })).toThrow(/invalid (method|service) "/);
  });

  it("and service must both hold", () => {
    const match = { service: "acme.Users", method: "*/Get" };
    expect(matches(match, fakeCall({ path: "/acme.Users/Get" }))).toBe(true);
    expect(matches(match, fakeCall({ path: "/acme.Users/Put" }))).toBe(false);
    expect(matches(match, fakeCall({ path: "/acme.Other/Get" }))).toBe(false);
  });
});

describe("authority", () => {
  it.each([
    ["api.example.com", "api.example.com", true],
    ["api.example.com", "API.Example.com", true],
    ["API.example.com", "api.example.com:8443", true],
    ["api.example.com", "api.example.com.", true],
    ["api.example.com", "evil-api.example.com", false],
    ["api.example.com", "", false],
    ["api.example.com:8443", "api.example.com:8443", true],
    ["api.example.com:8443", "api.example.com", false],
    ["api.example.com:8443", "api.example.com:84430", false],
    ["*.internal", "a.internal", true],
    ["*.internal", "a.b.internal:80", true],
    ["*.internal", "A.INTERNAL.", true],
    ["*.internal", "internal", false],
    ["*.internal", ".internal", false],
    ["*.internal", "ainternal", false],
    ["*.internal", "a.internal.evil.com", false],
    ["*.internal:80", "a.internal:81", false],
    ["[::1]", "[::1]:8080", true],
    ["[::1]:8080", "[::1]:8080", true],
    ["[::1]", "[::2]", false],
  ])("%j on %j: %s", (authority, sent, expected) => {
    expect(matches({ authority }, fakeCall({ authority: sent }))).toBe(expected);
  });

  it.each(["", "*", "*.", "a.*", "*.a.*", "*a.b", ":80"])("refuses %j and names it", (authority) => {
    expect(() => compileMatch({ authority })).toThrow(`invalid authority "${authority}"`);
  });
});

describe("headers", () => {
  const headers = { "x-all": ["1", "2"], "x-empty": [""] };
  it.each([
    [{ "x-all": "1" }, true],
    [{ "x-all": "2" }, true],
    [{ "X-All": "1" }, true],
    [{ "x-all": "3" }, false],
    [{ "x-none": "1" }, false],
    [{ "x-all": { present: true } }, true],
    [{ "x-all": { present: false } }, false],
    [{ "x-none": { present: true } }, false],
    [{ "x-none": { present: false } }, true],
    [{ "x-empty": { present: true } }, true],
    [{ "x-empty": "" }, true],
    [{ "x-none": "" }, false],
    [{ "x-all": { prefix: "2" } }, true],
    [{ "x-all": { prefix: "12" } }, false],
    [{ "x-none": { prefix: "" } }, false],
    [{ "x-all": "1", "x-empty": "" }, true],
    [{ "x-all": "1", "x-none": "" }, false],
  ] as [Match["headers"] & object, boolean][])("%j: %s", (wanted, expected) => {
    expect(matches({ headers: wanted }, fakeCall({ headers }))).toBe(expected);
  });

  it.each(["", "a b", ":authority", "a:", "ü"])("refuses the name %j", (name) => {
    expect(() => compileMatch({ headers: { [name]: "1" } })).toThrow(`invalid header name "${name}"`);
  });
});

describe("no match", () => {
  it("matches every call", () => {
    expect(matches(undefined, fakeCall())).toBe(true);
    expect(matches({}, fakeCall())).toBe(true);
  });
});
