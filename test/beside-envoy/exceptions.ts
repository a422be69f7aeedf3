/** Figures that are worse than Envoy's for a reason that isn't a fault of ours. One that isn't worse any more fails nothing: times vary. */
import { type Attack, costs } from "./measure.ts";

export interface Exception {
  row: string;
  figure: string;
  reason: string;
}

/** More about each in docs/faults.md, "Beside Envoy". */
export const exceptions: readonly Exception[] = [
  {
    row: "A2",
    figure: "calls upstream",
    reason:
      "each is an error of its stream (RFC 9113 section 5.4.2); Envoy ends the connection, and all calls on it, at the first",
  },
  {
    row: "A10",
    figure: costs.cpu,
    reason: "the runtimes need about 0.5 s for 10,000 connections that are answered with 60 bytes, and no calls",
  },
  ...[costs.peak, costs.after].map((figure) => ({
    row: "A10",
    figure,
    reason: "the runtimes leave to their collectors what connections were",
  })),
];

/** @param worse a line of `worseThanEnvoy` */
export function isExpected(attack: Attack, worse: string): boolean {
  return exceptions.some(({ row, figure }) => row === attack.row && worse.includes(`: ${figure}: `));
}
