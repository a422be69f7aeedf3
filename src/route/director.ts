/** Director: where a call goes. The one decision that a user of the library writes. */
import type { Admit, Call } from "../call.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** Decides where a call goes; a thrown `ConnectError` is the answer to the caller. May be async. */
export type Director = (call: Call) => Destination | Promise<Destination>;

/** Where a call goes, and what is changed on the way. */
export type Destination = OneToOne;

/** One call to one endpoint of an upstream, picked anew for each call. */
export interface OneToOne {
  readonly mode: "one-to-one";
  readonly upstream: Upstream;
  readonly rewrite?: Rewrite;
  /** Milliseconds, at most; the caller's own deadline counts where it is shorter. Default: the caller's alone. */
  readonly timeoutMs?: number;
  /** Asked before the call is sent. Default: nobody. */
  readonly admit?: Admit;
}

/** What is changed in the request's headers. */
export interface Rewrite {
  /** Replaces :authority. Default: the caller's passes. */
  readonly authority?: string;
  /** Replaces the service name in :path. */
  readonly service?: string;
  /** Names (lower case) that are not passed on. */
  readonly removeHeaders?: readonly string[];
  /** Fields added after the caller's own. */
  readonly addHeaders?: readonly (readonly [name: string, value: string])[];
}
