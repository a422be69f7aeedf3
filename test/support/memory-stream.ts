/** A stream in memory, for what runs between two streams: it records what is sent, and the test says what comes of it. */
import type { HttpStream, ResetCause, StreamListener } from "../../src/http2/api.ts";
import type { ErrorCode } from "../../src/http2/errors.ts";
import { Field } from "../../src/http2/field.ts";

export type Pairs = readonly (readonly [name: string, value: string])[];

/** One header block that was sent. */
export interface SentHead {
  readonly fields: [name: string, value: string][];
  readonly end: boolean;
}

interface Piece {
  readonly bytes: Buffer;
  left: number;
}

export class MemoryStream implements HttpStream {
  listener: StreamListener = nobody;
  remoteEnded = false;
  localEnded = false;
  closed = false;
  readonly heads: SentHead[] = [];
  /** Bytes that the peer may still be sent at once; what is beyond waits until `open`. */
  window = Number.POSITIVE_INFINITY;
  /** Bytes told to the listener, and bytes that it gave credit for. */
  given = 0;
  credited = 0;
  /** The code of the reset by its user. */
  resetWith: ErrorCode | undefined;
  #sent: Buffer[] = [];
  readonly #queue: Piece[] = [];

  /** The body that was sent or waits to be. */
  get body(): Buffer {
    this.#sent = [Buffer.concat(this.#sent)];
    return this.#sent[0]!;
  }

  /** Bytes that wait. */
  get held(): number {
    return this.#queue.reduce((sum, { left }) => sum + left, 0);
  }

  // --- what its user does

  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded) return;
    this.heads.push({ fields: fields.map(({ name, value }) => [name, value]), end });
    if (end) this.localEnded = true;
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed || this.localEnded) return true;
    if (end) this.localEnded = true;
    const part = Buffer.from(bytes.subarray(start, stop));
    this.#sent.push(part);
    if (this.#queue.length === 0 && part.length <= this.window) {
      this.window -= part.length;
      return true;
    }
    this.#queue.push({ bytes: part, left: part.length });
    return false;
  }

  end(): void {
    this.sendData(Buffer.alloc(0), 0, 0, true);
  }

  consume(bytes: number): void {
    if (this.closed) return;
    if (bytes < 0) throw new Error(`credit for ${bytes} bytes`);
    this.credited += bytes;
    if (this.credited > this.given) throw new Error(`credit for ${this.credited} bytes, of which ${this.given} came`);
  }

  reset(code: ErrorCode): void {
    if (this.closed) return;
    this.closed = true;
    this.resetWith = code;
    this.#queue.length = 0;
  }

  dropQueue(): void {
    if (this.#queue.length === 0) return;
    this.localEnded = false;
    const dropped = this.held;
    this.#queue.length = 0;
    this.#sent = [this.body.subarray(0, this.body.length - dropped)];
  }

  // --- what the test does

  /** The peer takes so many more bytes. */
  open(bytes: number): void {
    this.window += bytes;
    for (let first = this.#queue[0]; first !== undefined && !this.closed; first = this.#queue[0]) {
      const leaving = Math.min(first.left, this.window);
      if (leaving === 0 && first.left > 0) return;
      this.window -= leaving;
      first.left -= leaving;
      if (first.left === 0) this.#queue.shift();
      if (leaving > 0) this.listener.onSent(leaving);
    }
  }

  head(fields: Pairs, end = false): void {
    if (end) this.remoteEnded = true;
    this.listener.onHeaders(fieldsOf(fields), end);
  }

  data(bytes: Uint8Array, end = false): void {
    if (this.closed) return;
    if (end) this.remoteEnded = true;
    this.given += bytes.length;
    this.listener.onData(bytes, 0, bytes.length, end);
  }

  /** The bytes in pieces of the given lengths, over and over; the last one with the end. */
  split(bytes: Uint8Array, lengths: readonly number[], end = false): void {
    let at = 0;
    for (let i = 0; at < bytes.length; i++) {
      const stop = Math.min(bytes.length, at + Math.max(1, lengths[i % lengths.length] ?? bytes.length));
      this.data(Buffer.from(bytes.subarray(at, stop)), end && stop === bytes.length);
      at = stop;
    }
    if (bytes.length === 0 && end) this.data(Buffer.alloc(0), true);
  }

  trailers(fields: Pairs): void {
    this.remoteEnded = true;
    this.listener.onTrailers(fieldsOf(fields));
  }

  /** The stream ends before its time. */
  cut(code: ErrorCode, cause: ResetCause): void {
    if (this.closed) return;
    this.closed = true;
    this.listener.onReset(code, cause);
  }
}

/** What is above a stream: records what it is told, and gives credit for all of the body unless told not to. */
export class MemoryListener implements StreamListener {
  readonly heads: SentHead[] = [];
  body = Buffer.alloc(0);
  /** The other side is done, by the end of its body or by trailers. */
  ended = false;
  trailers: [string, string][] | undefined;
  sent = 0;
  reset: { code: ErrorCode; cause: ResetCause } | undefined;
  refused: Error | undefined;
  /** What bytes of the body are given back to; undefined to keep them. */
  stream: HttpStream | undefined;

  onHeaders(fields: Field[], end: boolean): void {
    this.heads.push({ fields: pairsOf(fields), end });
    if (end) this.#end();
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.body = Buffer.concat([this.body, bytes.subarray(start, stop)]);
    if (stop > start) this.stream?.consume(stop - start);
    if (end) this.#end();
  }

  onTrailers(fields: Field[]): void {
    this.trailers = pairsOf(fields);
    this.#end();
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  onReset(code: ErrorCode, cause: ResetCause): void {
    if (this.reset !== undefined) throw new Error("reset twice");
    this.reset = { code, cause };
  }

  onRefused(error: Error): void {
    this.refused = error;
  }

  #end(): void {
    if (this.ended) throw new Error("ended twice");
    this.ended = true;
  }
}

/** A layer between a stream and a listener of the test's. */
export function stacked<
  T extends { stack(below: HttpStream, above: StreamListener): void } & HttpStream & StreamListener,
>(layer: T): { layer: HttpStream & T; below: MemoryStream; above: MemoryListener } {
  const below = new MemoryStream();
  const above = new MemoryListener();
  below.listener = layer;
  layer.stack(below, above);
  above.stream = layer;
  return { layer, below, above };
}

/** Sends a body through a stream in pieces of the given lengths, over and over. */
export function sendSplit(stream: HttpStream, bytes: Uint8Array, lengths: readonly number[]): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const stop = Math.min(bytes.length, at + Math.max(1, lengths[i % lengths.length] ?? bytes.length));
    stream.sendData(Buffer.from(bytes), at, stop, false);
    at = stop;
  }
}

export function fieldsOf(pairs: Pairs): Field[] {
  return pairs.map(([name, value]) => new Field(name, value));
}

export function pairsOf(fields: readonly Field[]): [string, string][] {
  return fields.map(({ name, value }) => [name, value]);
}

/** The first value of a name among those that were sent. */
export function valueIn(pairs: Pairs | undefined, name: string): string | undefined {
  return pairs?.find(([one]) => one === name)?.[1];
}

const nobody: StreamListener = { onHeaders() {}, onData() {}, onTrailers() {}, onSent() {}, onReset() {} };
