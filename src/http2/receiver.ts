/** Receiver: bytes of a socket to frames, and each frame's own rules (RFC 9113 sections 4 to 6). States are the connection's. */
import { Budget } from "./budget.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import * as frame from "./frame.ts";
import { HeaderBlock } from "./header-block.ts";
import { freeHeadroom } from "./headroom.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import type { Http2Settings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";
import { turn } from "./turn.ts";

/** What a receiver hands on: frames that are well-formed by themselves. May throw `ConnectionError`. */
export interface FrameSink {
  /** Parts of bodies that have been sent to the peer so far: each may be worth a PING to it, which grpc-go measures windows by. */
  readonly partsSent: number;
  /** A DATA frame begins; `length` is what flow control counts. Returns the stream its bytes go to, or undefined to drop them. */
  onDataFrame(streamId: number, length: number): Http2Stream | undefined;
  onDataBytes(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): void;
  /** So many bytes of the frame were padding: taken already. */
  onPadding(stream: Http2Stream, length: number): void;
  /** `fields` is undefined where the list was over its limits. */
  onHeaderBlock(streamId: number, fields: Field[] | undefined, end: boolean): void;
  onReset(streamId: number, code: ErrorCode): void;
  onSettings(entries: readonly (readonly [id: number, value: number])[]): void;
  onSettingsAck(): void;
  onPing(payload: Uint8Array): void;
  onPingAck(payload: Uint8Array): void;
  onGoaway(lastStreamId: number, code: ErrorCode): void;
  onWindowUpdate(streamId: number, increment: number): void;
}

/** A WINDOW_UPDATE below this many bytes is worth no frame of its own: the budget for useless frames counts it. */
const smallIncrement = 64;

const nothing = new Uint8Array(0);

export class Receiver {
  /** Chunks received so far: a sign of life. */
  chunks = 0;
  /** The header block that has begun and isn't whole yet. */
  #block: HeaderBlock | undefined;
  /** What has come of a frame (but for DATA) that isn't whole yet, and when that began. */
  #held: Uint8Array = nothing;
  #heldSince = 0;
  #prefaceLeft: number;
  #settingsSeen = false;
  #stopped = false;
  #bodyLeft = 0;
  #paddingLeft = 0;
  #bodyEnds = false;
  #bodyStream: Http2Stream | undefined;
  readonly #sink: FrameSink;
  readonly #settings: Http2Settings;
  readonly #decoder: HpackDecoder;
  readonly #useless: Budget;
  /** Of `partsSent`, what has been earned already. */
  #partsCounted = 0;

