/** The seams of http2/: the socket it runs over, and what it tells the owner of a connection and of a stream. */
import type { ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import type { Http2Stream } from "./stream.ts";

/** What a connection needs of a socket; `net.Socket` and `tls.TLSSocket` have it on every runtime. */
export interface ByteSocket {
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "end" | "close" | "drain", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  write(chunk: Uint8Array): boolean;
  end(): unknown;
  cork(): void;
  uncork(): void;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
  readonly writableLength: number;
}

/** What the owner of a connection is told. */
export interface ConnectionListener {
  /** Server role: a well-formed request. The listener it returns is told all the rest of that stream. */
  onRequest?(stream: Http2Stream, fields: Field[], end: boolean): StreamListener;
  /** Client role: the peer's first SETTINGS came, `room` is now its true limit. */
  onReady?(): void;
  /** Client role: `room` grew: a stream ended, or the peer raised its limit. */
  onRoom?(): void;
  /** The peer takes no new streams: `room` is 0. Those above its last id are told `onReset` with a safe cause next. */
  onGoaway?(code: ErrorCode): void;
  /** Nothing comes after this. Every open stream has been told `onReset` before. */
  onClose(error: Error | undefined): void;
}

/**
 * Why a stream ended before its time. `unprocessed`: the peer says that it did no work for it (REFUSED_STREAM, or above
 * GOAWAY's last id), so it is safe to try again. `malformed`: the peer broke a rule
 * on this stream and was reset. `idle`: nothing moved for too long, and we have reset it. `connection`: it is lost.
 */
export type ResetCause = "peer" | "malformed" | "unprocessed" | "connection" | "idle";

/** What the user of a stream is told. After `onReset`, or once both sides have ended, nothing more. */
export interface StreamListener {
  /** A header block that isn't trailers: of a response, interim (1xx) ones included. */
  onHeaders(fields: Field[], end: boolean): void;
  /**
   * Bytes `start` to `stop` of `bytes` are body; `end` says that the stream's other side is done. A range and not a
   * view: making a view for each small message costs more than the copy of it. The listener owes
   * `stream.consume(stop - start)` once it has got rid of them, and may keep `bytes` (nobody writes to it again).
   */
  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void;
  onTrailers(fields: Field[]): void;
  /** So many bytes that `sendData` held back have now left for the socket. */
  onSent(bytes: number): void;
  onReset(code: ErrorCode, cause: ResetCause): void;
}
