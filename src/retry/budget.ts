/** Retry budget: how many tries after the first an upstream bears. Without one, calls that are tried again would finish off who is slow. */
import { type Breaker, defaultBreaker } from "../upstream/breaker.ts";
import type { CallTarget } from "../upstream/upstream.ts";

/** Of the calls that are under way, so many may be under way a second time (Envoy's retry budget). */
const share = 0.2;

/** There are always so many, or else an upstream with few calls would have none; an upstream's limit `retries` is another number. */
const least = defaultBreaker.retries;

export class RetryBudget {
  /** Calls that are under way. */
  calls = 0;
  /** Tries after the first that are under way, or are going to be. */
  retries = 0;
  /** Those that were begun in the life of the upstream, and that there was no budget for. */
  readonly stats = { begun: 0, refused: 0 };
  readonly #breaker: Breaker | undefined;

  /** @param breaker the upstream's, whose counters tell of retries, too */
  constructor(breaker?: Breaker) {
    this.#breaker = breaker;
  }

  /** One more try; false where there are too many. */
  take(): boolean {
    const breaker = this.#breaker;
    if (this.retries >= Math.max(breaker?.limits.retries ?? least, this.calls * share)) {
      this.stats.refused++;
      if (breaker !== undefined) breaker.stats.rejected.retries++;
      return false;
    }
    this.retries++;
    this.stats.begun++;
    if (breaker !== undefined) breaker.stats.retries++;
    return true;
  }

  give(retries: number): void {
    this.retries -= retries;
    if (this.#breaker !== undefined) this.#breaker.stats.retries -= retries;
  }
}

const budgets = new WeakMap<CallTarget, RetryBudget>();

/** The budget of an upstream, which all routes to it share. */
export function retryBudgetOf(upstream: CallTarget): RetryBudget {
  let budget = budgets.get(upstream);
  if (budget === undefined) {
    budget = new RetryBudget(upstream.breaker);
    budgets.set(upstream, budget);
  }
  return budget;
}
