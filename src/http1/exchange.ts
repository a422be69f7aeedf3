/** Exchange: one request and its response on an HTTP/1.1 connection, with the face of a stream. */
import type { HttpStream, ResetCause, StreamListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";
import type { Output } from "../http2/output.ts";
import { turn } from "../http2/turn.ts";
import type { RequestHead } from "./head.ts";
import { type ResponseHead, readResponse } from "./response.ts";
import { ResponseBody } from "./response-body.ts";
import type { Http1Settings } from "./settings.ts";
import { closeLine, writeContinue, writeHead } from "./writer.ts";

/** What an exchange needs of the connection it is on. */
export interface ExchangeOwner {
  readonly settings: Http1Settings;
  readonly output: Output;
  /** The connection closes after this exchange, whatever its response is. */
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

/** Bytes of a request that may still come behind its response without a word: with more, it pays to tell the caller to stop. As Go's net/http. */
const worthReading = 256 << 10;

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
  /** There from the final head of the response on. */
  #body: ResponseBody | undefined;
  /** Bytes of request that have come, and how many of them behind the response. */
  #received = 0;
  #drained = 0;
  #continued = false;
  readonly #owner: ExchangeOwner;

  constructor(owner: ExchangeOwner, head: RequestHead, end: boolean) {
    this.#owner = owner;
    this.head = head;
    this.remoteEnded = end;
  }

  /** The response's head has been written, so no other can be. */
  get begun(): boolean {
    return this.#body !== undefined;
  }

  /** The response has begun and isn't whole: were the connection to end now, it would be cut. */
  get isCut(): boolean {
    return this.#body !== undefined && this.respondedAt === 0;
  }

  /** The peer waits to be asked for the body of its request, so what comes may as well be the next request. */
  get isUnasked(): boolean {
    return this.head.expectsContinue && !this.#continued && !this.remoteEnded;
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
    if (this.respondedAt === 0) this.unconsumed += length; // behind the response it is dropped, for which nobody needs to ask
    if (end) this.#requestEnded();
    this.listener.onData(bytes, start, stop, end);
    if (this.closed) return;
    if (end) return this.#owner.requested(this);
    if (this.respondedAt === 0) return;
    this.#drained += length;
    if (this.#drained > this.#owner.settings.maxDrainedBytes) this.#owner.overrun();
  }

  onTrailers(fields: Field[]): void {
    this.#requestEnded();
    this.listener.onTrailers(fields);
    if (!this.closed) this.#owner.requested(this);
  }

  // --- the stream that its user sees

  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded) return;
    this.lastActive = turn.now;
    const body = this.#body;
    if (body === undefined) return this.#sendHead(fields, end);
    const fault = end ? body.count(0, true) : "header section within a body";
    if (fault !== undefined) return this.#fault(fault);
    this.localEnded = true;
    if (body.end(this.#owner.output, fields)) this.#responded();
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    const length = stop - start;
    if (this.closed || this.localEnded || (length === 0 && !end)) return true;
    const { output } = this.#owner;
    const body = this.#body;
    const fault = body === undefined ? "body before the response's head" : body.count(length, end);
    if (body === undefined || fault !== undefined) {
      this.#fault(fault!);
      return true;
    }
    this.lastActive = turn.now;
    const isSent = length === 0 ? !body.isHeld : body.send(output, bytes, start, stop);
    if (!end) return isSent;
    this.localEnded = true;
    if (body.end(output)) this.#responded();
    return isSent;
  }

  end(): void {
    this.sendData(nothing, 0, 0, true);
  }

  consume(bytes: number): void {
    if (this.closed || this.remoteEnded) return;
    this.unconsumed = Math.max(0, this.unconsumed - bytes);
    this.#owner.consumed();
  }

  /** NO_ERROR behind a whole response asks the peer only to stop: here that has a bound of its own, `maxDrainedBytes`. */
  reset(code: ErrorCode): void {
    if (this.closed || (code === ErrorCode.noError && this.respondedAt > 0)) return;
    this.#owner.resetExchange(this, code);
  }

  dropQueue(): void {
    if (this.#body?.isHeld !== true) return;
    this.#body.drop();
    this.localEnded = false;
  }

  // --- what the connection tells it

  /** The socket has room. */
  pump(): void {
    if (this.#body?.isHeld !== true) return;
    this.lastActive = turn.now;
    if (this.#body.pump(this.#owner.output, this.listener)) this.#responded();
  }

  /** Nothing is sent or received any more. */
  close(): void {
    this.closed = true;
    this.#body?.drop();
  }

  /** Closes it and tells its user why. */
  abandon(code: ErrorCode, cause: ResetCause): void {
    this.close();
    this.listener.onReset(code, cause);
  }

  /** From here on the socket is read whatever is consumed, or it wouldn't be seen that the peer goes away. */
  #requestEnded(): void {
    this.remoteEnded = true;
    this.unconsumed = 0;
  }

  #sendHead(fields: readonly Field[], end: boolean): void {
    const { output, settings } = this.#owner;
    const response = readResponse(fields, end, this.head);
    if (response === undefined) return this.#fault("response head that HTTP/1.1 can't carry");
    const { framing, added } = response;
    if (response.isInterim) {
      if (!this.head.isHttp10) writeHead(output, response, ""); // which has none of them (RFC 9110 section 15.2)
      return;
    }
    this.#body = new ResponseBody(framing, response.length, settings.maxSocketBuffer);
    this.willClose =
      framing === "close" || this.isUnasked || this.#isRefusal(response, end) || this.#owner.isLast(this);
    writeHead(output, response, this.willClose ? added + closeLine : added);
    if (!end) return;
    this.localEnded = true;
    this.#responded();
  }

  /** An error, or a whole response, before so much of the request has come that what follows isn't worth to be read. */
  #isRefusal({ statusLine }: ResponseHead, end: boolean): boolean {
    const left = this.head.contentLength - this.#received;
    return left > Math.min(worthReading, this.#owner.settings.maxDrainedBytes) && (end || statusLine >= "HTTP/1.1 4");
  }

  #responded(): void {
    this.respondedAt = turn.now;
    this.#owner.responded(this);
  }

  #fault(why: string): void {
    this.localEnded = true;
    this.#body?.drop();
    this.#owner.fault(this, why);
  }
}
