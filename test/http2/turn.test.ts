import { setImmediate as turnEnd } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { atEndOfTurn } from "../../src/http2/turn.ts";

describe("atEndOfTurn()", () => {
  it("runs tasks in their order, and what they leave to others in the same turn", async () => {
    const ran: string[] = [];
    const task = (name: string, then?: () => void) => ({
      endTurn() {
        ran.push(name);
        then?.();
      },
    });
    atEndOfTurn(task("first", () => atEndOfTurn(task("left by the first"))));
    atEndOfTurn(task("second"));
    expect(ran).toEqual([]);
    await turnEnd();
    expect(ran).toEqual(["first", "second", "left by the first"]);
    atEndOfTurn(task("third"));
    await turnEnd();
    expect(ran.at(-1)).toBe("third");
  });
});
