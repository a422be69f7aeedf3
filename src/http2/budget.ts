/** Budgets: how much of what is allowed, but of no use in bulk, a peer may do. */

/** A token bucket: a burst, refilled at a rate. */
export class Budget {
  #tokens: number;
  #filledAt: number;
  readonly #burst: number;
  readonly #perMs: number;

  /** @param perSecond tokens that come back each second; 0 where only `earn` refills */
  constructor(burst: number, perSecond: number, now: number) {
    this.#burst = burst;
    this.#tokens = burst;
    this.#perMs = perSecond / 1000;
    this.#filledAt = now;
  }

  /** Takes one token; false once the budget is overdrawn. */
  spend(now: number): boolean {
    if (this.#perMs > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#perMs);
      this.#filledAt = now;
    }
    this.#tokens--;
    return this.#tokens >= 0;
  }

  /** Gives tokens back. */
  earn(count = 1): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + count);
  }

  /** True where more was taken than there is. */
  get overdrawn(): boolean {
    return this.#tokens < 0;
  }
}
