import { describe, expect, it } from "vitest";
import { splitByWeight } from "../../src/route/split.ts";
import { createRouteTable } from "../../src/route/table.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { fakeCall } from "../upstream/fake-dial.ts";

const upstream = (name: string) => ({ name }) as Upstream;
const parts = (...weights: number[]) => weights.map((weight, at) => ({ upstream: upstream(`u${at}`), weight }));

describe("splitByWeight()", () => {
  it("draws each as often as its weight says, and never one of 0", () => {
    let at = 0;
    const draw = splitByWeight(parts(95, 0, 5), () => (at++ % 100) / 100);
    const found = [0, 0, 0];
    for (let call = 0; call < 1_000; call++) found[draw()]!++;
    expect(found).toEqual([950, 0, 50]);
  });

  it.each([[[-1, 2]], [[Number.NaN]], [[0, 0]], [[]]])("refuses weights %j", (weights) => {
    expect(() => splitByWeight(parts(...weights))).toThrow(TypeError);
  });
});

describe("a route to several upstreams", () => {
  it("gives each call to one of them, with the route's rewrite and timeout", () => {
    const [stable, canary] = [upstream("stable"), upstream("canary")];
    const rewrite = { authority: "users.internal" };
    const direct = createRouteTable([
      {
        to: [
          { upstream: stable, weight: 1 },
          { upstream: canary, weight: 1 },
        ],
        rewrite,
        timeoutMs: 5,
      },
    ]);
    const destinations = new Set(Array.from({ length: 100 }, () => direct(fakeCall())));
    expect(destinations).toEqual(
      new Set([stable, canary].map((one) => ({ mode: "one-to-one", upstream: one, rewrite, timeoutMs: 5 }))),
    );
    expect(destinations.size).toBe(2); // made once, not for each call
  });

  it("names its number where the weights can't be", () => {
    expect(() => createRouteTable([{ to: parts(1) }, { to: parts(0) }])).toThrow("route 2: no upstream to go to");
  });
});
