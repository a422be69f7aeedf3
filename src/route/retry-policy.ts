/** Retry policy: when a call may be tried again, how often, and how soon. */
import { Code } from "@connectrpc/connect";
import { checkPositive } from "../upstream/positive.ts";

/** Tries after the first. What an upstream has done no work for is always worth one; the rest is for the policy to say. */
export interface RetryPolicy {
  /** Tries after the first. Default 1, as Envoy. */
  readonly attempts?: number;
  /**
   * Statuses after which a call is tried again, besides calls that no server has begun to work for (no connection, a refused stream, a
   * GOAWAY): those always are. Default none: who names a status says that its methods may run twice.
   */
  readonly on?: readonly Code[];
  /** Milliseconds for one try; a try that takes longer is tried again. Default: the call's own time. */
  readonly perTryTimeoutMs?: number;
  /**
   * Bytes of a reply that are held back until its trailers tell whether it is a success. A reply that is longer passes, and isn't tried again.
   * Default 0: a reply that has begun is the caller's.
   */
  readonly holdReplyBytes?: number;
  /** Bytes of a request that are kept to be sent again; a call whose request is longer isn't tried again. Default 64 KiB. */
  readonly keepRequestBytes?: number;
  /**
   * Milliseconds after which another try begins beside those under way, whose first good reply counts; the others are cancelled. For methods
   * that may run twice. Default: none.
   */
  readonly hedgeDelayMs?: number;
  /** Longest delay before try N, which is a random part of (2^N - 1) x 25 ms. Default 250 ms, as Envoy. */
  readonly maxBackoffMs?: number;
}

export type CompleteRetryPolicy = Required<Omit<RetryPolicy, "perTryTimeoutMs" | "hedgeDelayMs" | "on">> &
  Pick<RetryPolicy, "perTryTimeoutMs" | "hedgeDelayMs"> & { readonly on: ReadonlySet<number> };

const known = new WeakMap<RetryPolicy, CompleteRetryPolicy>();

/**
 * Fills in the defaults.
 *
 * @throws TypeError naming the value that can't be
 */
export function completeRetry(policy: RetryPolicy): CompleteRetryPolicy {
  const before = known.get(policy);
  if (before !== undefined) return before;
  const { attempts = 1, on = [], perTryTimeoutMs, hedgeDelayMs } = policy;
  const { holdReplyBytes = 0, keepRequestBytes = 64 << 10, maxBackoffMs = 250 } = policy;
  checkPositive("retry", { attempts, perTryTimeoutMs, hedgeDelayMs });
  for (const [name, value] of Object.entries({ holdReplyBytes, keepRequestBytes, maxBackoffMs })) {
    if (!(value >= 0)) throw new TypeError(`retry: ${name} must not be less than 0, not ${value}`);
  }
  const statuses = new Set<number>(on);
  if (perTryTimeoutMs !== undefined) statuses.add(Code.DeadlineExceeded);
  const complete: CompleteRetryPolicy = {
    attempts,
    on: statuses,
    holdReplyBytes,
    keepRequestBytes,
    maxBackoffMs,
    ...(perTryTimeoutMs === undefined ? {} : { perTryTimeoutMs }),
    ...(hedgeDelayMs === undefined ? {} : { hedgeDelayMs }),
  };
  known.set(policy, complete);
  return complete;
}

const baseMs = 25;

/**
 * Milliseconds to wait before a try.
 *
 * @param again 1 for the second try
 * @param random a number in [0, 1)
 */
export function retryDelay(again: number, random: number, maxMs: number): number {
  return Math.min((2 ** again - 1) * baseMs, maxMs) * random;
}
