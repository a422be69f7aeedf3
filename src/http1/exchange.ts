/** Exchange: one request and its response on an HTTP/1.1 connection, with the face of a stream. */
import type { HttpStream, ResetCause, StreamListener } from "../http2/api.ts";
import type { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";
import type { Output } from "../http2/output.ts";
import type { SendQueue } from "../http2/stream.ts";
import { turn } from "../http2/turn.ts";
import type { RequestHead } from "./head.ts";
import { type BodyFraming, type ResponseHead, readResponse } from "./response.ts";
import type { Http1Settings } from "./settings.ts";
import { closeLine, writeChunkEnd, writeChunkHead, writeContinue, writeHead, writeLastChunk } from "./writer.ts";

/** What an exchange needs of the connection it is on. */
export interface ExchangeOwner {
  readonly settings: Http1Settings;
  readonly output: Output;
  /** The connection closes after this response: it must say so. */
  isLast(exchange: Exchange): boolean;
  /** All of the response has been written. */
  responded(exchange: Exchange): void;
  /** The request is whole. */
  requested(exchange: Exchange): void;
  /** The window of the exchange may have room again. */
  consumed(): void;
  /** More of the request came behind the response than is worth to keep the connection for. */
  overrun(): void;
  resetExchange(exchange: Exchange, code: ErrorCode): void;
  /** The response breaks a promise of its own: nobody may take it for whole. */
  fault(exchange: Exchange, why: string): void;
}

/** A slice that is less than this part of its chunk is copied when it has to wait, so that it doesn't pin the chunk. */
const pinFactor = 8;

const nothing = new Uint8Array(0);

/** Until `onRequest` has returned. */
const nobody: StreamListener = { onHeaders() {}, onData() {}, onTrailers() {}, onSent() {}, onReset() {} };

export class Exchange implements HttpStream {
  listener: StreamListener = nobody;
  remoteEnded: boolean;
  localEnded = false;
  closed = false;
  readonly head: RequestHead;
  /** Bytes of body handed out and not consumed. */
  unconsumed = 0;
  /** When something was last sent or received. */
  lastActive = turn.now;
  /** When all of the response had been written, or 0. */
  respondedAt = 0;
  /** The connection closes with this exchange. */
  willClose = false;
  #framing: BodyFraming | undefined;
  /** Bytes of response that content-length promised and that haven't been given to us. */
  #promised = 0;
  #queue: SendQueue | undefined;
  /** Bytes of request that have come, and how many of them behind the response. */
  #received = 0;
  #drained = 0;
  /** Bytes written since the output was last seen to be flushed. */
  #gathered = 0;
  #continued = false;
  readonly #owner: ExchangeOwner;

  constructor(owner: ExchangeOwner, head: RequestHead, end: boolean) {
    this.#owner = owner;
    this.head = head;
    this.remoteEnded = end;
  }

  /** The response's head has been written, so no other can be. */
  get begun(): boolean {
    return this.#framing !== undefined;
  }

  /** The response has begun and isn't whole: were the connection to end now, it would be cut. */
  get isCut(): boolean {
    return this.#framing !== undefined && this.respondedAt === 0;
  }

  /** Only the connection's end tells that the response is whole. */
  get endsWithClose(): boolean {
    return this.#framing === "close";
  }

  /** The peer waits to be asked for the body of its request, so what comes may as well be the next request. */
  get isUnasked(): boolean {
    return this.head.expectsContinue && !this.#continued && !this.remoteEnded;
  }

  /** Bytes of the request that are known to be still to come; 0 where only its end will tell. */
  get requestLeft(): number {
    return Math.max(0, this.head.contentLength - this.#received);
  }

  /**
   * Asks for the body. At once and not when some of it is consumed: credit is for bytes that came, and a listener that takes a
   * request without refusing it wants its body.
   */
  continue(): void {
    this.#continued = true;
    writeContinue(this.#owner.output);
  }

  // --- what the request's bytes mean

  onBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const length = stop - start;
    this.lastActive = turn.now;
    this.#received += length;
    this.unconsumed += length;
    if (end) this.remoteEnded = true;
    this.listener.onData(bytes, start, stop, end);
    if (this.closed) return;
    if (end) return this.#owner.requested(this);
    if (this.respondedAt === 0) return;
    this.#drained += length;
    if (this.#drained > this.#owner.settings.maxDrainedBytes) this.#owner.overrun();
  }

  onTrailers(fields: Field[]): void {
    this.remoteEnded = true;
    this.listener.onTrailers(fields);
    if (!this.closed) this.#owner.requested(this);
  }

  // --- the stream that its user sees

  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded) return;
    this.lastActive = turn.now;
    if (this.#framing === undefined) return this.#sendHead(fields, end);
    if (!end) return this.#fault("header section within a body");
    this.localEnded = true;
    if (this.#queue !== undefined) this.#queue.tail = fields;
    else this.#sendTrailers(fields);
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    const length = stop - start;
    if (this.closed || this.localEnded || (length === 0 && !end)) return true;
    if (!this.#keepsPromise(length, end)) return true;
    if (end) this.localEnded = true;
    if (this.#queue === undefined && (length === 0 || this.#framing === "none" || !this.#owner.output.congested)) {
      if (length > 0) this.#writeBody(bytes, start, stop);
      if (end) this.#sendEnd();
      return true;
    }
    this.#enqueue(bytes, start, stop);
    if (end) this.#queue!.tail = "end";
    return false;
  }

  end(): void {
    this.sendData(nothing, 0, 0, true);
  }

  consume(bytes: number): void {
    if (this.closed || this.remoteEnded) return;
    this.unconsumed = Math.max(0, this.unconsumed - bytes);
    this.#owner.consumed();
  }

  reset(code: ErrorCode): void {
    if (!this.closed) this.#owner.resetExchange(this, code);
  }

  /** Behind a content-length what was dropped is missing, which is a fault as soon as the response ends. */
  dropQueue(): void {
    if (this.#queue === undefined) return;
    for (const { start, stop } of this.#queue.pieces) this.#promised += stop - start;
    this.#queue = undefined;
    this.localEnded = false;
  }

  // --- what the connection tells it

  /** The socket has room. */
  pump(): void {
    const { output } = this.#owner;
    while (this.#queue !== undefined && !output.congested) {
      const queue: SendQueue = this.#queue;
      const piece = queue.pieces.shift();
      if (queue.pieces.length === 0 && queue.tail === "open") this.#queue = undefined;
      if (piece !== undefined) {
        this.lastActive = turn.now;
        this.#writeBody(piece.bytes, piece.start, piece.stop);
        this.listener.onSent(piece.stop - piece.start);
        continue;
      }
      this.#queue = undefined;
      if (queue.tail === "end") this.#sendEnd();
      else if (queue.tail !== "open") this.#sendTrailers(queue.tail);
    }
  }

  /** Nothing is sent or received any more. */
  close(): void {
    this.closed = true;
    this.#queue = undefined;
  }

  /** Closes it and tells its user why. */
  abandon(code: ErrorCode, cause: ResetCause): void {
    this.close();
    this.listener.onReset(code, cause);
  }

  #sendHead(fields: readonly Field[], end: boolean): void {
    const response = readResponse(fields, end, this.head);
    if (response === undefined) return this.#fault("response head that HTTP/1.1 can't carry");
    if (response.isInterim) return this.#sendInterim(response);
    const { framing } = response;
    this.#framing = framing;
    this.#promised = response.length;
    this.willClose = framing === "close" || this.#owner.isLast(this);
    const { added } = response;
    writeHead(this.#owner.output, response, this.willClose ? added + closeLine : added);
    if (!end) return;
    this.localEnded = true;
    this.#responded();
  }

  /** HTTP/1.0 has none of them (RFC 9110 section 15.2). */
  #sendInterim(response: ResponseHead): void {
    if (!this.head.isHttp10) writeHead(this.#owner.output, response, "");
  }

  #sendEnd(): void {
    if (this.#framing === "chunked") writeLastChunk(this.#owner.output, []);
    this.#responded();
  }

  /** Only chunks have trailers; elsewhere they are dropped, as RFC 9110 section 6.5.1 allows. */
  #sendTrailers(fields: readonly Field[]): void {
    if (!this.#keepsPromise(0, true)) return;
    if (this.#framing === "chunked") writeLastChunk(this.#owner.output, fields);
    this.#responded();
  }

  #responded(): void {
    this.respondedAt = turn.now;
    this.#owner.responded(this);
  }

  #writeBody(bytes: Uint8Array, start: number, stop: number): void {
    if (this.#framing === "none") return;
    const { output, settings } = this.#owner;
    this.lastActive = turn.now;
    if (this.#framing === "chunked") {
      writeChunkHead(output, stop - start);
      output.append(bytes, start, stop);
      writeChunkEnd(output);
    } else {
      output.append(bytes, start, stop);
    }
    // within one turn too nobody may fill memory that the peer doesn't drain
    this.#gathered += stop - start;
    if (this.#gathered <= settings.maxSocketBuffer) return;
    this.#gathered = 0;
    output.flush();
  }

  /** More than content-length says would be read as the next response (fault C4), less as a part of it. */
  #keepsPromise(length: number, end: boolean): boolean {
    if (this.#framing === undefined) {
      this.#fault("body before the response's head");
      return false;
    }
    if (this.#framing !== "length") return true;
    this.#promised -= length;
    if (this.#promised >= 0 && !(end && this.#promised > 0)) return true;
    this.#fault(`body ${this.#promised < 0 ? "longer" : "shorter"} than its content-length`);
    return false;
  }

  #fault(why: string): void {
    this.localEnded = true;
    this.#queue = undefined;
    this.#owner.fault(this, why);
  }

  #enqueue(bytes: Uint8Array, start: number, stop: number): void {
    this.#queue ??= { pieces: [], tail: "open" };
    if (start === stop) return;
    if ((stop - start) * pinFactor < bytes.buffer.byteLength) {
      const copy = new Uint8Array(bytes.subarray(start, stop));
      this.#queue.pieces.push({ bytes: copy, start: 0, stop: copy.length });
    } else {
      this.#queue.pieces.push({ bytes, start, stop });
    }
  }
}
