/** Parser: bytes in, requests out, one at a time, however the bytes are split (RFC 9112). */
import type { Field } from "../http2/field.ts";
import { Carry } from "./carry.ts";
import { CR, LF } from "./characters.ts";
import { maxSizeDigits, parseChunkSize, sizeStop } from "./chunk-size.ts";
import { type FieldLine, parseFieldLine, trailerOf } from "./field-line.ts";
import { HeadBuilder, type RequestHead } from "./head.ts";
import { LineMemo } from "./line-memo.ts";
import { badRequest, RequestError } from "./request-error.ts";
import { parseRequestLine, type RequestLine } from "./request-line.ts";
import type { Http1Settings } from "./settings.ts";

/** Told what a request is made of, in its order. With `end`, or trailers, the request is whole. */
export interface RequestSink {
  onHead(head: RequestHead, end: boolean): void;
  /** Bytes `start` to `stop` of `bytes` are body. None only where nothing but the end comes. */
  onBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void;
  onTrailers(fields: Field[]): void;
}

const State = {
  requestLine: 0,
  headerSection: 1,
  chunkSize: 2,
  /** The empty line behind a chunk's data. */
  chunkEnd: 3,
  trailerSection: 4,
  // from here on it isn't lines that are read
  body: 5,
  chunkData: 6,
  /** The request is whole. Nothing is read until `next`. */
  whole: 7,
  stopped: 8,
} as const;
type State = (typeof State)[keyof typeof State];

/** Lines that one connection repeats: of a browser some 20 fields a request, and a few values of those that change. */
const requestLinesKept = 16;
const fieldLinesKept = 48;

/** Bytes of a line's end. */
const CRLF = 2;

const nothing = new Uint8Array(0);

export class RequestParser {
  #state: State = State.requestLine;
  /** Bytes of this line, or of the section that it belongs to, that may still come. */
  #lineLeft = 0;
  #fieldsLeft = 0;
  #extensionsLeft = 0;
  /** Bytes of body or chunk that are still to come. */
  #bodyLeft = 0;
  #emptyLines = 0;
  #trailers: Field[] = [];
  /** The begin of a line whose end wasn't in the same chunk of input. */
  readonly #carry = new Carry();
  readonly #requestLines = new LineMemo<RequestLine>(requestLinesKept);
  readonly #fieldLines = new LineMemo<FieldLine>(fieldLinesKept);
  readonly #head: HeadBuilder;
  readonly #sink: RequestSink;
  readonly #settings: Http1Settings;

  /** @param secure the connection is TLS */
  constructor(sink: RequestSink, settings: Http1Settings, secure: boolean) {
    this.#sink = sink;
    this.#settings = settings;
    this.#head = new HeadBuilder(secure);
    this.next();
  }

  /** A request has begun whose header section isn't whole. */
  get inHead(): boolean {
    return (this.#state === State.requestLine && this.#carry.length > 0) || this.#state === State.headerSection;
  }

  /** A request is whole; the next is read after `next`. */
  get isWhole(): boolean {
    return this.#state === State.whole;
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
    let at = start;
    while (at < stop && this.#state < State.whole) {
      if (this.#state < State.body) at = this.#readLine(bytes, at, stop);
      else at = this.#readBody(bytes, at, stop);
    }
    return at;
  }

  #readLine(bytes: Uint8Array, start: number, stop: number): number {
    const carry = this.#carry;
    const known = carry.length === 0 ? this.#readKnown(bytes, start, stop) : 0;
    if (known > 0) return start + known;
    let end = start;
    while (end < stop && bytes[end] !== LF) end++;
    if (carry.length + end - start >= this.#lineLeft) throw this.#tooLarge();
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
      case State.chunkSize:
        return this.#onChunkSize(bytes, start, stop);
      case State.chunkEnd:
        return this.#begin(State.chunkSize, this.#chunkSizeLimit()); // its limit lets nothing pass but CRLF
      default:
        if (start === stop) return this.#onTrailersEnd();
        this.#countField(lf + 1 - start);
        return this.#onTrailer(trailerOf(parseFieldLine(bytes, start, stop)));
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
    const { contentLength } = head;
    if (contentLength === 0) {
      this.#state = State.whole;
    } else if (contentLength > 0) {
      this.#state = State.body;
      this.#bodyLeft = contentLength;
    } else {
      this.#extensionsLeft = this.#settings.maxChunkExtensions;
      this.#begin(State.chunkSize, this.#chunkSizeLimit());
    }
    this.#sink.onHead(head, contentLength === 0);
  }

  #onChunkSize(bytes: Uint8Array, start: number, stop: number): void {
    const digitsStop = sizeStop(bytes, start, stop);
    const size = parseChunkSize(bytes, start, digitsStop, stop);
    this.#extensionsLeft -= stop - digitsStop;
    if (this.#extensionsLeft < 0) throw this.#tooLarge();
    this.#bodyLeft = size;
    if (size > 0) this.#state = State.chunkData;
    else this.#begin(State.trailerSection, this.#settings.maxHeaderSection);
  }

  #readBody(bytes: Uint8Array, start: number, stop: number): number {
    const end = Math.min(stop, start + this.#bodyLeft);
    this.#bodyLeft -= end - start;
    const isDone = this.#bodyLeft === 0;
    const isChunk = this.#state === State.chunkData;
    if (isDone && isChunk) this.#begin(State.chunkEnd, CRLF);
    else if (isDone) this.#state = State.whole;
    this.#sink.onBody(bytes, start, end, isDone && !isChunk);
    return end;
  }

  #onTrailer(field: Field | undefined): void {
    if (field !== undefined) this.#trailers.push(field);
  }

  #onTrailersEnd(): void {
    const trailers = this.#trailers;
    this.#state = State.whole;
    if (trailers.length === 0) return this.#sink.onBody(nothing, 0, 0, true);
    this.#trailers = [];
    this.#sink.onTrailers(trailers);
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

  #chunkSizeLimit(): number {
    return maxSizeDigits + this.#extensionsLeft + CRLF;
  }

  #tooLarge(): RequestError {
    switch (this.#state) {
      case State.requestLine:
        return new RequestError(414, "request line too long");
      case State.chunkSize:
        return new RequestError(413, "chunk size and extensions too long");
      case State.chunkEnd:
        return badRequest("chunk longer than its size");
      default:
        return new RequestError(431, "header or trailer section too large");
    }
  }
}
