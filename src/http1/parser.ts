/** Parser: bytes in, requests out, one at a time, however the bytes are split (RFC 9112). */
import { BodyReader, type BodySink } from "./body-reader.ts";
import { Carry } from "./carry.ts";
import { CR, LF } from "./characters.ts";
import { type FieldLine, parseFieldLine } from "./field-line.ts";
import { HeadBuilder, type RequestHead } from "./head.ts";
import { LineMemo } from "./line-memo.ts";
import { badRequest, RequestError } from "./request-error.ts";
import { parseRequestLine, type RequestLine } from "./request-line.ts";
import type { Http1Settings } from "./settings.ts";

/** Told what a request is made of, in its order. With `end`, or trailers, the request is whole. */
export interface RequestSink extends BodySink {
  onHead(head: RequestHead, end: boolean): void;
}

const State = {
  requestLine: 0,
  headerSection: 1,
  /** And where that is done, nothing is read until `next`. */
  body: 2,
  stopped: 3,
} as const;
type State = (typeof State)[keyof typeof State];

/** Lines that one connection repeats: of a browser some 20 fields a request, and a few values of those that change. */
const requestLinesKept = 16;
const fieldLinesKept = 48;

/** Bytes of a line's end. */
const CRLF = 2;

export class RequestParser {
  #state: State = State.requestLine;
  /** Bytes of this line, or of the section that it belongs to, that may still come. */
  #lineLeft = 0;
  #fieldsLeft = 0;
  #emptyLines = 0;
  /** The begin of a line whose end wasn't in the same chunk of input. */
  readonly #carry = new Carry();
  readonly #requestLines = new LineMemo<RequestLine>(requestLinesKept);
  readonly #fieldLines = new LineMemo<FieldLine>(fieldLinesKept);
  readonly #head: HeadBuilder;
  readonly #body: BodyReader;
  readonly #sink: RequestSink;
  readonly #settings: Http1Settings;

  /** @param secure the connection is TLS */
  constructor(sink: RequestSink, settings: Http1Settings, secure: boolean) {
    this.#sink = sink;
    this.#settings = settings;
    this.#head = new HeadBuilder(secure);
    this.#body = new BodyReader(sink, settings);
    this.next();
  }

  /** A request has begun whose header section isn't whole. */
  get inHead(): boolean {
    return (this.#state === State.requestLine && this.#carry.length > 0) || this.#state === State.headerSection;
  }

  /** A request is whole; the next is read after `next`. */
  get isWhole(): boolean {
    return this.#state === State.body && this.#body.isDone;
  }

  /** Goes on to the next request. */
  next(): void {
    this.#begin(State.requestLine, this.#settings.maxRequestLine + CRLF);
    this.#emptyLines = 0;
    this.#carry.trim();
  }

  /** Nothing is read any more; may be called by the sink. */
  stop(): void {
    this.#state = State.stopped;
  }

  /**
   * Reads the bytes from `start` to `stop`, or up to the end of the request.
   *
   * @returns where it stopped to read
   * @throws RequestError for what can't be read or isn't served
   */
  receive(bytes: Uint8Array, start: number, stop: number): number {
    const body = this.#body;
    let at = start;
    while (at < stop) {
      if (this.#state < State.body) at = this.#readLine(bytes, at, stop);
      else if (this.#state === State.stopped || body.isDone) break;
      else if (body.inLines) at = this.#readLine(bytes, at, stop);
      else at = body.read(bytes, at, stop);
    }
    return at;
  }

  #readLine(bytes: Uint8Array, start: number, stop: number): number {
    const carry = this.#carry;
    const known = carry.length === 0 ? this.#readKnown(bytes, start, stop) : 0;
    if (known > 0) return start + known;
    let end = start;
    while (end < stop && bytes[end] !== LF) end++;
    const lineLeft = this.#state === State.body ? this.#body.lineLeft : this.#lineLeft;
    if (carry.length + end - start >= lineLeft) throw this.#tooLarge();
    if (end === stop) {
      carry.add(bytes, start, stop);
      return stop;
    }
    if (carry.length === 0) {
      this.#onLine(bytes, start, end);
    } else {
      carry.add(bytes, start, end + 1);
      this.#onLine(carry.bytes, 0, carry.take() - 1);
    }
    return end + 1;
  }

  /** Bytes of the line that begins at `start`, if it is one that has come before; else 0. */
  #readKnown(bytes: Uint8Array, start: number, stop: number): number {
    if (this.#state === State.headerSection) {
      const known = this.#fieldLines.find(bytes, start, stop);
      if (known === undefined || known.bytes.length > this.#lineLeft) return 0;
      this.#onField(known.line, known.bytes.length);
      return known.bytes.length;
    }
    if (this.#state !== State.requestLine) return 0;
    const known = this.#requestLines.find(bytes, start, stop);
    if (known === undefined) return 0;
    this.#beginHead(known.line);
    return known.bytes.length;
  }

  /** @param lf where the line feed is */
  #onLine(bytes: Uint8Array, start: number, lf: number): void {
    const stop = lf - 1;
    if (stop < start || bytes[stop] !== CR) throw badRequest("line feed without carriage return"); // section 2.2
    switch (this.#state) {
      case State.requestLine:
        return this.#onRequestLine(bytes, start, stop);
      case State.headerSection:
        if (start === stop) return this.#onHeadEnd();
        return this.#onFieldLine(bytes, start, stop);
      default:
        return this.#body.onLine(bytes, start, stop);
    }
  }

  #onRequestLine(bytes: Uint8Array, start: number, stop: number): void {
    // section 2.2 wants one empty line to be let pass, which old clients sent behind a body
    if (start === stop && this.#emptyLines++ === 0) return;
    const line = parseRequestLine(bytes, start, stop);
    this.#requestLines.keep(bytes, start, stop + CRLF, line);
    this.#beginHead(line);
  }

  #beginHead(line: RequestLine): void {
    this.#head.begin(line);
    this.#fieldLines.rewind();
    this.#begin(State.headerSection, this.#settings.maxHeaderSection);
  }

  #onFieldLine(bytes: Uint8Array, start: number, stop: number): void {
    const line = parseFieldLine(bytes, start, stop);
    this.#fieldLines.keep(bytes, start, stop + CRLF, line);
    this.#onField(line, stop + CRLF - start);
  }

  #onField(line: FieldLine, length: number): void {
    this.#countField(length);
    this.#head.add(line);
  }

  #onHeadEnd(): void {
    const head = this.#head.finish();
    this.#state = State.body;
    this.#body.begin(head.contentLength);
    this.#sink.onHead(head, head.contentLength === 0);
  }

  #begin(state: State, limit: number): void {
    this.#state = state;
    this.#lineLeft = limit;
    this.#fieldsLeft = this.#settings.maxHeaderFields;
  }

  #countField(length: number): void {
    this.#lineLeft -= length;
    if (--this.#fieldsLeft < 0) throw new RequestError(431, "too many field lines");
  }

  #tooLarge(): RequestError {
    switch (this.#state) {
      case State.requestLine:
        return new RequestError(414, "request line too long");
      case State.body:
        return this.#body.tooLarge();
      default:
        return new RequestError(431, "header or trailer section too large");
    }
  }
}
