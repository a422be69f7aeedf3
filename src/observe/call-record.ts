/** What is known of a call once it is over, or of a request that was none: one line of the access log, one sample of a metric. */
import type { Call, Peer, Protocol } from "../call.ts";

export interface CallRecord {
  readonly call: Call;
  /** gRPC status: 0 is success; numbers gRPC doesn't know are kept. */
  readonly status: number;
  /** The status message the caller got, decoded. */
  readonly message?: string;
  /** Name or address of the endpoint that answered; undefined where none was reached. */
  readonly endpoint?: string;
  /** What the endpoint was spoken to in; undefined where none was reached. */
  readonly upstreamProtocol?: Protocol;
  /** Bytes of the request's body, message prefixes included. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  /** What the route that took the call is called; undefined where none did, or a director of the user's says nothing. */
  readonly route?: string;
  /** Name of the upstream that it was for. */
  readonly upstream?: string;
  /** Name of the limit that turned it away. */
  readonly limit?: string;
  /** For the log alone, never sent: what went wrong, with addresses. */
  readonly detail?: string;
}

/** A request that was refused in plain HTTP before it was an RPC. What couldn't be read of it isn't there. */
export interface HttpRefusalRecord {
  readonly peer: Peer;
  /** HTTP's: 404, 405, 415, 505, or what is answered to a request that breaks HTTP/1.1, such as 400. */
  readonly httpStatus: number;
  /** Why, as the caller was told. */
  readonly message: string;
  readonly method?: string;
  /** With its query, as it came. */
  readonly path?: string;
  readonly authority?: string;
}
