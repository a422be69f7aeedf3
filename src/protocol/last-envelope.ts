/**
 * Last envelope: what gRPC-Web and Connect streams have in common. A response is messages as in gRPC, but its status is in an
 * envelope of its own behind them, where gRPC has trailers.
 */
import { decompress } from "../compress/compress.ts";
import type { ResetCause } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import { isCompressed } from "../wire/encoding.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, envelope, Handling } from "../wire/envelope.ts";
import { EnvelopeBoundary } from "../wire/envelope-boundary.ts";

/** The caller's side: writes the last envelope. */
export abstract class LastEnvelopeServer extends Layer {
  readonly #boundary = new EnvelopeBoundary();
  /** Bytes of messages that wait below. */
  #held = 0;
  /** Some that waited were dropped. */
  #torn = false;

  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    this.#boundary.push(bytes, start, stop);
    if (this.write(bytes, start, stop, end)) return true;
    this.#held += stop - start;
    return false;
  }

  override dropQueue(): void {
    if (this.#held > 0) this.#torn = true;
    this.#held = 0;
    this.below.dropQueue();
  }

  /** What is above is told of its own bytes alone. */
  override onSent(bytes: number): void {
    const sent = Math.min(bytes, this.#held);
    this.#held -= sent;
    if (sent > 0) this.listener.onSent(sent);
  }

  /** Sends a part of the body as it is on the wire. */
  protected write(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    return this.below.sendData(bytes, start, stop, end);
  }

  /** Behind a message that was cut off the caller would take it for the message's rest: then it hears only that the call failed. */
  protected sendLast(flags: number, payload: Uint8Array): void {
    if (this.#torn || !this.#boundary.reached) return this.below.reset(ErrorCode.internalError);
    const last = envelope(flags, payload);
    this.write(last, 0, last.length, true);
  }
}

const nothing = new Uint8Array(0);

/** The upstream's side: reads the last envelope. */
export abstract class LastEnvelopeClient extends Layer implements EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  /** Bytes that came, without those that went on. They get their credit here. */
  #kept = 0;
  #trailers: Field[] | undefined;
  #over = false;

  /** Neither protocol's requests have trailers. */
  override sendHeaders(): void {
    this.below.end();
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return;
    this.#kept += stop - start;
    this.#reader.push(bytes, start, stop);
    if (this.#over) return;
    const ours = this.#kept - this.#reader.pending; // those of a prefix may still go on
    if (ours > 0) this.below.consume(ours);
    this.#kept -= ours;
    if (!end) return;
    if (this.#trailers !== undefined) this.listener.onTrailers(this.#trailers);
    else this.listener.onData(nothing, 0, 0, true); // cut off: the attempt says so
  }

  /** HTTP's own trailers mean nothing here. */
  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
  }

  override onReset(code: ErrorCode, cause: ResetCause): void {
    if (!this.#over) super.onReset(code, cause);
  }

  handlingOf(flags: number, length: number): Handling {
    if (!this.isLast(flags)) return Handling.pass;
    return length <= this.maxLast ? Handling.gather : Handling.refuse;
  }

  onPass(bytes: Uint8Array, start: number, stop: number): void {
    this.#kept -= stop - start;
    this.listener.onData(bytes, start, stop, false);
  }

  onMessage(flags: number, payload: Uint8Array): void {
    this.#reader.stop();
    try {
      this.#trailers = this.readLast(flags, payload);
    } catch {
      // an encoding that we don't know, or bytes that aren't of it
    }
    if (this.#trailers === undefined) this.onRefuse();
  }

  onRefuse(): void {
    this.#over = true;
    this.below.reset(ErrorCode.cancel);
    this.listener.onReset(ErrorCode.internalError, "malformed");
  }

  /** A payload as it was before it was compressed. Throws where it can't be read. */
  protected plain(flags: number, payload: Uint8Array): Uint8Array {
    if ((flags & EnvelopeFlag.compressed) === 0 || payload.length === 0) return payload;
    if (!isCompressed(this.encoding)) throw new TypeError("compressed, in no encoding");
    return decompress(this.encoding, payload, this.maxLast);
  }

  /** In which envelopes that say so are compressed. */
  protected encoding: string | undefined;

  protected abstract isLast(flags: number): boolean;

  /** Bytes that it may have. */
  protected abstract readonly maxLast: number;

  /**
   * Reads its payload as trailers.
   *
   * @returns undefined if it is malformed; may throw as well
   */
  protected abstract readLast(flags: number, payload: Uint8Array): Field[] | undefined;
}
