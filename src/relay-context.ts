/** Relay context: what the relays of a proxy share, and where one of them sends its call. */
import type { BridgeContext } from "./bridge.ts";
import type { Deadlines } from "./deadlines.ts";
import type { ForwardOptions } from "./forward.ts";
import type { Field } from "./http2/field.ts";
import type { CallRecord } from "./observe/call-record.ts";
import type { Rewrite } from "./route/director.ts";
import type { Endpoint } from "./upstream/endpoint.ts";
import type { CallTarget } from "./upstream/upstream.ts";

export interface RelayContext extends BridgeContext {
  readonly deadlines: Deadlines;
  readonly onCall: ((record: CallRecord) => void) | undefined;
}

/** Where a call is sent to: see `OneToOne`. */
export interface RelayedTo {
  readonly upstream: CallTarget;
  /** No other will do. */
  readonly endpoint?: Endpoint;
  readonly rewrite?: Rewrite;
  readonly timeoutMs?: number;
  readonly route?: string;
  /** Makes the request's fields, which may be shared. Default: `forwardFields` of the call. */
  readonly fieldsOf?: (options: ForwardOptions) => Field[];
}

const ofBranches = new WeakMap<RelayContext, RelayContext>();

/** The context of a call's branches, which are no calls of their own in the log. */
export function contextOfBranches(context: RelayContext): RelayContext {
  const known = ofBranches.get(context) ?? { ...context, onCall: undefined };
  ofBranches.set(context, known);
  return known;
}
