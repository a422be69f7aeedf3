/** Stream: one request and its response on a connection (RFC 9113 section 5.1). */
import type { HttpStream, StreamListener } from "./api.ts";
import { type BodyRange, keepRange } from "./body.ts";
import type { ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import { turn } from "./turn.ts";

/** What a stream needs of the connection it is on. */
export interface StreamOwner {
  sendHeaders(stream: Http2Stream, fields: readonly Field[], end: boolean): void;
  /** Five plain parameters: an object for each DATA frame would be garbage on the hottest path there is. */
  sendData(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): boolean;
  /** Our END_STREAM is on its way. */
  sentEnd(stream: Http2Stream): void;
  resetStream(stream: Http2Stream, code: ErrorCode): void;
  consumed(stream: Http2Stream, bytes: number): void;
}

/** What waits in a stream for its window, the connection's or the socket. Made for bytes: an end alone never waits. */
export interface SendQueue {
  readonly pieces: BodyRange[];
  /** What comes behind the pieces: nothing yet, END_STREAM, or trailers. */
  tail: "open" | "end" | readonly Field[];
}

/** Bytes of all interim responses to a request, each of which counts as `leastInterim` at least. They are handed on, so nobody's window bounds them. */
const maxInterim = 16 << 10;
export const leastInterim = 1 << 10;

const nothing = new Uint8Array(0);

/** Listens to a stream until its owner has said who does. */
const nobody: StreamListener = {
  onHeaders() {},
  onData() {},
  onTrailers() {},
  onSent() {},
  onReset() {},
};

export class Http2Stream implements HttpStream {
  readonly id: number;
  listener: StreamListener = nobody;
  /** We have sent END_STREAM, or it waits behind queued DATA. */
  localEnded = false;
  /** The peer has sent END_STREAM. */
  remoteEnded = false;
  /** Nothing is sent or received any more. */
  closed = false;

  /** Bytes the peer lets us send. The connection's to change. */
  sendWindow: number;
  /** Bytes the peer may still send. */
  receiveWindow: number;
  /** Bytes taken that the peer hasn't been told of yet. */
  uncredited = 0;
  /** Bytes that content-length promised and that haven't come, or -1 without the header. */
  promised = -1;
  /** The request was HEAD: content-length of the response promises nothing. */
  bodyless = false;
  /** The response's header block (client role), or the request's (server role), has come. */
  headed = false;
  /** Bytes that interim responses may still have (client role). */
  interimLeft = maxInterim;
  queue: SendQueue | undefined;
  lastActive = turn.now;
  readonly #owner: StreamOwner;

  constructor(id: number, owner: StreamOwner, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.#owner = owner;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** Sends a header block: the response's, an interim one, or with `end` and after DATA the trailers. */
  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded) return;
    if (end) this.localEnded = true;
    if (this.queue !== undefined) {
      this.queue.tail = fields;
      return;
    }
    this.#owner.sendHeaders(this, fields, end);
  }

  /**
   * Sends a part of the body, or takes it into the queue where a window or the socket is full.
   *
   * @returns true if all of it has left; else `onSent` tells as it leaves. Nothing is ever refused: the sender bounds the
   * queue by granting its own source credit only for what has left.
   */
  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed || this.localEnded || (start === stop && !end)) return true;
    if (end) this.localEnded = true;
    if (this.queue === undefined && this.#owner.sendData(this, bytes, start, stop, end)) return true;
    this.queue ??= { pieces: [], tail: "open" };
    if (stop > start) keepRange(this.queue.pieces, bytes, start, stop);
    if (end) this.queue.tail = "end";
    return false;
  }

  /** Ends our side without trailers. */
  end(): void {
    this.sendData(nothing, 0, 0, true);
  }

  /** RST_STREAM; what waits in the queue is dropped. The listener isn't told. */
  reset(code: ErrorCode): void {
    if (!this.closed) this.#owner.resetStream(this, code);
  }

  /** Gives the peer credit for bytes of the body that have been got rid of. */
  consume(bytes: number): void {
    if (!this.closed && !this.remoteEnded) this.#owner.consumed(this, bytes);
  }

  /** Drops what waits to be sent, so that trailers can go out at once. */
  dropQueue(): void {
    if (this.queue === undefined) return;
    this.queue = undefined;
    this.localEnded = false;
  }

  /** All that waited is on its way: for the sender, which has taken the queue's tail to send it next. */
  queueSent(): void {
    this.queue = undefined;
  }

  /** END_STREAM that waited behind the queue is on its way. */
  endSent(): void {
    this.#owner.sentEnd(this);
  }
}
