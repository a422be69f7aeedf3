/** Body reader: what follows a head, by its length or in chunks, however its bytes are split (RFC 9112 sections 6 and 7). */
import type { Field } from "../http2/field.ts";
import { maxSizeDigits, parseChunkSize, sizeStop } from "./chunk-size.ts";
import { parseFieldLine, trailerOf } from "./field-line.ts";
import { badRequest, RequestError } from "./request-error.ts";

/** Told what a body is made of, in its order. With `end`, or trailers, it is whole. */
export interface BodySink {
  /** Bytes `start` to `stop` of `bytes` are body. None only where nothing but the end comes. */
  onBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void;
  onTrailers(fields: Field[]): void;
}

export interface BodyLimits {
  /** Bytes of chunk extensions in one body; they mean nothing to us. */
  readonly maxChunkExtensions: number;
  /** Bytes of the trailer section, and field lines in it. */
  readonly maxHeaderSection: number;
  readonly maxHeaderFields: number;
}

const Part = {
  none: 0,
  // lines
  chunkSize: 1,
  /** The empty line behind a chunk's data. */
  chunkEnd: 2,
  trailerSection: 3,
  // bytes
  body: 4,
  chunkData: 5,
} as const;
type Part = (typeof Part)[keyof typeof Part];

/** Bytes of a line's end. */
const CRLF = 2;

const nothing = new Uint8Array(0);

export class BodyReader {
  /** Bytes that the line which is to come, or the section that it belongs to, may still have, line ends included. */
  lineLeft = 0;
  #part: Part = Part.none;
  #fieldsLeft = 0;
  #extensionsLeft = 0;
  /** Bytes of body or chunk that are still to come. */
  #bytesLeft = 0;
  #trailers: Field[] = [];
  readonly #sink: BodySink;
  readonly #limits: BodyLimits;

  constructor(sink: BodySink, limits: BodyLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  /** Nothing of the body is to come. True before the sink is told of the end. */
  get isDone(): boolean {
    return this.#part === Part.none;
  }

  /** A line is to come, for `onLine`; else bytes, for `read`. */
  get inLines(): boolean {
    return this.#part < Part.body;
  }

  /** @param contentLength below 0 for chunks */
  begin(contentLength: number): void {
    if (contentLength >= 0) {
      this.#part = contentLength === 0 ? Part.none : Part.body;
      this.#bytesLeft = contentLength;
    } else {
      this.#extensionsLeft = this.#limits.maxChunkExtensions;
      this.#beginSize();
    }
  }

  /**
   * Takes a line, which ends before `stop`.
   *
   * @throws RequestError
   */
  onLine(bytes: Uint8Array, start: number, stop: number): void {
    switch (this.#part) {
      case Part.chunkSize:
        return this.#onChunkSize(bytes, start, stop);
      case Part.chunkEnd:
        return this.#beginSize(); // its limit lets nothing pass but CRLF
      default:
        if (start === stop) return this.#end();
        this.lineLeft -= stop + CRLF - start;
        if (--this.#fieldsLeft < 0) throw new RequestError(431, "too many field lines");
        return this.#onTrailer(trailerOf(parseFieldLine(bytes, start, stop)));
    }
  }

  /** Takes bytes; returns where the body, or this part of it, ends. */
  read(bytes: Uint8Array, start: number, stop: number): number {
    const end = Math.min(stop, start + this.#bytesLeft);
    this.#bytesLeft -= end - start;
    const isDone = this.#bytesLeft === 0;
    const isChunk = this.#part === Part.chunkData;
    if (isDone && isChunk) this.#beginLine(Part.chunkEnd, CRLF);
    else if (isDone) this.#part = Part.none;
    this.#sink.onBody(bytes, start, end, isDone && !isChunk);
    return end;
  }

  /** What is wrong where a line is longer than `lineLeft`. */
  tooLarge(): RequestError {
    switch (this.#part) {
      case Part.chunkSize:
        return new RequestError(413, "chunk size and extensions too long");
      case Part.chunkEnd:
        return badRequest("chunk longer than its size");
      default:
        return new RequestError(431, "header or trailer section too large");
    }
  }

  #onChunkSize(bytes: Uint8Array, start: number, stop: number): void {
    const digitsStop = sizeStop(bytes, start, stop);
    const size = parseChunkSize(bytes, start, digitsStop, stop);
    this.#extensionsLeft -= stop - digitsStop;
    if (this.#extensionsLeft < 0) throw this.tooLarge();
    this.#bytesLeft = size;
    if (size > 0) this.#part = Part.chunkData;
    else {
      this.#beginLine(Part.trailerSection, this.#limits.maxHeaderSection);
      this.#fieldsLeft = this.#limits.maxHeaderFields;
    }
  }

  #onTrailer(field: Field | undefined): void {
    if (field !== undefined) this.#trailers.push(field);
  }

  #end(): void {
    const trailers = this.#trailers;
    this.#part = Part.none;
    if (trailers.length === 0) return this.#sink.onBody(nothing, 0, 0, true);
    this.#trailers = [];
    this.#sink.onTrailers(trailers);
  }

  #beginSize(): void {
    this.#beginLine(Part.chunkSize, maxSizeDigits + this.#extensionsLeft + CRLF);
  }

  #beginLine(part: Part, limit: number): void {
    this.#part = part;
    this.lineLeft = limit;
  }
}
