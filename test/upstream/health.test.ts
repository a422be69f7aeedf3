import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Finding, Health } from "../../src/upstream/health.ts";

const findings = fc.array(fc.constantFrom<Finding>("serving", "not_serving", "failed"), {
  minLength: 1,
  maxLength: 60,
});
const thresholds = fc.record({ healthy: fc.integer({ min: 1, max: 5 }), unhealthy: fc.integer({ min: 1, max: 5 }) });

function healthAfter(...seen: Finding[]): boolean {
  const health = new Health({ healthy: 2, unhealthy: 3 });
  for (const finding of seen) health.observe(finding);
  return health.healthy;
}

describe("Health", () => {
  it("is not healthy before the first finding, which decides alone", () => {
    expect(new Health().healthy).toBe(false);
    expect(new Health().known).toBe(false);
    expect(healthAfter("serving")).toBe(true);
    expect(healthAfter("failed")).toBe(false);
    expect(healthAfter("not_serving")).toBe(false);
  });

  it("bears failures up to the threshold, and counts anew after a success", () => {
    expect(healthAfter("serving", "failed", "failed")).toBe(true);
    expect(healthAfter("serving", "failed", "failed", "failed")).toBe(false);
    expect(healthAfter("serving", "failed", "failed", "serving", "failed", "failed")).toBe(true);
  });

  it("takes the server's own word at once", () => {
    expect(healthAfter("serving", "not_serving")).toBe(false);
  });

  it("wants as many successes as the threshold says before it trusts again", () => {
    expect(healthAfter("failed", "serving")).toBe(false);
    expect(healthAfter("failed", "serving", "failed", "serving")).toBe(false);
    expect(healthAfter("failed", "serving", "serving")).toBe(true);
  });

  it("does, for any findings, what the last ones say", () => {
    fc.assert(
      fc.property(thresholds, findings, (limits, seen) => {
        const health = new Health(limits);
        seen.forEach((finding, at) => {
          const before = [health.healthy, health.known];
          const changed = health.observe(finding);
          expect(changed).toBe(before[0] !== health.healthy || before[1] !== health.known);
          const past = seen.slice(0, at + 1);
          const tail = (count: number, test: (one: Finding) => boolean) =>
            past.length >= count && past.slice(-count).every(test);
          if (finding === "not_serving") expect(health.healthy).toBe(false);
          if (tail(limits.healthy, (one) => one === "serving")) expect(health.healthy).toBe(true);
          if (tail(limits.unhealthy, (one) => one !== "serving")) expect(health.healthy).toBe(false);
          // it changes by what speaks against it alone
          if (at > 0 && changed) expect(health.healthy).toBe(finding === "serving");
        });
      }),
    );
  });
});
