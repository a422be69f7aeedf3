/** Connection: what a call needs of a connection to an upstream, of whatever HTTP version. */
import type { HttpStream, StreamListener } from "../http2/api.ts";
import type { Field } from "../http2/field.ts";

export interface UpstreamConnection {
  /** Streams that may be opened now; 0 once no more will be. */
  readonly room: number;
  /** Streams that are open. */
  readonly streamCount: number;
  /** RST_STREAM frames sent in its life; 0 where there are no such frames. */
  readonly resetsSent: number;
  readonly closed: boolean;
  /** Opens a stream with a request. Call only while `room` is above 0. */
  request(fields: readonly Field[], end: boolean, listener: StreamListener): HttpStream;
  /** Takes no more streams; closed when the last one has ended. */
  shutdown(): void;
  /** Ends at once; every stream is told. */
  destroy(error?: Error): void;
}
