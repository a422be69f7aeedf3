/** What an endpoint is made of: its limits, its transport, and whom it tells. */
import type { Log } from "../observe/log.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Dial, DialOptions } from "./transport.ts";
import type { Upstream } from "./upstream.ts";
import type { Pending } from "./waiter.ts";

/** Limits of one endpoint. */
export interface EndpointLimits {
  /** Connections open at once; more than one only where the peer's MAX_CONCURRENT_STREAMS is too small. */
  readonly maxConnections: number;
  /** Calls waiting for room. */
  readonly maxPending: number;
  /** RST_STREAM frames sent on a connection before another one takes its place. */
  readonly maxResetsPerConnection: number;
}

/** What an endpoint tells the upstream it belongs to. */
export interface EndpointOwner {
  /** `available` has changed. */
  onAvailable(endpoint: Endpoint): void;
  /** It failed, and should be connected to again at the next call (not before: nobody may need it). */
  onDue(endpoint: Endpoint): void;
  /** It can't be reached, or was closed: these have to go elsewhere. */
  onReturned(endpoint: Endpoint, pending: readonly Pending[], error: Error): void;
}

export interface EndpointParts {
  readonly name: string;
  readonly address: string;
  readonly limits: EndpointLimits;
  /** Streams a new connection is thought to carry, until one has told. */
  readonly roomOfNew: number;
  readonly dial: Dial;
  readonly dialOptions: DialOptions;
  readonly owner: EndpointOwner & Upstream;
  /** Name of the upstream, for the log. */
  readonly upstream: string;
  readonly log: Log | undefined;
}
