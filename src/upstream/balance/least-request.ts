/** Least request: of two endpoints drawn at random, the one with fewer calls in flight (the power of two choices). */
import type { Balance, Candidate, Selection } from "../balance.ts";
import { cumulative, drawByWeight } from "./weights.ts";

/**
 * Two draws come close to the least busy of all, in constant time, and unlike that one don't send a burst of calls to a single
 * endpoint. With weights, each is drawn as often as its weight says, and calls in flight count per unit of weight.
 *
 * @param random numbers in [0, 1); replaced in tests
 */
export function leastRequest(random: () => number = Math.random): Balance {
  return () => new LeastRequest(random);
}

class LeastRequest implements Selection {
  readonly #random: () => number;
  #candidates: readonly Candidate[] = [];
  /** Undefined where all weigh the same. */
  #sums: readonly number[] | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  update(candidates: readonly Candidate[]): void {
    this.#candidates = candidates;
    const same = candidates.every(({ weight }) => weight === candidates[0]?.weight);
    this.#sums = same ? undefined : cumulative(candidates);
  }

  pick(): number {
    const candidates = this.#candidates;
    const count = candidates.length;
    if (count === 1) return 0;
    const first = this.#draw(count);
    const second = this.#sums === undefined ? this.#drawOther(count, first) : this.#draw(count);
    // the first where both are as busy: with nothing in flight each gets its share
    return busy(candidates[second]!) < busy(candidates[first]!) ? second : first;
  }

  #draw(count: number): number {
    return this.#sums === undefined ? Math.floor(this.#random() * count) : drawByWeight(this.#sums, this.#random());
  }

  #drawOther(count: number, first: number): number {
    const other = Math.floor(this.#random() * (count - 1));
    return other < first ? other : other + 1;
  }
}

function busy({ activeCalls, weight }: Candidate): number {
  return activeCalls / weight;
}
