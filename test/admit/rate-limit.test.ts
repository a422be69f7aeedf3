import { describe, expect, it } from "vitest";
import { Buckets, networkOf } from "../../src/admit/rate-limit.ts";

describe("Buckets", () => {
  it("lets the burst in at once, then the rate", () => {
    const buckets = new Buckets({ perSecond: 10, burst: 3 });
    expect([1, 2, 3].map(() => buckets.take("a", 0))).toEqual([0, 0, 0]);
    expect(buckets.take("a", 0)).toBeCloseTo(100);
    expect(buckets.take("a", 60)).toBeCloseTo(40);
    expect(buckets.take("a", 100)).toBe(0);
    expect(buckets.take("a", 100)).toBeCloseTo(100);
    expect(buckets.refused).toBe(3);
  });

  it("lets in the rate, whatever is asked for above it", () => {
    const buckets = new Buckets({ perSecond: 50, burst: 5 });
    let passed = 0;
    for (let ms = 0; ms < 10_000; ms++) if (buckets.take("a", ms) === 0) passed++;
    expect(passed).toBe(5 + 499);
  });

  it("fills no bucket above its burst", () => {
    const buckets = new Buckets({ perSecond: 1_000, burst: 2 });
    buckets.take("a", 0);
    expect([1, 2, 3].map(() => buckets.take("a", 60_000) === 0)).toEqual([true, true, false]);
  });

  it("takes from each key's own bucket", () => {
    const buckets = new Buckets({ perSecond: 1, burst: 1 });
    expect(buckets.take("a", 0)).toBe(0);
    expect(buckets.take("b", 0)).toBe(0);
    expect(buckets.take("a", 0)).toBeGreaterThan(0);
  });

  it("keeps so many keys and no more, and forgets the one not used for longest", () => {
    const buckets = new Buckets({ perSecond: 1, burst: 2, maxKeys: 3 });
    for (const key of ["a", "b", "c", "a", "d"]) expect(buckets.take(key, 0)).toBe(0);
    expect(buckets.size).toBe(3);
    expect(buckets.take("a", 0)).toBeGreaterThan(0); // kept: used after b
    expect([buckets.take("b", 0), buckets.take("b", 0)]).toEqual([0, 0]); // forgotten
    for (let at = 0; at < 10_000; at++) buckets.take(`k${at}`, 0);
    expect(buckets.size).toBe(3);
  });

  it.each([
    [{ perSecond: 0 }, "perSecond"],
    [{ perSecond: Number.NaN }, "perSecond"],
    [{ perSecond: 1, burst: 0.5 }, "burst"],
    [{ perSecond: 1, maxKeys: 0 }, "maxKeys"],
  ])("refuses %j and names it", (options, name) => {
    expect(() => new Buckets(options)).toThrow(name);
  });
});

describe("networkOf()", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:DB8:0001:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
  ])("makes of %s %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
