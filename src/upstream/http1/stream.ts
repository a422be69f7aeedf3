/** Stream: one request on an HTTP/1.1 connection to an upstream, and its response. */
import type { HttpStream, StreamListener } from "../../http2/api.ts";
import type { BodyRange } from "../../http2/body.ts";
import { ErrorCode } from "../../http2/errors.ts";
import type { Field } from "../../http2/field.ts";

/** What a stream needs of the connection it is on. */
export interface ClientStreamOwner {
  /** Body has to be held back. */
  readonly congested: boolean;
  writeBody(bytes: Uint8Array, start: number, stop: number, chunked: boolean): void;
  /** The request is whole. */
  writeEnd(trailers: readonly Field[], chunked: boolean): void;
  /** So many bytes of the response are with its reader. */
  onUnconsumed(bytes: number): void;
  resetStream(): void;
}

const none: readonly Field[] = [];

export class Http1ClientStream implements HttpStream {
  listener: StreamListener;
  remoteEnded = false;
  localEnded = false;
  closed = false;
  /** The request is written to its end. */
  sentAll = false;
  readonly #owner: ClientStreamOwner;
  readonly #chunked: boolean;
  /** Bytes that content-length promised and that haven't been sent. */
  #promised: number;
  #queue: BodyRange[] = [];
  #trailers: readonly Field[] = none;
  #unconsumed = 0;

  /** @param contentLength -1 for a chunked request */
  constructor(owner: ClientStreamOwner, listener: StreamListener, contentLength: number) {
    this.#owner = owner;
    this.listener = listener;
    this.#chunked = contentLength < 0;
    this.#promised = contentLength;
  }

  /** Trailers: the head has gone out with the request. Without chunks there is no place for them. */
  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded || !end) return;
    this.#trailers = fields;
    this.#finish();
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed || this.localEnded) return true;
    if (!this.#chunked) {
      this.#promised -= stop - start;
      if (this.#promised < 0) {
        this.#giveUp(); // what is beyond the promised length would be read as another request
        return true;
      }
    }
    const held = this.#queue.length > 0 || this.#owner.congested;
    if (start < stop) {
      if (held) this.#queue.push({ bytes, start, stop });
      else this.#owner.writeBody(bytes, start, stop, this.#chunked);
    }
    if (end) this.#finish();
    return !held || start === stop;
  }

  /** Behind the whole response the rest of the request is of no use: what is cut off must not look like a whole one. */
  end(): void {
    if (this.closed || this.localEnded) return;
    if (this.remoteEnded) this.reset(ErrorCode.noError);
    else this.#finish();
  }

  consume(bytes: number): void {
    if (this.closed) return;
    this.#unconsumed -= bytes;
    this.#owner.onUnconsumed(this.#unconsumed);
  }

  reset(_code: ErrorCode): void {
    if (this.closed) return;
    this.close();
    this.#owner.resetStream();
  }

  /** What is held back may be the middle of the body: behind the cut nothing can follow but the end of the connection. */
  dropQueue(): void {
    if (this.#queue.length > 0) this.reset(ErrorCode.cancel);
  }

  // --- for the connection

  receiveHead(fields: Field[], end: boolean): void {
    if (end) this.remoteEnded = true;
    if (!this.closed) this.listener.onHeaders(fields, end);
  }

  receiveBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (end) this.remoteEnded = true;
    if (this.closed) return;
    this.#unconsumed += stop - start;
    this.listener.onData(bytes, start, stop, end);
    if (!this.closed) this.#owner.onUnconsumed(this.#unconsumed);
  }

  receiveTrailers(fields: Field[]): void {
    this.remoteEnded = true;
    if (!this.closed) this.listener.onTrailers(fields);
  }

  /** The socket has room again. */
  pump(): void {
    if (this.closed) return;
    let sent = 0;
    while (this.#queue.length > 0 && !this.#owner.congested) {
      const { bytes, start, stop } = this.#queue.shift()!;
      this.#owner.writeBody(bytes, start, stop, this.#chunked);
      sent += stop - start;
    }
    if (this.localEnded && this.#queue.length === 0) this.#writeEnd();
    if (sent > 0) this.listener.onSent(sent);
  }

  /** Nothing is sent or received any more. */
  close(): void {
    this.closed = true;
    this.#queue = [];
  }

  #finish(): void {
    if (this.#promised > 0) return this.#giveUp();
    this.localEnded = true;
    if (this.#queue.length === 0) this.#writeEnd();
  }

  #writeEnd(): void {
    if (this.sentAll) return;
    this.sentAll = true;
    this.#owner.writeEnd(this.#trailers, this.#chunked);
  }

  /** The body isn't as long as was promised. */
  #giveUp(): void {
    this.reset(ErrorCode.internalError);
    queueMicrotask(() => this.listener.onReset(ErrorCode.internalError, "peer"));
  }
}
