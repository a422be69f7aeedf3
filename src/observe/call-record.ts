/** What is known of a call once it is over: one line of the access log, one sample of a metric. */
import type { Call, Protocol } from "../call.ts";

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
