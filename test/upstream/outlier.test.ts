import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultOutlier, maxEjected, Outlier } from "../../src/upstream/outlier.ts";

describe("maxEjected()", () => {
  it.each([
    [1, 50, 1],
    [2, 50, 1],
    [3, 50, 1],
    [4, 50, 2],
    [10, 50, 5],
    [10, 10, 1],
    [0, 50, 1],
    [3, 100, 3],
  ])("of %s endpoints and %s percent is %s", (endpoints, percent, most) => {
    expect(maxEjected(endpoints, percent)).toBe(most);
  });
});

describe("Outlier", () => {
  it("is due after 5 failures in a row, and a success begins anew", () => {
    const outlier = new Outlier();
    for (let at = 0; at < 4; at++) expect(outlier.fail()).toBe(false);
    outlier.succeed();
    for (let at = 0; at < 4; at++) expect(outlier.fail()).toBe(false);
    expect(outlier.fail()).toBe(true);
    expect(outlier.fail()).toBe(true); // still due where it may not be ejected yet
  });

  it("is ejected for 30 s, then 60 s, at most for 300 s", () => {
    const outlier = new Outlier();
    let now = 1_000;
    const times = Array.from({ length: 12 }, () => {
      const ms = outlier.eject(now);
      now += ms;
      outlier.restore(now);
      return ms / 1_000;
    });
    expect(times).toEqual([30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
  });

  it("forgets one ejection for each time that goes well", () => {
    const outlier = new Outlier();
    for (const [from, until] of [
      [0, 30_000],
      [30_000, 90_000],
      [90_000, 180_000],
    ] as const) {
      expect(outlier.eject(from)).toBe(until - from);
      outlier.restore(until);
    }
    expect(outlier.eject(180_000 + 60_000)).toBe(60_000); // third to first, and one more
  });

  it("is never due while ejected, and counts from nothing afterwards", () => {
    const outlier = new Outlier();
    for (let at = 0; at < 5; at++) outlier.fail();
    outlier.eject(0);
    expect([outlier.ejected, outlier.fail()]).toEqual([true, false]);
    outlier.restore(30_000);
    expect([outlier.ejected, outlier.fail()]).toEqual([false, false]);
  });

  it("keeps, for any calls by any clock, to its bounds", () => {
    const step = fc.record({ ms: fc.nat(120_000), good: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const outlier = new Outlier();
        let now = 0;
        let until = 0;
        let row = 0;
        for (const { ms, good } of steps) {
          now += ms;
          if (outlier.ejected && now >= until) {
            outlier.restore(until);
            row = 0;
          }
          row = good ? 0 : row + 1;
          if (good) outlier.succeed();
          const due = good ? false : outlier.fail();
          expect(due).toBe(!outlier.ejected && row >= defaultOutlier.consecutive);
          if (!due) continue;
          const forMs = outlier.eject(now);
          expect(forMs).toBeGreaterThanOrEqual(defaultOutlier.ejectionMs);
          expect(forMs).toBeLessThanOrEqual(defaultOutlier.maxEjectionMs);
          until = now + forMs;
        }
      }),
    );
  });
});
