/** Request body: what has come of a request, kept until it can't be needed again: for a connection that isn't there yet, or another try. */
import type { HttpStream } from "./http2/api.ts";
import { type BodyRange, keepRange } from "./http2/body.ts";
import type { Field } from "./http2/field.ts";

/** As much as a caller sends unasked. */
const maxReplay = 64 << 10;

export class RequestBody {
  /** Bytes that have come. */
  bytes = 0;
  /** All of it has come. */
  ended: boolean;
  trailers: Field[] | undefined;
  /** Bytes that are kept for another try, once they have been sent. */
  maxReplay = maxReplay;
  #kept: BodyRange[] | undefined = [];
  #keptBytes = 0;
  /** A try is under way that has had all of it so far. */
  #sending = false;
  /** Bytes that this try has sent, and the most that any has: credit for a byte is given once. */
  #sent = 0;
  #credited = 0;

  constructor(ended: boolean) {
    this.ended = ended;
  }

  /** It can be sent anew from its beginning. */
  get replayable(): boolean {
    return this.#kept !== undefined;
  }

  /** There is nothing of it, and nothing will come. */
  get empty(): boolean {
    return this.ended && this.bytes === 0 && this.trailers === undefined;
  }

  /** The pieces that are kept. */
  get kept(): readonly BodyRange[] {
    return this.#kept ?? [];
  }

  /** Takes a part of it. */
  add(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const length = stop - start;
    this.bytes += length;
    if (end) this.ended = true;
    if (this.#kept === undefined || length === 0) return;
    // the one message of a unary call isn't copied: it is needed for a moment only
    if (this.#keptBytes === 0) this.#kept.push({ bytes, start, stop, owned: false });
    else keepRange(this.#kept, bytes, start, stop);
    this.#keptBytes += length;
    if (this.#sending && this.#keptBytes > this.maxReplay) this.#kept = undefined;
  }

  /** Nothing of it is needed any more. */
  forget(): void {
    this.#kept = undefined;
  }

  /** The try that had it is over, and another may be long in coming: until then all of it is kept. */
  rewind(): void {
    this.#sending = false;
  }

  /** Begins again with another layer above: takes out what was kept, as if nothing had come. */
  takeBack(): BodyRange[] {
    const kept = this.#kept ?? [];
    this.#kept = [];
    this.#keptBytes = 0;
    this.bytes = 0;
    this.ended = false;
    this.trailers = undefined;
    return kept;
  }

  /** Sends what has come so far to the stream of a new try. Returns the bytes for which the caller has credit now. */
  sendTo(stream: HttpStream): number {
    this.#sent = 0;
    this.#sending = true;
    const kept = this.kept;
    const endsWithData = this.ended && this.trailers === undefined;
    let credit = 0;
    for (let i = 0; i < kept.length; i++) {
      const { bytes, start, stop } = kept[i]!;
      if (stream.sendData(bytes, start, stop, endsWithData && i === kept.length - 1)) credit += this.sent(stop - start);
    }
    if (this.#keptBytes > this.maxReplay) this.#kept = undefined;
    if (this.trailers !== undefined) stream.sendHeaders(this.trailers, true);
    return credit;
  }

  /** So many bytes have left. Returns those that left for the first time. */
  sent(bytes: number): number {
    this.#sent += bytes;
    const fresh = this.#sent - this.#credited;
    if (fresh <= 0) return 0;
    this.#credited = this.#sent;
    return fresh;
  }

  /** All that has come gets its credit, whether it has left or not. Returns the bytes that had none yet. */
  creditRest(): number {
    const fresh = this.bytes - this.#credited;
    if (fresh <= 0) return 0;
    this.#credited = this.bytes;
    return fresh;
  }
}