  /** @param expectPreface true in the server role */
  constructor(sink: FrameSink, settings: Http2Settings, expectPreface: boolean) {
    this.#sink = sink;
    this.#settings = settings;
    this.#prefaceLeft = expectPreface ? frame.connectionPreface.length : 0;
    this.#decoder = new HpackDecoder({
      maxTableSize: settings.headerTableSize,
      maxListSize: settings.maxHeaderListSize,
      maxFields: settings.maxHeaderFields,
    });
    // the hundredth of it each second lets PINGs, and little else, go on for as long as a call does
    this.#useless = new Budget(settings.maxUselessFrames, settings.maxUselessFrames / 100, turn.now);
  }

  /** True once the peer's preface, its first SETTINGS included, has come. */
  get greeted(): boolean {
    return this.#settingsSeen;
  }

  /** When the frame or the header block that isn't whole yet began; undefined where there is none. */
  get waitsSince(): number | undefined {
    if (this.#block !== undefined) return this.#block.startedAt;
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
    if (length > this.#settings.maxFrameSize) {
      if (!this.#settingsSeen && length === frame.http1Start) {
        throw new ConnectionError(ErrorCode.http11Required, "the peer speaks HTTP/1");
      }
      throw new ConnectionError(
        ErrorCode.frameSizeError,
        `frame of ${length} bytes, at most ${this.#settings.maxFrameSize}`,
      );
    }
    if (this.#block !== undefined && (type !== frame.CONTINUATION || id !== this.#block.streamId)) {
      throw new ConnectionError(ErrorCode.protocolError, `frame of type ${type} inside a header block`);
    }
    if (type === frame.DATA && this.#settingsSeen) return this.#data(chunk, at, length);
    const stop = start + length;
    if (chunk.length < stop) return at;
    if (!this.#settingsSeen && type !== frame.SETTINGS) {
      throw new ConnectionError(ErrorCode.protocolError, `frame of type ${type} before SETTINGS`);
    }
    this.#control(type, flags, id, chunk.subarray(start, stop));
    return stop;
  }

  #control(type: number, flags: number, id: number, payload: Uint8Array): void {
    switch (type) {
      case frame.HEADERS:
        return this.#headers(flags, id, payload);
      case frame.WINDOW_UPDATE:
        return this.#windowUpdate(id, payload);
      case frame.RST_STREAM:
        sized(payload.length === 4, "RST_STREAM", payload);
        onStream(id, "RST_STREAM");
        return this.#sink.onReset(id, frame.readUint32(payload, 0));
      case frame.SETTINGS:
        return this.#settingsFrame(flags, id, payload);
      case frame.PING:
        sized(payload.length === 8, "PING", payload);
        onConnection(id, "PING");
        this.#spend("PING");
        return flags & frame.ACK ? this.#sink.onPingAck(payload) : this.#sink.onPing(payload);
      case frame.GOAWAY:
        sized(payload.length >= 8, "GOAWAY", payload);
        onConnection(id, "GOAWAY");
        return this.#sink.onGoaway(frame.readUint31(payload, 0), frame.readUint32(payload, 4));
      case frame.CONTINUATION:
        return this.#continuation(flags, payload);
      case frame.PRIORITY:
        sized(payload.length === 5, "PRIORITY", payload);
        onStream(id, "PRIORITY");
        notOnItself(id, payload, 0);
        return this.#spend("PRIORITY");
      case frame.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.protocolError, "PUSH_PROMISE, though push is off");
      default: // section 4.1: unknown types are ignored
        return this.#spend("unknown");
    }
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
    else this.#spend("empty DATA");
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

  #headers(flags: number, id: number, payload: Uint8Array): void {
    onStream(id, "HEADERS");
    this.#useless.earn();
    let start = 0;
    let stop = payload.length;
    if (flags & frame.PADDED) {
      sized(stop >= 1, "padded HEADERS", payload);
      stop -= payload[0]!;
      start = 1;
    }
    if (flags & frame.HAS_PRIORITY) {
      sized(payload.length >= start + 5, "HEADERS with priority", payload);
      notOnItself(id, payload, start);
      start += 5;
    }
    if (stop < start) throw new ConnectionError(ErrorCode.protocolError, "padding longer than HEADERS");
    const end = (flags & frame.END_STREAM) !== 0;
    if (flags & frame.END_HEADERS) {
      return this.#sink.onHeaderBlock(id, this.#decoder.decode(payload, start, stop), end);
    }
    this.#block = new HeaderBlock(id, end, turn.now);
    this.#block.begin(payload.subarray(start, stop));
  }

  #continuation(flags: number, payload: Uint8Array): void {
    const block = this.#block;
    if (block === undefined) throw new ConnectionError(ErrorCode.protocolError, "CONTINUATION without HEADERS");
    block.append(payload, this.#settings.maxContinuationFrames);
    if ((flags & frame.END_HEADERS) === 0) return;
    this.#block = undefined;
    const bytes = block.bytes();
    this.#sink.onHeaderBlock(block.streamId, this.#decoder.decode(bytes, 0, bytes.length), block.endStream);
  }

  #windowUpdate(id: number, payload: Uint8Array): void {
    sized(payload.length === 4, "WINDOW_UPDATE", payload);
    const increment = frame.readUint31(payload, 0);
    if (increment < smallIncrement) this.#spend("small WINDOW_UPDATE");
    this.#sink.onWindowUpdate(id, increment);
  }

  #settingsFrame(flags: number, id: number, payload: Uint8Array): void {
    onConnection(id, "SETTINGS");
    this.#spend("SETTINGS");
    if (flags & frame.ACK) {
      sized(payload.length === 0, "SETTINGS ack", payload);
      if (!this.#settingsSeen) throw new ConnectionError(ErrorCode.protocolError, "SETTINGS ack before SETTINGS");
      this.#decoder.setMaxTableSize(this.#settings.headerTableSize); // from here on the peer knows of it
      return this.#sink.onSettingsAck();
    }
    sized(payload.length % 6 === 0, "SETTINGS", payload);
    if (payload.length / 6 > this.#settings.maxSettingsEntries) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `${payload.length / 6} entries in SETTINGS`);
    }
    this.#settingsSeen = true;
    const entries: [number, number][] = [];
    for (let at = 0; at < payload.length; at += 6) {
      entries.push([(payload[at]! << 8) | payload[at + 1]!, frame.readUint32(payload, at + 2)]);
    }
    this.#sink.onSettings(entries);
  }

  #spend(what: string): void {
    if (this.#useless.spend(turn.now)) return;
    const { partsSent } = this.#sink;
    this.#useless.earn(partsSent - this.#partsCounted);
    this.#partsCounted = partsSent;
    if (this.#useless.overdrawn) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `too many frames without use, the last: ${what}`);
    }
  }
}

function sized(right: boolean, what: string, payload: Uint8Array): void {
  if (!right) throw new ConnectionError(ErrorCode.frameSizeError, `${what} of ${payload.length} bytes`);
}

function onStream(id: number, what: string): void {
  if (id === 0) throw new ConnectionError(ErrorCode.protocolError, `${what} on stream 0`);
}

function onConnection(id: number, what: string): void {
  if (id !== 0) throw new ConnectionError(ErrorCode.protocolError, `${what} on stream ${id}`);
}

/** Priorities are ignored (RFC 9113 section 5.3), but RFC 7540's one rule on them is still what checkers look for. */
function notOnItself(id: number, payload: Uint8Array, at: number): void {
  if (frame.readUint31(payload, at) === id) {
    throw new ConnectionError(ErrorCode.protocolError, `stream ${id} depends on itself`);
  }
}
