/** Subsets: the endpoints of an upstream by the value of a label, of which a header of the call names one. */
import type { Call } from "../call.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Pool } from "./pool.ts";

export interface SubsetOptions {
  /** Whose first value names the label's value. Calls without it go to all endpoints. */
  readonly header: string;
  /** Which of the endpoints' labels is meant. */
  readonly label: string;
  /** Where a call goes whose value no endpoint has: "none" (default), so that a slip isn't answered by another version; or "any". */
  readonly fallback?: "none" | "any";
}

export class Subsets {
  readonly #options: SubsetOptions;
  readonly #header: string;
  readonly #createPool: () => Pool;
  /** Of values that endpoints have: callers can make up any number, and none of theirs is kept. */
  readonly #pools = new Map<string, Pool>();
  readonly #empty: Pool;

  constructor(options: SubsetOptions, createPool: () => Pool) {
    this.#options = options;
    this.#header = options.header.toLowerCase();
    this.#createPool = createPool;
    this.#empty = createPool();
  }

  /** Endpoints came, went, or have changed. */
  update(endpoints: readonly Endpoint[]): void {
    const byValue = new Map<string, Endpoint[]>();
    for (const endpoint of endpoints) {
      const value = endpoint.labels[this.#options.label];
      if (value === undefined) continue;
      const some = byValue.get(value);
      if (some === undefined) byValue.set(value, [endpoint]);
      else some.push(endpoint);
    }
    for (const value of this.#pools.keys()) if (!byValue.has(value)) this.#pools.delete(value);
    for (const [value, some] of byValue) {
      const pool = this.#pools.get(value) ?? this.#createPool();
      pool.update(some);
      this.#pools.set(value, pool);
    }
  }

  /** @param all the pool of calls that name no value */
  poolOf(call: Call, all: Pool): Pool {
    const value = call.header(this.#header);
    if (value === undefined) return all;
    return this.#pools.get(value) ?? (this.#options.fallback === "any" ? all : this.#empty);
  }
}
