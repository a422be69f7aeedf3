import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Call } from "../../src/call.ts";
import type { OneToOne } from "../../src/route/director.ts";
import { createRouteTable, type Route } from "../../src/route/table.ts";
import { Breaker, defaultBreaker } from "../../src/upstream/breaker.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { fakeCall } from "../upstream/fake-dial.ts";

const breaker = new Breaker(defaultBreaker, "fake");
const upstream = (name: string): Upstream => ({
  breaker,
  stats: breaker.stats,
  name,
  protocols: ["grpc"],
  http: "2",
  codecs: ["proto"],
  schema: undefined,
  endpoints: [],
  acquire: () => undefined,
  acquireAt: () => undefined,
  resolved: () => undefined,
  close() {},
});
const [users, orders, rest] = ["users", "orders", "rest"].map(upstream) as [Upstream, Upstream, Upstream];

function refusal(direct: (call: Call) => unknown, call: Call): ConnectError {
  try {
    direct(call);
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("expected a refusal");
}

describe("createRouteTable()", () => {
  const table = createRouteTable([
    { match: { service: "acme.v1.Users", headers: { "x-beta": "1" } }, to: orders },
    { match: { service: "acme.v1.Users" }, to: users },
    { match: { method: "acme.v1.Admin/*" }, refuse: { code: Code.PermissionDenied, message: "no admin here" } },
    { match: { authority: "*.internal" }, refuse: { code: Code.Unimplemented, message: "unknown method" } },
    { match: { service: "acme.*" }, to: rest, rewrite: { authority: "rest.example" }, timeoutMs: 500 },
  ] satisfies Route[]);
  const to = (call: Call) => (table(call) as OneToOne).upstream.name;

  it("takes the first route that matches", () => {
    expect(to(fakeCall({ path: "/acme.v1.Users/Get" }))).toBe("users");
    expect(to(fakeCall({ path: "/acme.v1.Users/Get", headers: { "x-beta": ["1"] } }))).toBe("orders");
    expect(to(fakeCall({ path: "/acme.v1.Users/Get" }))).toBe("users");
    expect(to(fakeCall({ path: "/acme.v1.Orders/Get" }))).toBe("rest");
  });

  it("refuses with the route's own status", () => {
    const error = refusal(table, fakeCall({ path: "/acme.v1.Admin/Drop" }));
    expect([error.code, error.rawMessage]).toEqual([Code.PermissionDenied, "no admin here"]);
    const internal = refusal(table, fakeCall({ path: "/acme.v1.Orders/Get", authority: "a.internal" }));
    expect([internal.code, internal.rawMessage]).toEqual([Code.Unimplemented, "unknown method"]);
  });

  it("answers unimplemented where none matches, and names the method", () => {
    const error = refusal(table, fakeCall({ path: "/other.S/Get" }));
    expect([error.code, error.rawMessage]).toEqual([Code.Unimplemented, "no route for other.S/Get"]);
  });

  it("carries rewrite and timeout, in one destination for all calls of a route", () => {
    const first = table(fakeCall({ path: "/acme.v1.Orders/Get" }));
    expect(first).toEqual({
      mode: "one-to-one",
      upstream: rest,
      rewrite: { authority: "rest.example" },
      timeoutMs: 500,
    });
    expect(table(fakeCall({ path: "/acme.v2.Other/Put" }))).toBe(first);
  });

  it("stays right when callers make up more paths than it keeps", () => {
    for (let at = 0; at < 5_000; at++) {
      expect(to(fakeCall({ path: `/acme.made.Up${at}/Get` }))).toBe("rest");
      refusal(table, fakeCall({ path: `/made.Up${at}/Get` }));
    }
    expect(to(fakeCall({ path: "/acme.v1.Users/Get" }))).toBe("users");
  });

  it("names the route whose pattern is wrong", () => {
    const routes = [{ to: users }, { match: { service: "a*" }, to: users }];
    expect(() => createRouteTable(routes)).toThrow('route 2: invalid service "a*"');
  });
});
