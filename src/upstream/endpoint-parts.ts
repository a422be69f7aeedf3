/** What an endpoint is made of: its limits, its transport, and whom it tells. */
import type { Log } from "../observe/log.ts";
import type { MessageLimits } from "../wire/message-limit.ts";
import type { Endpoint } from "./endpoint.ts";
import type { OutlierSettings } from "./outlier.ts";
import type { Target } from "./target.ts";
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

/** Counters of one endpoint: plain numbers, to be read at any time and written by it only. */
export interface EndpointStats {
  /** Attempts in flight. */
  active: number;
  /** Attempts since the start. */
  attempts: number;
  /** Attempts that failed in a way that speaks against the endpoint. */
  failures: number;
  /** Attempts to connect that failed. */
  connectFailures: number;
  ejections: number;
}

/** What an endpoint tells the upstream it belongs to. */
export interface EndpointOwner {
  /** Not so many others are ejected that this one has to stay. */
  mayEject(): boolean;
  /** `available`, `enabled` or `ready` has changed. */
  onAvailable(endpoint: Endpoint): void;
  /** It failed, and should be connected to again at the next call (not before: nobody may need it). */
  onDue(endpoint: Endpoint): void;
  /** It can't be reached, or was closed: these have to go elsewhere. */
  onReturned(endpoint: Endpoint, pending: readonly Pending[], error: Error): void;
}

export interface EndpointParts {
  /** What was configured of it. */
  readonly target: Target;
  readonly address: string;
  readonly limits: EndpointLimits;
  /** Streams a new connection is thought to carry, until one has told. */
  readonly roomOfNew: number;
  readonly dial: Dial;
  readonly dialOptions: DialOptions;
  readonly owner: EndpointOwner & Upstream;
  readonly outlier: OutlierSettings | undefined;
  /** Undefined where messages may have any size. */
  readonly messages: MessageLimits | undefined;
  /** Its health is checked: it isn't healthy before the first answer. */
  readonly checked: boolean;
  /** Name of the upstream, for the log. */
  readonly upstream: string;
  readonly log: Log | undefined;
}
