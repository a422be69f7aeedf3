/** Split: a share of a route's calls to each of several upstreams, such as 5 % to a canary. */

import { cumulative, drawByWeight } from "../upstream/balance/weights.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** An upstream and its share beside the others. */
export interface WeightedUpstream {
  readonly upstream: Upstream;
  /** Any number from 0 (no calls) on. */
  readonly weight: number;
}

/**
 * Makes a draw by weight. At random for each call, not in turn: in turn, a caller with a rhythm of its own would always meet the same.
 *
 * @param random numbers in [0, 1); replaced in tests
 * @returns what yields an index into `parts`
 * @throws TypeError if a weight isn't a number of 0 or more, or all are 0
 */
export function splitByWeight(parts: readonly WeightedUpstream[], random: () => number = Math.random): () => number {
  for (const { upstream, weight } of parts) {
    if (Number.isFinite(weight) && weight >= 0) continue;
    throw new TypeError(`weight of upstream "${upstream.name}" must be 0 or more, not ${weight}`);
  }
  const sums = cumulative(parts);
  if (!(sums.at(-1)! > 0)) throw new TypeError("no upstream to go to has a weight above 0");
  return () => drawByWeight(sums, random());
}
