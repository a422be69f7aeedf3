/** Receiver: bytes of a socket to frames (RFC 9113 section 4). DATA passes as it comes; all others are gathered, and are `ControlFrames`. */
import { ControlFrames, type ControlSink } from "./control-frames.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import * as frame from "./frame.ts";
import { onStream } from "./frame-rules.ts";
import { freeHeadroom } from "./headroom.ts";
import type { Http2Settings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";
import { turn } from "./turn.ts";
import { UselessFrames } from "./useless-frames.ts";

/** What a receiver hands on: frames that are well-formed by themselves. May throw `ConnectionError`. */
export interface FrameSink extends ControlSink {
  /** Parts of bodies that have been sent to the peer so far. */
  readonly partsSent: number;
  /** A DATA frame begins; `length` is what flow control counts. Returns the stream its bytes go to, or undefined to drop them. */
  onDataFrame(streamId: number, length: number): Http2Stream | undefined;
  onDataBytes(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): void;
  /** So many bytes of the frame were padding: taken already. */
  onPadding(stream: Http2Stream, length: number): void;
}

const nothing = new Uint8Array(0);

export class Receiver {
  /** Chunks received so far: a sign of life. */
  chunks = 0;
  /** What has come of a frame (but for DATA) that isn't whole yet, and when that began. */
  #held: Uint8Array = nothing;
  #heldSince = 0;
  #prefaceLeft: number;
  #stopped = false;
  #bodyLeft = 0;
  #paddingLeft = 0;
  #bodyEnds = false;
  #bodyStream: Http2Stream | undefined;
  readonly #sink: FrameSink;
  readonly #settings: Http2Settings;
  readonly #useless: UselessFrames;
  readonly #control: ControlFrames;

  /** @param expectPreface true in the server role */
  constructor(sink: FrameSink, settings: Http2Settings, expectPreface: boolean) {
    this.#sink = sink;
    this.#settings = settings;
    this.#prefaceLeft = expectPreface ? frame.connectionPreface.length : 0;
    this.#useless = new UselessFrames(settings.maxUselessFrames, () => sink.partsSent);
    this.#control = new ControlFrames(sink, settings, this.#useless);
  }

  /** True once the peer's preface, its first SETTINGS included, has come. */
  get greeted(): boolean {
    return this.#control.greeted;
  }

  /** When the frame or the header block that isn't whole yet began; undefined where there is none. */
  get waitsSince(): number | undefined {
    const { block } = this.#control;
    if (block !== undefined) return block.startedAt;
    return this.#held.length > 0 ? this.#heldSince : undefined;
  }

  /** Nothing is handed on any more, not even the rest of the chunk that is being read. */
  stop(): void {
    this.#stopped = true;
    this.#held = nothing;
    this.#bodyStream = undefined;
  }

  /** @throws ConnectionError where a frame breaks a rule; nothing else */
  receive(input: Uint8Array): void {
    this.chunks++;
    const heldBefore = this.#held.length > 0;
    const chunk = heldBefore ? Buffer.concat([this.#held, input]) : input;
    let at = this.#prefaceLeft > 0 ? this.#preface(chunk) : 0;
    this.#held = nothing;
    while (!this.#stopped && at < chunk.length) {
      if (this.#bodyLeft > 0 || this.#paddingLeft > 0) {
        at = this.#body(chunk, at);
        continue;
      }
      const next = this.#frame(chunk, at);
      if (next === at) break;
      at = next;
    }
    if (this.#stopped || at >= chunk.length) return;
    this.#held = chunk.subarray(at);
    if (at > 0 || !heldBefore) this.#heldSince = turn.now;
  }

  #preface(chunk: Uint8Array): number {
    const expected = frame.connectionPreface;
    let at = 0;
    while (at < chunk.length && this.#prefaceLeft > 0) {
      if (chunk[at++] !== expected.charCodeAt(expected.length - this.#prefaceLeft--)) {
        throw new ConnectionError(ErrorCode.protocolError, "no HTTP/2 preface");
      }
    }
    return at;
  }

  /** Reads the frame at `at`; returns where the next one starts, or `at` itself where the frame isn't whole yet. */
  #frame(chunk: Uint8Array, at: number): number {
    const start = at + frame.frameHeaderSize;
    if (chunk.length < start) return at;
    const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
    const type = chunk[at + 3]!;
    const flags = chunk[at + 4]!;
    const id = frame.readUint31(chunk, at + 5);
    const control = this.#control;
    if (length > this.#settings.maxFrameSize) {
      if (!control.greeted && length === frame.http1Start) {
        throw new ConnectionError(ErrorCode.http11Required, "the peer speaks HTTP/1");
      }
      throw new ConnectionError(
        ErrorCode.frameSizeError,
        `frame of ${length} bytes, at most ${this.#settings.maxFrameSize}`,
      );
    }
    if (control.block !== undefined && (type !== frame.CONTINUATION || id !== control.block.streamId)) {
      throw new ConnectionError(ErrorCode.protocolError, `frame of type ${type} inside a header block`);
    }
    if (type === frame.DATA && control.greeted) return this.#data(chunk, at, length);
    const stop = start + length;
    if (chunk.length < stop) return at;
    if (!control.greeted && type !== frame.SETTINGS) {
      throw new ConnectionError(ErrorCode.protocolError, `frame of type ${type} before SETTINGS`);
    }
    control.read(type, flags, id, chunk.subarray(start, stop));
    return stop;
  }

  /** DATA is handed on as it comes, not gathered: a piece for each chunk that holds some of it. */
  #data(chunk: Uint8Array, at: number, length: number): number {
    const flags = chunk[at + 4]!;
    const id = frame.readUint31(chunk, at + 5);
    onStream(id, "DATA");
    let start = at + frame.frameHeaderSize;
    let padding = 0;
    if (flags & frame.PADDED) {
      if (length === 0) throw new ConnectionError(ErrorCode.frameSizeError, "padded DATA without a pad length");
      if (chunk.length === start) return at;
      padding = chunk[start++]!;
      if (padding >= length)
        throw new ConnectionError(ErrorCode.protocolError, `padding of ${padding} in ${length} bytes`);
    }
    const end = (flags & frame.END_STREAM) !== 0;
    const bodyLength = flags & frame.PADDED ? length - 1 - padding : length;
    if (bodyLength > 0 || end) this.#useless.earn();
    else this.#useless.spend("empty DATA");
    const stream = this.#sink.onDataFrame(id, length);
    if (stream !== undefined && length > bodyLength) this.#sink.onPadding(stream, length - bodyLength);
    this.#paddingLeft = padding;
    freeHeadroom(chunk, start);
    if (chunk.length - start >= bodyLength) {
      if (stream !== undefined) this.#sink.onDataBytes(stream, chunk, start, start + bodyLength, end);
      return start + bodyLength;
    }
    this.#bodyLeft = bodyLength;
    this.#bodyEnds = end;
    this.#bodyStream = stream;
    return chunk.length === start ? start : this.#body(chunk, start);
  }

  /** Goes on with a DATA frame whose first part came in an earlier chunk. */
  #body(chunk: Uint8Array, at: number): number {
    const stop = Math.min(chunk.length, at + this.#bodyLeft);
    if (this.#bodyLeft > 0) {
      this.#bodyLeft -= stop - at;
      const stream = this.#bodyStream;
      if (this.#bodyLeft === 0) this.#bodyStream = undefined;
      if (stream !== undefined) {
        this.#sink.onDataBytes(stream, chunk, at, stop, this.#bodyLeft === 0 && this.#bodyEnds);
      }
      if (this.#bodyLeft > 0) return stop;
    }
    const skipped = Math.min(chunk.length - stop, this.#paddingLeft);
    this.#paddingLeft -= skipped;
    return stop + skipped;
  }
}
