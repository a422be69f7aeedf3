/** Rate limit: so many calls per caller and second, with some at one go. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Admit, Call } from "../call.ts";
import { turn } from "../http2/turn.ts";
import { LimitError } from "../wire/limit-error.ts";

export interface RateLimitOptions {
  /** Calls per second, fractions allowed. */
  readonly perSecond: number;
  /** Calls at one go, behind which the rate counts. At least 1. Default: what the rate gives in a second. */
  readonly burst?: number;
  /**
   * Who has a bucket of their own. "peer": an address (of IPv6 the first 64 bits, which is what one host has). "certificate":
   * a client certificate. "identity": the name that `authorize` found. A header: its value. "all": one bucket for all calls.
   * Those who have none of what is asked for share one. Default "peer".
   */
  readonly by?: RateLimitKey;
  /** Buckets kept; beyond that whoever has not called for longest gets a fresh one. Default 10,000, about 2 MB. */
  readonly maxKeys?: number;
  /** What the log calls it. Default "rate limit". */
  readonly name?: string;
}

export type RateLimitKey = "peer" | "certificate" | "identity" | "all" | { readonly header: string };

const defaultMaxKeys = 10_000;

/** A key's characters, at most: a caller chooses a header's value, and its length with it. */
const maxKeyLength = 256;

/**
 * Makes the gate.
 *
 * @throws TypeError naming the value, if the rate isn't more than 0 or the burst less than 1
 */
export function rateLimit(options: RateLimitOptions): Admit {
  const { by = "peer", name = "rate limit" } = options;
  const buckets = new Buckets(options);
  const keyOf = keyMaker(by);
  return (call) => {
    const key = keyOf(call);
    const waitMs = buckets.take(key, turn.now);
    if (waitMs === 0) return undefined;
    const why = `${name} by ${describe(by)}: ${key === "" ? "no" : JSON.stringify(key)} must wait ${Math.ceil(waitMs)} ms, refused ${buckets.refused} so far`;
    const cause = new LimitError("rate_limit", why);
    throw new ConnectError("rate limit exceeded", Code.ResourceExhausted, whenAgain(call, waitMs), undefined, cause);
  };
}

/**
 * Token buckets, each as the one number that the generic cell rate algorithm needs: the time at which it will be full again.
 * A map keeps its keys in the order in which they were put in, so the first is the one not used for longest.
 */
export class Buckets {
  refused = 0;
  readonly #fullAt = new Map<string, number>();
  readonly #msPerCall: number;
  readonly #burstMs: number;
  readonly #maxKeys: number;

  constructor({ perSecond, burst, maxKeys = defaultMaxKeys }: RateLimitOptions) {
    if (!(perSecond > 0 && Number.isFinite(perSecond))) {
      throw new TypeError(`rate limit: perSecond must be more than 0, not ${perSecond}`);
    }
    const calls = burst ?? Math.max(1, Math.ceil(perSecond));
    if (!(calls >= 1)) throw new TypeError(`rate limit: burst must be at least 1, not ${calls}`);
    if (!(maxKeys >= 1)) throw new TypeError(`rate limit: maxKeys must be at least 1, not ${maxKeys}`);
    this.#msPerCall = 1_000 / perSecond;
    this.#burstMs = calls * this.#msPerCall;
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes a token. @returns 0, or the milliseconds until there will be one */
  take(key: string, now: number): number {
    const fullAt = Math.max(this.#fullAt.get(key) ?? now, now) + this.#msPerCall;
    const waitMs = fullAt - now - this.#burstMs;
    if (waitMs > 1e-6) {
      this.refused++;
      return waitMs;
    }
    this.#fullAt.delete(key);
    this.#fullAt.set(key, fullAt);
    if (this.#fullAt.size > this.#maxKeys) this.#fullAt.delete(this.#fullAt.keys().next().value!);
    return 0;
  }
}

function keyMaker(by: RateLimitKey): (call: Call) => string {
  if (typeof by === "object") {
    const name = by.header.toLowerCase();
    return (call) => (call.header(name) ?? "").slice(0, maxKeyLength);
  }
  switch (by) {
    case "peer":
      return (call) => networkOf(call.peer.address);
    case "certificate":
      return (call) => call.peer.certificate?.fingerprint256 ?? "";
    case "identity":
      return (call) => (call.identity?.name ?? "").slice(0, maxKeyLength);
    case "all":
      return () => "";
  }
}

function describe(by: RateLimitKey): string {
  return typeof by === "string" ? by : `header ${by.header}`;
}

/** An IPv4 address, or the first four groups of an IPv6 address: a host may choose the others as it likes. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const behind = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + behind < 8) groups.push("0");
    if (behind > 0) groups.push(...tail.split(":"));
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "").toLowerCase())
    .join(":")}::/64`;
}

/** gRPC clients with a retry policy heed the pushback (gRFC A6), those of HTTP retry-after, in whole seconds. */
function whenAgain({ protocol }: Call, waitMs: number): Record<string, string> {
  if (protocol === "connect") return { "retry-after": String(Math.ceil(waitMs / 1_000)) };
  return { "grpc-retry-pushback-ms": String(Math.ceil(waitMs)) };
}
