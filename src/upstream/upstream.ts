/** Upstream: a named group of endpoints that calls are spread over. */
import type { Call, Protocol } from "../call.ts";
import type { Schema } from "../schema/schema.ts";
import type { Breaker, UpstreamStats } from "./breaker.ts";
import { createLookups, type Lookup, type LookupService } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import { EndpointGroup } from "./endpoint-group.ts";
import { dialHttp1 } from "./http1-transport.ts";
import type { UpstreamOptions } from "./options.ts";
import { type Dial, dial, dialSilently } from "./transport.ts";
import type { CallWaiter, CancelWait, Reached, Waiter } from "./waiter.ts";

export type { UpstreamOptions } from "./options.ts";

/** Where a relay sends a call to: an upstream, or what looks like one. */
export interface CallTarget {
  readonly name: string;
  /** What its endpoints speak, at least one. */
  readonly protocols: readonly Protocol[];
  /** Codecs that its handlers read. */
  readonly codecs: readonly string[];
  readonly schema: Schema | "reflection" | undefined;
  /** All of them, whatever their state; names that were never resolved have none yet. */
  readonly endpoints: readonly Endpoint[];
  /**
   * Finds a connection with room for one more stream and tells the waiter: at once, before this returns, where an endpoint
   * has one; else when there is one. An endpoint that can't be reached is replaced by another, each at most once per call.
   *
   * @param avoid an endpoint that has just turned this call away; taken only if there is no other
   * @returns what takes the waiter out again, or undefined if it has already been told
   */
  acquire(call: Call, waiter: CallWaiter, avoid?: Reached): CancelWait | undefined;
}

export interface Upstream extends CallTarget {
  acquire(call: Call, waiter: Waiter, avoid?: Reached): CancelWait | undefined;
  /** The HTTP version that they are spoken to in. */
  readonly http: "2" | "1.1";
  /** How much of it may be in use at once; who retries a call asks here whether that may be. */
  readonly breaker: Breaker;
  /** How much is in use, and what became of calls. */
  readonly stats: Readonly<UpstreamStats>;
  /** The same for one of its endpoints: no other takes its place, and whether it is healthy or ejected doesn't matter. */
  acquireAt(endpoint: Endpoint, call: Call, waiter: Waiter): CancelWait | undefined;
  /** Undefined once `endpoints` is what there is; before the first answer of a resolver, what waits for it. Never rejects. */
  resolved(): Promise<void> | undefined;
  /** Takes no more calls; streams that are open may end. */
  close(): void;
}

/** What reaches the outside world: replaced in tests. */
export interface UpstreamParts {
  readonly dial: Dial;
  /** Connects and says nothing: for health checks that ask for no more. */
  readonly dialTcp: Dial;
  readonly lookup: Lookup;
  readonly lookupService: LookupService;
}

/**
 * Creates an upstream. Nothing is connected to or resolved before the first call, but for health checks.
 *
 * @throws TypeError naming the value, if an endpoint isn't a URL, a limit isn't a positive number, TLS settings don't fit, or a
 * protocol isn't known or isn't one that the HTTP version carries
 * @throws RangeError naming it, if a setting of HTTP/2 isn't one or can't have its value
 */
export function createUpstream(options: UpstreamOptions, parts: Partial<UpstreamParts> = {}): Upstream {
  return new EndpointGroup(options, {
    dial: options.http === "1.1" ? dialHttp1 : dial,
    dialTcp: dialSilently(options.http === "1.1" ? "http/1.1" : "h2"),
    ...createLookups(options.dns),
    ...parts,
  });
}
