/** Queue: the calls that wait for room at one endpoint. */
import type { Breaker } from "./breaker.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Pending } from "./waiter.ts";

/** Whoever waits here is counted among those that wait for the whole upstream. */
export class Queue {
  readonly #maxPending: number;
  readonly #breaker: Breaker;
  readonly #waiting = new Set<Pending>();

  constructor(maxPending: number, breaker: Breaker) {
    this.#maxPending = maxPending;
    this.#breaker = breaker;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Adds a call that waits for the endpoint. False: the queue is full. */
  add(pending: Pending, endpoint: Endpoint): boolean {
    if (this.#waiting.size >= this.#maxPending) return false;
    this.#waiting.add(pending);
    this.#count(pending, 1);
    pending.endpoint = endpoint;
    return true;
  }

  /** Nothing happens if it isn't here. */
  remove(pending: Pending): void {
    if (this.#waiting.delete(pending)) this.#count(pending, -1);
  }

  /** Those who have waited longest get what room the endpoint has. */
  serve(endpoint: Endpoint): void {
    for (const pending of this.#waiting) {
      const connection = endpoint.connection();
      if (connection === undefined) return;
      this.remove(pending);
      endpoint.give(pending, connection);
    }
  }

  /** Takes out all. */
  clear(): readonly Pending[] {
    const pending = [...this.#waiting];
    for (const one of pending) this.remove(one);
    return pending;
  }

  #count({ only }: Pending, change: 1 | -1): void {
    const { stats, alone } = this.#breaker;
    stats.pending += change;
    if (only !== undefined) alone.pending += change;
  }
}
