/** Tally: counts the legs of a fan-out as they end, and knows when no more are needed. */
import type { CompleteGatherPolicy } from "../route/gather-policy.ts";

export class Tally {
  succeeded = 0;
  failed = 0;
  readonly #total: number;
  /** Successes that are enough; more than there are legs where all are waited for. */
  readonly #enough: number;

  constructor(total: number, wait: CompleteGatherPolicy["wait"]) {
    this.#total = total;
    this.#enough = wait === "all" ? Number.POSITIVE_INFINITY : wait === "first" ? 1 : wait.quorum;
  }

  /** No more legs are needed, or there are none. */
  get complete(): boolean {
    return this.succeeded >= this.#enough || this.succeeded + this.failed === this.#total || this.hopeless;
  }

  /** There can't be enough successes any more. */
  get hopeless(): boolean {
    return this.#enough !== Number.POSITIVE_INFINITY && this.#total - this.failed < this.#enough;
  }

  /** "2 of 5 answered, 3 are needed" */
  get verdict(): string {
    return `${this.succeeded} of ${this.#total} answered, ${this.#enough} are needed`;
  }
}
