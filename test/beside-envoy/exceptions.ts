/** Figures that are worse than Envoy's for a reason that is none of ours to mend. */
import type { Attack } from "./measure.ts";

export interface Exception {
  is(attack: Attack, worse: string): boolean;
  reason: string;
}

export const exceptions: readonly Exception[] = [];
