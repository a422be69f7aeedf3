/** Control frames: the rules of every frame that isn't DATA, each of which comes whole (RFC 9113 section 6). */
import { ConnectionError, ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";
import * as frame from "./frame.ts";
import { notOnItself, onConnection, onStream, sized } from "./frame-rules.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import type { Http2Settings } from "./settings.ts";
import { turn } from "./turn.ts";
import type { UselessFrames } from "./useless-frames.ts";

/** What they are handed on to, if they are well-formed by themselves. May throw `ConnectionError`. */
export interface ControlSink {
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

export class ControlFrames {
  /** The header block that has begun and isn't whole yet: nothing else may come between its frames. */
  block: HeaderBlock | undefined;
  /** The peer's first SETTINGS have come. */
  greeted = false;
  readonly #sink: ControlSink;
  readonly #settings: Http2Settings;
  readonly #useless: UselessFrames;
  readonly #decoder: HpackDecoder;

  constructor(sink: ControlSink, settings: Http2Settings, useless: UselessFrames) {
    this.#sink = sink;
    this.#settings = settings;
    this.#useless = useless;
    this.#decoder = new HpackDecoder({
      maxTableSize: settings.headerTableSize,
      maxListSize: settings.maxHeaderListSize,
      maxFields: settings.maxHeaderFields,
    });
  }

  /** Reads a frame. @throws ConnectionError where it breaks a rule */
  read(type: number, flags: number, id: number, payload: Uint8Array): void {
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
        this.#useless.spend("PING");
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
        return this.#useless.spend("PRIORITY");
      case frame.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.protocolError, "PUSH_PROMISE, though push is off");
      default: // section 4.1: unknown types are ignored
        return this.#useless.spend("unknown");
    }
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
    this.block = new HeaderBlock(id, end, turn.now);
    this.block.begin(payload.subarray(start, stop));
  }

  #continuation(flags: number, payload: Uint8Array): void {
    const block = this.block;
    if (block === undefined) throw new ConnectionError(ErrorCode.protocolError, "CONTINUATION without HEADERS");
    block.append(payload, this.#settings.maxContinuationFrames);
    if ((flags & frame.END_HEADERS) === 0) return;
    this.block = undefined;
    const bytes = block.bytes();
    this.#sink.onHeaderBlock(block.streamId, this.#decoder.decode(bytes, 0, bytes.length), block.endStream);
  }

  #windowUpdate(id: number, payload: Uint8Array): void {
    sized(payload.length === 4, "WINDOW_UPDATE", payload);
    const increment = frame.readUint31(payload, 0);
    if (increment < smallIncrement) this.#useless.spend("small WINDOW_UPDATE");
    this.#sink.onWindowUpdate(id, increment);
  }

  #settingsFrame(flags: number, id: number, payload: Uint8Array): void {
    onConnection(id, "SETTINGS");
    this.#useless.spend("SETTINGS");
    if (flags & frame.ACK) {
      sized(payload.length === 0, "SETTINGS ack", payload);
      if (!this.greeted) throw new ConnectionError(ErrorCode.protocolError, "SETTINGS ack before SETTINGS");
      this.#decoder.setMaxTableSize(this.#settings.headerTableSize); // from here on the peer knows of it
      return this.#sink.onSettingsAck();
    }
    sized(payload.length % 6 === 0, "SETTINGS", payload);
    if (payload.length / 6 > this.#settings.maxSettingsEntries) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `${payload.length / 6} entries in SETTINGS`);
    }
    this.greeted = true;
    const entries: [number, number][] = [];
    for (let at = 0; at < payload.length; at += 6) {
      entries.push([(payload[at]! << 8) | payload[at + 1]!, frame.readUint32(payload, at + 2)]);
    }
    this.#sink.onSettings(entries);
  }
}
