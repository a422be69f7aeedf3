/** Envelopes: the five bytes before each message of gRPC, gRPC-Web and Connect streams, read from any pieces of a body. */

/** Bits of an envelope's first byte. */
export const EnvelopeFlag = {
  /** The payload is compressed in the encoding that the headers name. */
  compressed: 0x01,
  /** Connect: the payload is the end of the stream, as JSON. */
  connectEnd: 0x02,
  /** gRPC-Web: the payload is a block of trailers. */
  webTrailers: 0x80,
} as const;

/** One byte of flags, four of length, the highest first. */
export const prefixLength = 5;

/** What is to become of an envelope. */
export const Handling = {
  /** Handed on as it came, prefix and payload; runs of such envelopes in one piece are handed on as one. */
  pass: 0,
  /** The payload is handed on in the pieces in which it comes, without its prefix. */
  stream: 1,
  /** The payload is handed on whole. Only for lengths that a limit has admitted. */
  gather: 2,
  /** Nothing of it is read, nor of what follows it. */
  refuse: 3,
  /** Not yet: `push` stops before the payload, and the next `push`, which goes on there, asks again. */
  wait: 4,
} as const;
export type Handling = (typeof Handling)[keyof typeof Handling];

/**
 * What an `EnvelopeReader` asks and tells. Those for a handling that `handlingOf` never chooses are left out. They are told in the
 * order of the bytes; `bytes` is the piece that was pushed, or a small array of the reader's own, and may be kept.
 */
export interface EnvelopeSink {
  /**
   * Decides about an envelope from its prefix, before its payload is there. A question, not an event: it is asked before what
   * came earlier has been handed on.
   *
   * @param length bytes of payload that the prefix says will come, up to 2^32-1
   */
  handlingOf(flags: number, length: number): Handling;
  onPass?(bytes: Uint8Array, start: number, stop: number): void;
  /** At least once for each envelope, also for an empty one; `last` says that it is complete. */
  onPiece?(bytes: Uint8Array, start: number, stop: number, last: boolean): void;
  /** A view of the piece where the whole payload was in it, else an array of its own. */
  onMessage?(flags: number, payload: Uint8Array): void;
  /** The reader stops here: it ignores all further bytes. */
  onRefuse?(flags: number, length: number): void;
}

/** The least that is allocated for a payload that comes in several pieces. It grows with what comes, not with what was announced. */
const leastGathered = 4 << 10;

/** Reads a body piece by piece, however it is split. Allocates nothing for an envelope that lies in one piece. */
export class EnvelopeReader {
  readonly #sink: EnvelopeSink;
  /** The start of a prefix that was cut off at the end of a piece. */
  #prefix: Uint8Array | undefined;
  #prefixHeld = 0;
  #handling: Handling = Handling.pass;
  #flags = 0;
  #length = 0;
  /** Bytes of the payload that haven't come. */
  #left = 0;
  #gathered: Uint8Array | undefined;
  #stopped = false;
  /** What is to become of the envelope whose prefix was read last is to be asked again. */
  #waits = false;

  constructor(sink: EnvelopeSink) {
    this.#sink = sink;
  }

  /** Nothing of an envelope is outstanding: a body may end here. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#prefixHeld === 0 && !this.#waits;
  }

  /** The sink has said so of an envelope. */
  get waits(): boolean {
    return this.#waits;
  }

  /** Bytes of a prefix that isn't complete: what becomes of them hasn't been decided. */
  get pending(): number {
    return this.#stopped ? 0 : this.#prefixHeld;
  }

  /** An envelope was refused, or `stop()` was called. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Ignores all that comes from now on; also within a call of the sink. */
  stop(): void {
    this.#stopped = true;
    this.#waits = false;
    this.#gathered = undefined;
  }

