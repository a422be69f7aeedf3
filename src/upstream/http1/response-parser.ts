/** Response parser: bytes in, one response out, however the bytes are split (RFC 9112 sections 4 to 7). */
import { type BodyLimits, BodyReader, type BodySink } from "../../http1/body-reader.ts";
import { CR, LF } from "../../http1/characters.ts";
import { type FieldLine, parseFieldLine } from "../../http1/field-line.ts";
import { LineMemo } from "../../http1/line-memo.ts";
import { latin1 } from "../../http2/hpack/latin1.ts";
import { ResponseError, type ResponseHead, ResponseHeadBuilder } from "./response-head.ts";

/** Told what a response is made of, in its order. With `end`, or trailers, it is whole. */
export interface ResponseSink extends BodySink {
  /** Interim heads (1xx) come before, and never end. */
  onHead(head: ResponseHead, end: boolean): void;
}

const State = {
  statusLine: 0,
  headerSection: 1,
  body: 2,
  /** All that comes until the connection is closed is body. */
  untilClose: 3,
  /** Nothing is read until `expect`. */
  idle: 4,
} as const;
type State = (typeof State)[keyof typeof State];

/** More than we take from strangers: errors with details are long. */
const limits: BodyLimits = { maxChunkExtensions: 4 << 10, maxHeaderSection: 64 << 10, maxHeaderFields: 256 };
const maxStatusLine = 4 << 10;
const maxInterim = 16;

const fieldLinesKept = 32;
const CRLF = 2;
const nothing = new Uint8Array(0);

/** What we can't read is an upstream's fault, and its connection's end: every method that reads throws a `ResponseError`. */
export class ResponseParser {
  #state: State = State.idle;
  /** Bytes of this line, or of the section that it belongs to, that may still come. */
  #lineLeft = 0;
  #linesLeft = 0;
  #interimLeft = 0;
  /** The begin of a line whose end wasn't in the same chunk of input. */
  #carry: Uint8Array = nothing;
  #isHead = false;
  readonly #lines = new LineMemo<FieldLine>(fieldLinesKept);
  readonly #head = new ResponseHeadBuilder();
  readonly #body: BodyReader;
  readonly #sink: ResponseSink;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
    this.#body = new BodyReader(sink, limits);
  }

  /** A request is on its way: its response may come. @param isHead its method is HEAD, to which no body comes */
  expect(isHead: boolean): void {
    this.#isHead = isHead;
    this.#interimLeft = maxInterim;
    this.#begin(State.statusLine, maxStatusLine);
  }

  /** Nothing is read any more; may be called by the sink. */
  stop(): void {
    this.#state = State.idle;
    this.#carry = nothing;
  }

  /** Some bytes of the response have come. */
  get hasBegun(): boolean {
    return this.#state !== State.statusLine || this.#carry.length > 0;
  }

  /**
   * Reads the bytes, or up to the end of the response.
   *
   * @returns where it stopped to read: what follows is nothing that was asked for
   */
  receive(bytes: Uint8Array): number {
    const body = this.#body;
    let at = 0;
    while (at < bytes.length && !this.#isIdle) {
      if (this.#state === State.untilClose) at = this.#readAll(bytes, at);
      else if (this.#state < State.body || body.inLines) at = this.#readLine(bytes, at);
      else at = body.read(bytes, at, bytes.length);
    }
    return at;
  }

  /** The peer closes the connection. False: the response isn't whole. */
  finish(): boolean {
    if (this.#state !== State.untilClose) return this.#isIdle;
    this.#state = State.idle;
    this.#sink.onBody(nothing, 0, 0, true);
    return true;
  }

  get #isIdle(): boolean {
    return this.#state === State.idle || (this.#state === State.body && this.#body.isDone);
  }

  #readLine(bytes: Uint8Array, start: number): number {
    const lf = bytes.indexOf(LF, start);
    const stop = lf === -1 ? bytes.length : lf + 1;
    const lineLeft = this.#state === State.body ? this.#body.lineLeft : this.#lineLeft;
    if (this.#carry.length + stop - start > lineLeft) throw new ResponseError("line or section too long");
    if (this.#carry.length === 0 && lf !== -1) {
      this.#onLine(bytes, start, lf);
      return stop;
    }
    const line = new Uint8Array(this.#carry.length + stop - start);
    line.set(this.#carry);
    line.set(bytes.subarray(start, stop), this.#carry.length);
    this.#carry = lf === -1 ? line : nothing;
    if (lf !== -1) this.#onLine(line, 0, line.length - 1);
    return stop;
  }

  #onLine(bytes: Uint8Array, start: number, lf: number): void {
    const stop = lf - 1;
    if (stop < start || bytes[stop] !== CR) throw new ResponseError("line feed without carriage return");
    switch (this.#state) {
      case State.statusLine:
        this.#head.begin(latin1(bytes, start, stop));
        this.#lines.rewind();
        return this.#begin(State.headerSection, limits.maxHeaderSection);
      case State.headerSection:
        if (start === stop) return this.#onHeadEnd();
        this.#countLine(lf + 1 - start);
        return this.#head.add(this.#fieldLine(bytes, start, stop));
      default:
        return this.#body.onLine(bytes, start, stop);
    }
  }

  #fieldLine(bytes: Uint8Array, start: number, stop: number): FieldLine {
    const known = this.#lines.find(bytes, start, stop + CRLF);
    if (known !== undefined) return known.line;
    const line = parseFieldLine(bytes, start, stop);
    this.#lines.keep(bytes, start, stop + CRLF, line);
    return line;
  }

  #onHeadEnd(): void {
    const head = this.#head.finish();
    if (head.status < 200) {
      if (this.#interimLeft-- === 0) throw new ResponseError("too many interim responses");
      this.#begin(State.statusLine, maxStatusLine);
      return this.#sink.onHead(head, false);
    }
    const { contentLength } = head;
    const bodyless = this.#isHead || head.status === 204 || head.status === 304 || contentLength === 0;
    if (bodyless) {
      this.#state = State.idle;
    } else if (head.isChunked || contentLength > 0) {
      this.#state = State.body;
      this.#body.begin(head.isChunked ? -1 : contentLength);
    } else {
      this.#state = State.untilClose;
    }
    this.#sink.onHead(head, bodyless);
  }

  #readAll(bytes: Uint8Array, start: number): number {
    this.#sink.onBody(bytes, start, bytes.length, false);
    return bytes.length;
  }

  #begin(state: State, limit: number): void {
    this.#state = state;
    this.#lineLeft = limit;
    this.#linesLeft = limits.maxHeaderFields;
  }

  #countLine(length: number): void {
    this.#lineLeft -= length;
    if (--this.#linesLeft < 0) throw new ResponseError("too many field lines");
  }
}
