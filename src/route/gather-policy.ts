/** Gather policy: how long a fan-out waits for its legs, and what becomes of those that fail or aren't needed. */
import { checkPositive } from "../upstream/positive.ts";

/** How the replies of a fan-out are waited for. */
export interface GatherPolicy {
  /** For all legs, for so many successes, or for the first success. Of streams, all are waited for. Default "all". */
  readonly wait?: "all" | "first" | { readonly quorum: number };
  /** Milliseconds for one leg; the caller's remaining time counts where it is shorter. Default: the caller's alone. */
  readonly legTimeoutMs?: number;
  /** Legs under way at once; the others begin as these end. Default: all. */
  readonly maxConcurrent?: number;
  /** Order of the entries of a unary reply. Default "endpoint", whatever leg was quicker. */
  readonly order?: "endpoint" | "arrival";
  /** A leg that fails is an entry of the reply, or fails the call. Default "entries". */
  readonly fail?: "entries" | "call";
  /** Headers and trailers of the legs: all of them, one after the other, up to 8 KiB, or none. Default "merged", as the Go model. */
  readonly metadata?: "merged" | "none";
  /** A leg that takes the request slower than the others: the caller waits for it, or the leg fails. Default "wait". */
  readonly onSlow?: "wait" | "drop_leg";
  /** Bytes of one leg's reply message. Default 4 MiB, as gRPC. */
  readonly maxMessageBytes?: number;
  /** Bytes of all replies that are held together, and of a request that is held for legs to begin. Default 64 MiB. */
  readonly maxTotalBytes?: number;
}

/** A policy with nothing left open but a leg's time, which is then the caller's. */
export type CompleteGatherPolicy = Required<Omit<GatherPolicy, "legTimeoutMs">> & Pick<GatherPolicy, "legTimeoutMs">;

const defaults: CompleteGatherPolicy = {
  wait: "all",
  maxConcurrent: Number.POSITIVE_INFINITY,
  order: "endpoint",
  fail: "entries",
  metadata: "merged",
  onSlow: "wait",
  maxMessageBytes: 4 << 20,
  maxTotalBytes: 64 << 20,
};

const known = new WeakMap<GatherPolicy, CompleteGatherPolicy>();

/**
 * Fills in the defaults.
 *
 * @throws TypeError naming the value, if a number isn't above 0
 */
export function completeGather(policy: GatherPolicy | undefined): CompleteGatherPolicy {
  if (policy === undefined) return defaults;
  const before = known.get(policy);
  if (before !== undefined) return before;
  const { wait, legTimeoutMs, maxConcurrent, maxMessageBytes, maxTotalBytes } = policy;
  const quorum = typeof wait === "object" ? wait.quorum : undefined;
  checkPositive("gather", { quorum, legTimeoutMs, maxConcurrent, maxMessageBytes, maxTotalBytes });
  const complete = { ...defaults, ...policy };
  known.set(policy, complete);
  return complete;
}
