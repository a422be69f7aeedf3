/** Clients that are programs of their own: what they print of each check. */
import { expect } from "vitest";
import { run } from "../support/program.ts";

/** Runs a program that prints "ok NAME" and "FAIL NAME: why". */
export async function expectAllOk(argv: readonly string[], atLeast: number): Promise<void> {
  const { exit, stdout, stderr } = await run(argv, { timeoutMs: 110_000 });
  const lines = stdout.split("\n");
  expect(lines.filter((line) => line.startsWith("FAIL"))).toEqual([]);
  expect(exit, stdout + stderr).toBe(0);
  expect(lines.filter((line) => line.startsWith("ok ")).length).toBeGreaterThanOrEqual(atLeast);
}