  /**
   * Takes bytes `start` to `stop` of a body.
   *
   * @returns where it has stopped: at `stop`, or before the payload of an envelope that waits
   */
  push(bytes: Uint8Array, start: number, stop: number): number {
    let at = start;
    let run = -1; // where the bytes to be passed, that weren't yet, begin
    if (this.#waits) this.#askAgain(bytes, start, stop);
    while (at < stop && !this.#stopped && !this.#waits) {
      if (this.#left > 0) {
        const upTo = Math.min(stop, at + this.#left);
        if (this.#handling === Handling.pass) {
          if (run === -1) run = at;
          this.#left -= upTo - at;
        } else this.#take(bytes, at, upTo);
        at = upTo;
      } else if (this.#prefixHeld > 0 || stop - at < prefixLength) {
        if (run !== -1) this.#sink.onPass?.(bytes, run, at);
        run = -1;
        at = this.#takePrefix(bytes, at, stop);
      } else {
        const from = at;
        at += prefixLength;
        this.#open(bytes, from);
        if (this.#handling === Handling.pass) {
          if (run === -1) run = from;
        } else if (this.#waits) {
          if (run !== -1) this.#sink.onPass?.(bytes, run, from);
          return at;
        } else {
          if (run !== -1) this.#sink.onPass?.(bytes, run, from);
          run = -1;
          this.#begin(bytes, at, stop);
        }
      }
    }
    if (run !== -1) this.#sink.onPass?.(bytes, run, at);
    return this.#waits ? at : stop;
  }

  #askAgain(bytes: Uint8Array, start: number, stop: number): void {
    this.#decide();
    if (this.#handling === Handling.pass)
      this.#sink.onPass?.(envelopePrefix(this.#flags, this.#length), 0, prefixLength);
    else this.#begin(bytes, start, stop);
  }

  /** @returns where the bytes that belong to the prefix end */
  #takePrefix(bytes: Uint8Array, at: number, stop: number): number {
    const upTo = Math.min(stop, at + prefixLength - this.#prefixHeld);
    this.#prefix ??= new Uint8Array(prefixLength);
    for (let i = at; i < upTo; i++) this.#prefix[this.#prefixHeld++] = bytes[i]!;
    if (this.#prefixHeld < prefixLength) return upTo;
    this.#prefixHeld = 0;
    this.#open(this.#prefix, 0);
    if (this.#handling === Handling.pass) this.#sink.onPass?.(this.#prefix.slice(), 0, prefixLength);
    else this.#begin(bytes, upTo, stop);
    return upTo;
  }

  #open(bytes: Uint8Array, at: number): void {
    this.#flags = bytes[at]!;
    this.#length = payloadLength(bytes, at);
    this.#left = this.#length;
    this.#decide();
  }

  #decide(): void {
    this.#handling = this.#sink.handlingOf(this.#flags, this.#length);
    this.#waits = this.#handling === Handling.wait;
  }

  /** Starts an envelope that isn't passed; its payload, as far as it is there, begins at `at`. */
  #begin(bytes: Uint8Array, at: number, stop: number): void {
    if (this.#stopped || this.#waits) return;
    if (this.#handling === Handling.refuse) {
      this.stop();
      this.#sink.onRefuse?.(this.#flags, this.#length);
    } else if (this.#handling === Handling.gather && this.#length > stop - at) {
      this.#gathered = new Uint8Array(Math.min(this.#length, Math.max(leastGathered, stop - at)));
    } else if (this.#length === 0) this.#take(bytes, at, at);
  }

  #take(bytes: Uint8Array, at: number, upTo: number): void {
    this.#left -= upTo - at;
    if (this.#handling === Handling.stream) {
      this.#sink.onPiece?.(bytes, at, upTo, this.#left === 0);
    } else if (this.#gathered === undefined) {
      this.#sink.onMessage?.(this.#flags, new Uint8Array(bytes.buffer, bytes.byteOffset + at, upTo - at));
    } else {
      this.#gather(bytes.subarray(at, upTo));
    }
  }

  #gather(piece: Uint8Array): void {
    const after = this.#length - this.#left;
    const before = after - piece.length;
    let gathered = this.#gathered!;
    if (after > gathered.length) {
      gathered = new Uint8Array(Math.min(this.#length, Math.max(after, 2 * gathered.length)));
      gathered.set(this.#gathered!.subarray(0, before));
    }
    gathered.set(piece, before);
    this.#gathered = gathered;
    if (this.#left > 0) return;
    this.#gathered = undefined;
    this.#sink.onMessage?.(this.#flags, gathered);
  }
}

/** Writes a prefix into `target` at `at`. */
export function writePrefix(target: Uint8Array, at: number, flags: number, length: number): void {
  target[at] = flags;
  target[at + 1] = length >>> 24;
  target[at + 2] = length >>> 16;
  target[at + 3] = length >>> 8;
  target[at + 4] = length;
}

/** A prefix alone: for a payload that follows in pieces of its own. */
export function envelopePrefix(flags: number, length: number): Uint8Array {
  const prefix = new Uint8Array(prefixLength);
  writePrefix(prefix, 0, flags, length);
  return prefix;
}

/** Prefix and payload in one array. */
export function envelope(flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prefixLength + payload.length);
  writePrefix(bytes, 0, flags, payload.length);
  bytes.set(payload, prefixLength);
  return bytes;
}

/** Bytes of payload that the prefix at `at` says will follow. */
export function payloadLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0;
}
