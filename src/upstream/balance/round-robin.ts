/** Round robin: one after the other, and where weights differ, each as often as its weight says, well mixed. */
import type { Balance, Candidate, Selection } from "../balance.ts";

/** One after the other, per call, whatever connection the calls come in on. */
export function roundRobin(): Balance {
  return () => new RoundRobin();
}

class RoundRobin implements Selection {
  #count = 0;
  #next = 0;
  #smooth: SmoothWeights | undefined;

  update(candidates: readonly Candidate[]): void {
    const weights = candidates.map(({ weight }) => weight);
    this.#count = weights.length;
    this.#smooth = weights.every((weight) => weight === weights[0]) ? undefined : new SmoothWeights(weights);
  }

  pick(): number {
    if (this.#smooth !== undefined) return this.#smooth.next();
    if (this.#next >= this.#count) this.#next = 0;
    return this.#next++;
  }
}

/**
 * Smooth weighted round robin, as nginx has it: every turn each gains its weight, the richest is chosen and pays what all have
 * gained. Weights 5, 1 and 1 give a a b a c a a and never five in a row.
 */
class SmoothWeights {
  readonly #weights: readonly number[];
  readonly #total: number;
  readonly #gained: number[];

  constructor(weights: readonly number[]) {
    this.#weights = weights;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#gained = weights.map(() => 0);
  }

  next(): number {
    const gained = this.#gained;
    let best = 0;
    for (let at = 0; at < gained.length; at++) {
      gained[at]! += this.#weights[at]!;
      if (gained[at]! > gained[best]!) best = at;
    }
    gained[best]! -= this.#total;
    return best;
  }
}
