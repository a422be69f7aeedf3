/** Placement: where calls go that find no room at once: to another endpoint, into the queue of one, or aside until there are some. */
import type { ConnectError } from "@connectrpc/connect";
import type { Call } from "../call.ts";
import { LimitError } from "../wire/limit-error.ts";
import type { Breaker } from "./breaker.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointSet } from "./endpoint-set.ts";
import type { Pool } from "./pool.ts";
import { type CancelWait, type Pending, type Reached, unavailable, type Waiter } from "./waiter.ts";

/** What a call wants that found no room at once. */
export interface Wanted {
  readonly call: Call;
  readonly waiter: Waiter;
  readonly avoid?: Reached | undefined;
  readonly only?: Endpoint;
  /** Where the balance would have it go. */
  readonly chosen?: Endpoint;
}

export interface PlacementOptions {
  readonly breaker: Breaker;
  readonly set: EndpointSet;
  /** Among whom a call may choose. */
  poolOf(call: Call): Pool;
}

export class Placement {
  readonly #options: PlacementOptions;
  readonly #breaker: Breaker;
  /** Calls that wait for the first answer of a resolver. */
  readonly #parked = new Set<Pending>();
  #closed = false;

  constructor(options: PlacementOptions) {
    this.#options = options;
    this.#breaker = options.breaker;
  }

  /** @returns what takes the waiter out again, or undefined if it has already been told */
  wait({ call, waiter, avoid, only, chosen }: Wanted): CancelWait | undefined {
    const pending: Pending = { call, waiter, avoid, only, tried: [], endpoint: undefined, done: false };
    this.#place(pending, chosen ?? this.#choose(pending), undefined);
    if (pending.done) return undefined;
    return () => {
      pending.done = true;
      pending.endpoint?.remove(pending);
      this.#unpark(pending);
    };
  }

  /** For calls that an endpoint has given back: each asks it no more. */
  moveOn(endpoint: Endpoint, pending: readonly Pending[], error: Error): void {
    for (const one of pending) {
      if (one.done) continue;
      one.tried.push(endpoint);
      this.#place(one, this.#choose(one), error);
    }
  }

  /** There may be endpoints now for those who have been put aside. */
  placeParked(): void {
    const parked = [...this.#parked];
    for (const pending of parked) this.#unpark(pending);
    for (const pending of parked) if (!pending.done) this.#place(pending, this.#choose(pending), undefined);
  }

  /** Whoever is placed from now on is turned away. */
  close(): void {
    this.#closed = true;
  }

  #unpark(pending: Pending): void {
    if (this.#parked.delete(pending)) this.#breaker.stats.pending--;
  }

  #place(pending: Pending, endpoint: Endpoint | undefined, error: Error | undefined): void {
    if (endpoint === undefined) {
      this.#placeNowhere(pending, error);
      return;
    }
    const connection = endpoint.connection();
    if (connection !== undefined) {
      endpoint.give(pending, connection);
    } else if (pending.only === undefined && !this.#breaker.mayWait) {
      turnAway(pending, this.#breaker.reject("pending"));
    } else if (!endpoint.enqueue(pending)) {
      const cause = new LimitError("max_pending", `${endpoint.pendingCount} calls wait for ${endpoint.address}`);
      refuse(pending, "too many calls waiting", cause);
    }
  }

  #placeNowhere(pending: Pending, error: Error | undefined): void {
    if (this.#closed) return refuse(pending, "closed", error);
    if (pending.tried.length > 0) return refuse(pending, "connection failed", error);
    const { set } = this.#options;
    set.refresh();
    if (!set.resolving) return refuse(pending, "no endpoint", set.error);
    if (!this.#breaker.mayWait) return turnAway(pending, this.#breaker.reject("pending"));
    this.#parked.add(pending);
    this.#breaker.stats.pending++;
  }

  #choose({ call, tried, avoid, only }: Pending): Endpoint | undefined {
    if (this.#closed) return undefined;
    if (only !== undefined) return tried.length === 0 && only.enabled ? only : undefined;
    return this.#options.poolOf(call).pickOther(call, tried, avoid);
  }
}

function refuse(pending: Pending, reason: string, cause: Error | undefined): void {
  turnAway(pending, unavailable(reason, cause));
}

function turnAway(pending: Pending, error: ConnectError): void {
  pending.done = true;
  pending.waiter.onUnavailable(error);
}
