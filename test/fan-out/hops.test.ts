import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Call } from "../../src/call.ts";
import { Hops, hopsHeader } from "../../src/fan-out/hops.ts";
import type { Endpoint } from "../../src/upstream/endpoint.ts";

function callWith(hops: string | undefined, path = "/acme.v1.Nodes/Get"): Call {
  return { path, headerValues: (name: string) => (name === hopsHeader && hops !== undefined ? [hops] : []) } as Call;
}

const endpoint = () => ({}) as Endpoint;

/** What becomes of a call there: the header of its legs, or the code of its refusal. */
function enter(proxy: Hops, first: Endpoint, hops?: string, path?: string): string | Code {
  try {
    return proxy.enter(callWith(hops, path), first).value;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

/** Proxies that have each other and themselves as endpoints: how many calls one call becomes, one leg after the other. */
function callsInMesh(count: number, limit = 1e6): number {
  const mesh = Array.from({ length: count }, () => ({ proxy: new Hops(), first: endpoint() }));
  let calls = 0;
  const visit = (at: number, hops?: string): void => {
    if (++calls > limit) throw new Error(`more than ${limit} calls`);
    const header = enter(mesh[at]!.proxy, mesh[at]!.first, hops);
    if (typeof header === "string") for (let leg = 0; leg < count; leg++) visit(leg, header);
  };
  visit(0);
  return calls;
}

describe("Hops", () => {
  it("names the places that a call has come to, and the call by the first", () => {
    const [outer, inner, first] = [new Hops(), new Hops(), endpoint()];
    const one = enter(outer, first);
    const two = enter(outer, first);
    expect(one).toMatch(/^[\da-v]{12}-1-\w+\.0$/);
    expect(two).toBe(`${String(one).slice(0, -1)}1`);
    expect(enter(inner, first, String(one))).toMatch(new RegExp(`^${one}, [\\da-v]{12}-1-\\w+$`));
  });

  it("refuses a call that comes back, but not to other endpoints or with another path", () => {
    const [proxy, first] = [new Hops(), endpoint()];
    const once = String(enter(proxy, first));
    const through = `${once}, ${String(enter(new Hops(), first)).split(".")[0]}`;
    expect(enter(proxy, first, once)).toBe(Code.FailedPrecondition);
    expect(enter(proxy, first, through)).toBe(Code.FailedPrecondition);
    expect(enter(proxy, endpoint(), through)).toMatch(/-2-/);
    expect(enter(proxy, first, through, "/acme.v1.Nodes/List")).toMatch(/-1-/);
  });

  it("refuses after 8 fan-outs, and what isn't of ours", () => {
    expect(enter(new Hops(), endpoint(), "a.1,b,c,d,e,f,g")).toMatch(/^a\.1, b, c, d, e, f, g, /);
    expect(enter(new Hops(), endpoint(), "a.1,b,c,d,e,f,g,h")).toBe(Code.FailedPrecondition);
    for (const hops of ["a b", "a,,b", "ü", "x".repeat(41), "a.b.c", " , "]) {
      expect(enter(new Hops(), endpoint(), hops), hops).toBe(Code.InvalidArgument);
    }
  });

  it("lets a call come to one place on 8 ways", () => {
    const [proxy, first] = [new Hops(), endpoint()];
    const ways = Array.from({ length: 9 }, (_, way) => enter(proxy, first, `a-1.0, way-${way}`));
    expect(ways.slice(0, 8).every((header) => typeof header === "string")).toBe(true);
    expect(ways[8]).toBe(Code.FailedPrecondition);
    expect(enter(proxy, first, "a-1.1, way-0")).toMatch(/^a-1\.1, /);
  });

  it("keeps loops small, whatever their shape", () => {
    // without it: 2 to the power of 8, 10 to the power of 8
    expect(callsInMesh(1)).toBe(2);
    expect(callsInMesh(2)).toBe(5);
    expect(callsInMesh(10)).toBeLessThan(1_000);
    expect(callsInMesh(30)).toBeLessThan(10_000);
  });

  it("forgets calls of which there are too many, the oldest first", () => {
    const [proxy, first] = [new Hops(), endpoint()];
    for (let way = 0; way < 9; way++) enter(proxy, first, "a-1.0");
    for (let call = 0; call < 6_000; call++) enter(proxy, first, `b-1.${call}`);
    expect(enter(proxy, first, "a-1.0"), "one generation later").toBe(Code.FailedPrecondition);
    for (let call = 0; call < 12_000; call++) enter(proxy, first, `c-1.${call}`);
    expect(enter(proxy, first, "a-1.0"), "two generations later").toMatch(/^a-1\.0, /);
  });
});
