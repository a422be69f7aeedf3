import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Member, usableOf } from "../../src/upstream/usable.ts";

/** "R": ready; "r": ready, can't be reached; "u": not ready; "x": neither; "d": disabled. One word for each tier. */
function membersOf(tiers: string): (Member & { readonly at: number })[] {
  let at = 0;
  return tiers.split(" ").flatMap((tier, priority) =>
    [...tier].map((letter) => ({
      at: at++,
      priority,
      enabled: letter !== "d",
      ready: "Rr".includes(letter),
      available: "Rud".includes(letter),
    })),
  );
}

function usable(tiers: string, panicPercent = 50): string {
  const { endpoints, panic } = usableOf(membersOf(tiers), panicPercent);
  return `${endpoints.map(({ at }) => at).join("")}${panic ? " panic" : ""}`;
}

describe("usableOf()", () => {
  it.each([
    ["RRR", "012"],
    ["RRu", "01"],
    ["Ru", "0"], // half are ready: that is not below 50 %
    ["Ruu", "012 panic"],
    ["uuu", "012 panic"],
    ["u", "0 panic"],
    ["Rxx", "0 panic"], // in a panic, too, who can't be reached isn't
    ["Rrr", "0"], // being unreachable is no reason to distrust health
    ["rrr", ""],
    ["ddd", ""],
    ["Rdd", "0"], // who is disabled doesn't count
    ["udd", "0 panic"],
  ])("uses of %s: %s", (tiers, expected) => {
    expect(usable(tiers)).toBe(expected);
  });

  it.each([
    ["RR RR", "01"],
    ["Ru RR", "0"],
    ["Ruu RR", "34"], // less than half of the first tier: the next
    ["rr RR", "23"],
    ["uu uu RR", "45"],
    ["Ruu Ruu", "012 panic"], // no tier has enough: the first that has any
    ["rr Ruu", "234 panic"],
    ["dd RR", "23"],
    ["xx xx", ""],
  ])("uses of the tiers %s: %s", (tiers, expected) => {
    expect(usable(tiers)).toBe(expected);
  });

  it("never panics at 0, and is in panic below 100 where one isn't ready", () => {
    expect(usable("Ruuu", 0)).toBe("0");
    expect(usable("uuuu", 0)).toBe("");
    expect(usable("RRRu", 100)).toBe("0123 panic");
  });

  it("chooses only members that are enabled, can be reached and are of one tier, and some if there are any", () => {
    const tiers = fc.stringMatching(/^[Rruxd]{0,5}( [Rruxd]{0,5}){0,2}$/);
    fc.assert(
      fc.property(tiers, fc.integer({ min: 1, max: 100 }), (text, percent) => {
        const members = membersOf(text);
        const { endpoints, panic } = usableOf(members, percent);
        expect(endpoints.every(({ enabled, available }) => enabled && available)).toBe(true);
        expect(new Set(endpoints.map(({ priority }) => priority)).size).toBeLessThanOrEqual(1);
        if (!panic) expect(endpoints.every(({ ready }) => ready)).toBe(true);
        if (members.some((one) => one.enabled && one.ready && one.available)) expect(endpoints).not.toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
