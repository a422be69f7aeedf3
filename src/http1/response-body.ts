/** Response body: bytes out in the framing that the head announced, held back while the socket is full. */
import type { StreamListener } from "../http2/api.ts";
import { type BodyRange, keepRange } from "../http2/body.ts";
import type { Field } from "../http2/field.ts";
import type { Output } from "../http2/output.ts";
import type { BodyFraming } from "./response.ts";
import { writeChunkEnd, writeChunkHead, writeLastChunk } from "./writer.ts";

const noTrailers: readonly Field[] = [];

export class ResponseBody {
  /** Bytes that content-length promised and that haven't been given to us. */
  #promised: number;
  #held: BodyRange[] = [];
  /** What comes behind what is held: the end, with these trailers. */
  #trailers: readonly Field[] | undefined;
  /** Bytes written since we last saw to it that they leave. */
  #gathered = 0;
  readonly #framing: BodyFraming;
  readonly #flushAt: number;

  /**
   * @param length bytes, where framing is `length`
   * @param flushAt bytes written in one turn that leave before its end: nobody may fill memory that the peer doesn't drain
   */
  constructor(framing: BodyFraming, length: number, flushAt: number) {
    this.#framing = framing;
    this.#promised = length;
    this.#flushAt = flushAt;
  }

  /** Something waits for the socket. */
  get isHeld(): boolean {
    return this.#held.length > 0 || this.#trailers !== undefined;
  }

  /**
   * Counts what is given to us. More than content-length says would be read as the next response (fault C4), less would take the
   * next one for a part of this.
   *
   * @returns why it can't be sent, or undefined
   */
  count(bytes: number, end: boolean): string | undefined {
    if (this.#framing !== "length") return undefined;
    this.#promised -= bytes;
    if (this.#promised < 0) return "body longer than its content-length";
    return end && this.#promised > 0 ? "body shorter than its content-length" : undefined;
  }

  /** Writes, or holds while the socket is full. True: it has been written. */
  send(output: Output, bytes: Uint8Array, start: number, stop: number): boolean {
    if (this.#framing === "none") return true;
    if (!this.isHeld && !output.congested) {
      this.#write(output, bytes, start, stop);
      return true;
    }
    keepRange(this.#held, bytes, start, stop);
    return false;
  }

  /** Ends it, behind what is held. Only chunks have trailers; else they are dropped (RFC 9110 section 6.5.1). True: it has ended. */
  end(output: Output, trailers: readonly Field[] = noTrailers): boolean {
    if (this.isHeld) {
      this.#trailers = trailers;
      return false;
    }
    if (this.#framing === "chunked") writeLastChunk(output, trailers);
    return true;
  }

  /** Writes what is held, as far as the socket takes it. True: the end has been written too. */
  pump(output: Output, listener: StreamListener): boolean {
    while (!output.congested) {
      const piece = this.#held.shift();
      if (piece !== undefined) {
        this.#write(output, piece.bytes, piece.start, piece.stop);
        listener.onSent(piece.stop - piece.start);
        continue;
      }
      const trailers = this.#trailers;
      this.#trailers = undefined;
      return trailers !== undefined && this.end(output, trailers);
    }
    return false;
  }

  /** Drops what is held. Behind a content-length it will be missing, which is a fault as soon as the response ends. */
  drop(): void {
    for (const { start, stop } of this.#held) this.#promised += stop - start;
    this.#held = [];
    this.#trailers = undefined;
  }

  #write(output: Output, bytes: Uint8Array, start: number, stop: number): void {
    if (this.#framing === "chunked") {
      writeChunkHead(output, stop - start);
      output.append(bytes, start, stop);
      writeChunkEnd(output);
    } else {
      output.append(bytes, start, stop);
    }
    this.#gathered += stop - start;
    if (this.#gathered <= this.#flushAt) return;
    this.#gathered = 0;
    output.flush();
  }
}
