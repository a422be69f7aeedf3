/** The seams of http2/: the socket it runs over, and what it tells the owner of a connection and of a stream. */
import type { ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";

/** What its user may do with a stream, of whatever HTTP version. `StreamListener` is the other half of this seam. */
export interface HttpStream {
  /** Told all that comes of this stream; set before anything does. */
  listener: StreamListener;
  /** The peer has sent all. */
  readonly remoteEnded: boolean;
  /** We have sent all, or it waits to be sent. */
  readonly localEnded: boolean;
  /** Nothing is sent or received any more. */
  readonly closed: boolean;
  /** Sends a header block: the head, an interim head, or with `end` and behind DATA the trailers. */
  sendHeaders(fields: readonly Field[], end: boolean): void;
  /** Sends a part of the body. True: it has left; false: it is held back, and `onSent` tells as it leaves. */
  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean;
  /** Ends our side without trailers. */
  end(): void;
  /** Gives the peer credit for bytes of the body that have been got rid of. */
  consume(bytes: number): void;
  /** Ends the stream at once. The listener isn't told. */
  reset(code: ErrorCode): void;
  /** Drops what is held back, so that trailers can go out at once. */
  dropQueue(): void;
}

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
  onRequest?(stream: HttpStream, fields: Field[], end: boolean): StreamListener;
  /** Server role: a request was turned away unread by this limit of ours. */
  onLimit?(setting: "maxConcurrentStreams" | "maxHeaderListSize"): void;
  /** HTTP/1.1, server role: what came is no request that can be read or served, and was answered with this status. */
  onUnreadable?(status: number, message: string): void;
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
 * on this stream and was reset. `idle`: nothing moved for too long, and we have reset it. `request_too_large`,
 * `response_too_large`: the same for a message above a limit of ours. `connection`: it is lost.
 */
export type ResetCause =
  | "peer"
  | "malformed"
  | "unprocessed"
  | "connection"
  | "idle"
  | "request_too_large"
  | "response_too_large";

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
  /** Server role: whoever owns the connection ends it and wants the peer to be told why. */
  onRefused?(error: Error): void;
}
