import { describe, expect, it } from "vitest";
import { Budget } from "../../src/http2/budget.ts";

function spent(budget: Budget, now: number): number {
  let count = 0;
  while (budget.spend(now)) count++;
  return count;
}

describe("Budget", () => {
  it("gives its burst at once, and then nothing", () => {
    const budget = new Budget(200, 20, 0);
    expect(spent(budget, 0)).toBe(200);
    expect(budget.spend(0)).toBe(false);
  });

  it("is refilled with time, up to the burst", () => {
    const budget = new Budget(200, 20, 1_000);
    spent(budget, 1_000);
    budget.earn(); // the one that was overdrawn
    expect(spent(budget, 2_000)).toBe(20);
    budget.earn();
    expect(spent(budget, 1e9)).toBe(200);
  });

  it("is refilled by what is earned, up to the burst", () => {
    const budget = new Budget(3, 0, 0);
    budget.earn();
    expect(spent(budget, 0)).toBe(3);
    for (let at = 0; at < 3; at++) budget.earn();
    expect(spent(budget, 1e9)).toBe(2);
  });
});
