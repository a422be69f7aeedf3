/** Circuit breaker: how much of an upstream may be in use at once, and how much is. */
import type { ConnectError } from "@connectrpc/connect";
import { LimitError } from "../wire/limit-error.ts";
import { unavailable } from "./waiter.ts";

/** Limits of a whole upstream, over all of its endpoints. */
export interface BreakerLimits {
  /** Connections that are open or being opened. Each endpoint may have one all the same. Default 1,024, as Envoy. */
  readonly connections: number;
  /** Calls that wait for room on a connection, or for a resolver. Default 1,024, as Envoy. */
  readonly pending: number;
  /** Calls in flight. Default 1,024, as Envoy. */
  readonly requests: number;
  /** Retries in flight, or a fifth of the calls in flight where that is more. Default 3, as Envoy. */
  readonly retries: number;
}

export const defaultBreaker: BreakerLimits = { connections: 1_024, pending: 1_024, requests: 1_024, retries: 3 };

/** Retries may be this share of the calls in flight. */
const retryShare = 0.2;

/** Counters of an upstream, to be read at any time and written by its parts only. */
export interface UpstreamStats {
  /** Attempts in flight. */
  active: number;
  /** Calls that wait. */
  pending: number;
  /** Connections that are open or being opened. */
  connections: number;
  /** Retries in flight. */
  retries: number;
  /** Attempts since the start. */
  attempts: number;
  /** Attempts that failed in a way that speaks against their endpoint. */
  failures: number;
  /** Ejections since the start. */
  ejections: number;
  /** What each limit has turned away since the start. */
  readonly rejected: Record<keyof BreakerLimits, number>;
  /** So few endpoints are ready that all are used. */
  panic: boolean;
}

export class Breaker {
  readonly limits: BreakerLimits;
  readonly stats: UpstreamStats = {
    active: 0,
    pending: 0,
    connections: 0,
    retries: 0,
    attempts: 0,
    failures: 0,
    ejections: 0,
    rejected: { connections: 0, pending: 0, requests: 0, retries: 0 },
    panic: false,
  };
  /** What of these is meant for one endpoint: it counts there alone, and not against the limits of the whole. */
  readonly alone = { active: 0, pending: 0 };
  readonly #upstream: string;

  constructor(limits: BreakerLimits, upstream: string) {
    this.limits = limits;
    this.#upstream = upstream;
  }

  /** No call may begin. */
  get full(): boolean {
    return this.stats.active - this.alone.active >= this.limits.requests;
  }

  /** A call may wait. */
  get mayWait(): boolean {
    return this.stats.pending - this.alone.pending < this.limits.pending;
  }

  /** Another connection may be opened. @param first to an endpoint that has none: it may always */
  mayConnect(first: boolean): boolean {
    if (first || this.stats.connections < this.limits.connections) return true;
    this.stats.rejected.connections++;
    return false;
  }

  /** Begins a retry; `endRetry` is called once it is over. False: there are too many. */
  beginRetry(): boolean {
    const { stats, limits } = this;
    if (stats.retries >= Math.max(limits.retries, stats.active * retryShare)) {
      stats.rejected.retries++;
      return false;
    }
    stats.retries++;
    return true;
  }

  endRetry(): void {
    this.stats.retries--;
  }

  /** The answer to a call that a limit turns away. Its cause, for the log, names the limit. */
  reject(limit: "pending" | "requests"): ConnectError {
    this.stats.rejected[limit]++;
    return unavailable(reasons[limit], new LimitError(limit, this.describe(limit)));
  }

  /** "limit requests of upstream "users" is reached: 1024" */
  describe(limit: keyof BreakerLimits): string {
    return `limit ${limit} of upstream "${this.#upstream}" is reached: ${this.limits[limit]}`;
  }
}

const reasons = { pending: "too many calls waiting", requests: "too many calls" };
