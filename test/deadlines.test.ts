import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Deadlines, type Timed } from "../src/deadlines.ts";

class Task implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  earlier: Timed | undefined;
  later: Timed | undefined;
  /** When it was told, each time. */
  readonly told: number[] = [];
  next: (() => void) | undefined;

  onDeadline(): void {
    this.told.push(performance.now());
    this.deadline = Number.POSITIVE_INFINITY;
    this.next?.();
  }
}

let deadlines: Deadlines;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  deadlines = new Deadlines();
});

afterEach(() => {
  vi.useRealTimers();
});

function add(inMs: number): Task {
  const task = new Task();
  deadlines.add(task, performance.now() + inMs);
  return task;
}

describe("Deadlines", () => {
  it.each([0.001, 1, 9.99, 10, 10.01, 200, 5_110, 5_120, 5_121, 12_345, 3_600_000])(
    "tells a deadline of %s ms once, not before it and at most 20 ms after",
    (ms) => {
      vi.advanceTimersByTime(3);
      const due = performance.now() + ms;
      const task = add(ms);
      vi.advanceTimersByTime(ms + 30);
      expect(task.told).toHaveLength(1);
      expect(task.told[0]).toBeGreaterThanOrEqual(due);
      expect(task.told[0]).toBeLessThanOrEqual(due + 20);
      vi.advanceTimersByTime(10_000);
      expect(task.told).toHaveLength(1);
    },
  );

  it("doesn't tell at once what is more than 2^31 ms away", () => {
    const task = add(999_999_999_000);
    vi.advanceTimersByTime(60_000);
    expect(task.told).toEqual([]);
    deadlines.remove(task);
  });

  it.each([-1, -1e9, Number.NEGATIVE_INFINITY])("tells what has been over for %s ms with the next tick", (ms) => {
    const task = add(ms);
    vi.advanceTimersByTime(20);
    expect(task.told).toHaveLength(1);
  });

  it("tells all that are left, and none that were removed, whatever they share", () => {
    const step = fc.record({
      ms: fc.integer({ min: -5, max: 12_000 }),
      wait: fc.integer({ min: 0, max: 90 }),
      keep: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const tasks = steps.map(({ ms, wait, keep }) => {
          const task = add(ms);
          const due = performance.now() + Math.max(ms, 0);
          vi.advanceTimersByTime(wait);
          const removed = !keep && task.told.length === 0;
          if (removed) deadlines.remove(task);
          return { task, due, removed };
        });
        vi.advanceTimersByTime(13_000);
        for (const { task, due, removed } of tasks) {
          expect(task.told).toHaveLength(removed ? 0 : 1);
          if (!removed) expect(task.told[0]! - due).toBeGreaterThanOrEqual(0);
          if (!removed) expect(task.told[0]! - due).toBeLessThanOrEqual(20);
        }
        expect(vi.getTimerCount()).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it("tells none that another one, due with it, has removed", () => {
    const tasks = [add(50), add(50), add(50)];
    for (const task of tasks) {
      task.next = () => {
        for (const other of tasks) {
          if (other === task || other.deadline === Number.POSITIVE_INFINITY) continue;
          deadlines.remove(other);
          other.deadline = Number.POSITIVE_INFINITY;
        }
      };
    }
    vi.advanceTimersByTime(100);
    expect(tasks.flatMap(({ told }) => told)).toHaveLength(1);
  });

  it("takes one again from within its own deadline", () => {
    const task = add(50);
    task.next = () => {
      if (task.told.length < 3) deadlines.add(task, performance.now() + 50);
    };
    vi.advanceTimersByTime(300);
    expect(task.told).toHaveLength(3);
  });

  it("catches up after the event loop stood still for longer than a round", () => {
    const tasks = [10, 1_000, 5_000, 6_000, 20_000].map(add);
    const real = performance.now();
    const now = vi.spyOn(performance, "now").mockImplementation(() => real + 30_000);
    vi.advanceTimersByTime(10);
    now.mockRestore();
    expect(tasks.map(({ told }) => told.length)).toEqual([1, 1, 1, 1, 1]);
  });

  it("has a timer only while there is something to wait for", () => {
    expect(vi.getTimerCount()).toBe(0);
    const [one, other] = [add(1_000), add(50)];
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(200);
    expect(other.told).toHaveLength(1);
    deadlines.remove(one);
    vi.advanceTimersByTime(20);
    expect(vi.getTimerCount()).toBe(0);
    const again = add(30);
    vi.advanceTimersByTime(60);
    expect(again.told).toHaveLength(1);
  });

  it("looks at a hundred thousand a few at a time", () => {
    const tasks = Array.from({ length: 100_000 }, (_, at) => add(1_000 + (at % 3_000)));
    for (const task of tasks) deadlines.remove(task);
    const last = add(10);
    vi.advanceTimersByTime(30);
    expect(last.told).toHaveLength(1);
    expect(tasks.every(({ told }) => told.length === 0)).toBe(true);
  });
});
