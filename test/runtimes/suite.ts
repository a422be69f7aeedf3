/** The suite's own `describe` and `it`: the runtime is the project's, and what is known to fail there must fail. */
import { describe, expect, it } from "vitest";
import { commandOn, type RuntimeName, skipAbsent } from "../support/runtimes.ts";
import { standIn } from "../support/stand-in.ts";
import { knownFaults } from "./known-faults.ts";

/** The runtime under test: the project's (vitest.config.ts). */
export const runtime = (process.env.MANIFOLD_RUNTIME ?? "node") as RuntimeName;

/** `describe` on the runtime under test; skipped, with the reason printed, where that isn't there. */
export function onRuntime(title: string, body: () => void): void {
  const command = commandOn(runtime);
  const absent = standIn === undefined && "absent" in command && !skipAbsent(`${title} on ${runtime}`, command.absent);
  describe.skipIf(absent)(`${title} (${standIn ?? runtime})`, body);
}

/** `it`, turned round where known-faults.ts has the test for this runtime. */
export function check(name: string, body: () => Promise<void>): void {
  const known = knownFaults.find((fault) => fault.runtime === runtime && fault.test === name);
  if (known === undefined) {
    it(name, body);
    return;
  }
  console.warn(`known fault of ${runtime}: ${name}: ${known.reason}`);
  it.fails(name, body);
}

/** Prints a figure of the test that is running: what docs/faults.md has of it. */
export function figure(text: string): void {
  console.info(`figure: ${expect.getState().currentTestName}: ${text}`);
}
