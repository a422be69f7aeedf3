/**
 * Faults of a runtime, not ours, that make a test of this suite fail. An entry whose test passes again fails the suite,
 * so that the list never says more than is so.
 */
import type { RuntimeName } from "../support/runtimes.ts";

export interface KnownFault {
  runtime: RuntimeName;
  /** The test's name, whole. */
  test: string;
  /** What the runtime does, and where it is reported. */
  reason: string;
}

export const knownFaults: readonly KnownFault[] = [];
