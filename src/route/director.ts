/** Director: where a call goes. The one decision that a user of the library writes. */
import type { Admit, Call } from "../call.ts";
import type { Layout } from "../layout/layout.ts";
import type { Schema } from "../schema/schema.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { GatherPolicy } from "./gather-policy.ts";
import type { RetryPolicy } from "./retry-policy.ts";

/** Decides where a call goes; a thrown `ConnectError` is the answer to the caller. May be async. */
export type Director = (call: Call) => Destination | Promise<Destination>;

/** Where a call goes, and what is changed on the way. */
export type Destination = OneToOne | OneToMany;

/** One call to one endpoint of an upstream, picked anew for each call. */
export interface OneToOne {
  readonly mode: "one-to-one";
  /** What metrics call the rule that it comes from. Default: nothing. */
  readonly route?: string;
  readonly upstream: Upstream;
  /** The one endpoint of it that the call is for. Default: picked anew for each call. */
  readonly endpoint?: Endpoint;
  readonly rewrite?: Rewrite;
  /** When and how often the call is tried again. Default: only what an upstream has turned away unread, at once, up to three times. */
  readonly retry?: RetryPolicy;
  /** Milliseconds, at most; the caller's own deadline counts where it is shorter. Default: the caller's alone. */
  readonly timeoutMs?: number;
  /** Asked before the call is sent. Default: nobody. */
  readonly admit?: Admit;
}

/** One call to many endpoints, whose replies are gathered by a layout. */
export interface OneToMany {
  readonly mode: "one-to-many";
  /** What metrics call the rule that it comes from. Default: nothing. */
  readonly route?: string;
  /** In the order of the reply. None at all is `unavailable`. */
  readonly endpoints: readonly Endpoint[];
  readonly layout: Layout;
  /** Default: what the schema of the first endpoint's upstream says of the method; "stream" where that is nothing. */
  readonly kind?: FanOutKind;
  readonly gather?: GatherPolicy;
  readonly rewrite?: Rewrite;
  /**
   * The endpoints are Manifolds, which answer with joined replies of the same layout: these are passed as they are. Default: where a
   * reply says so of itself.
   */
  readonly nested?: boolean;
  /** What is known of the method as the caller calls it: for callers that speak JSON. Default: made of the upstream's schema. */
  readonly schema?: Schema;
  /** Metadata for one endpoint's request, besides the caller's. What it throws is that leg's failure. */
  readonly outgoing?: (endpoint: Endpoint, call: Call) => readonly (readonly [name: string, value: string])[];
  /** Milliseconds for the whole call, at most. Default: the caller's own deadline. */
  readonly timeoutMs?: number;
  /** Asked before the call is sent. Default: nobody. */
  readonly admit?: Admit;
}

/**
 * "unary" gathers one reply of each leg into one message. "stream" tags every message and passes it on at once, which is right for
 * every method whose reply is read as a stream. "progressive" calls a unary method, and its caller reads a stream: each leg's reply is a
 * joined reply of its own, as soon as it is there.
 */
export type FanOutKind = "unary" | "stream" | "progressive";

/** What is changed in the request's headers. */
export interface Rewrite {
  /** Replaces :authority. Default: the caller's passes. */
  readonly authority?: string;
  /** Replaces the service name in :path. */
  readonly service?: string;
  /** Replaces the method name in :path. */
  readonly method?: string;
  /** Names (lower case) that are not passed on. */
  readonly removeHeaders?: readonly string[];
  /** Fields added after the caller's own. */
  readonly addHeaders?: readonly (readonly [name: string, value: string])[];
}
