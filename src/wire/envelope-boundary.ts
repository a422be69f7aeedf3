/** Envelope boundary: follows a body of envelopes whose bytes pass by: where they begin and end, and how long they say they are. */
import { prefixLength } from "./envelope.ts";

export class EnvelopeBoundary {
  /** Where in the piece that was pushed last the last envelope began, or the piece itself if that was before it. */
  begin = 0;
  readonly #max: number;
  /** Bytes of the payload that haven't come by. */
  #left = 0;
  /** Bytes of a prefix that have, and the length that those of them say. */
  #prefix = 0;
  #length = 0;

  /** @param max bytes of payload. Default: any */
  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max;
  }

  /** Nothing of an envelope is outstanding: another may follow, or the body may end. */
  get reached(): boolean {
    return this.#left === 0 && this.#prefix === 0;
  }

  /** @returns bytes of the payload that is too long, of which no more is followed; 0 where none is */
  push(bytes: Uint8Array, start: number, stop: number): number {
    let at = start;
    this.begin = start;
    while (at < stop) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, stop - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      if (this.#prefix === 0) this.begin = at;
      // the first byte is flags; four digits of base 256 are more than 32 bits of a shift can hold
      if (this.#prefix++ > 0) this.#length = this.#length * 256 + bytes[at]!;
      at++;
      if (this.#prefix < prefixLength) continue;
      if (this.#length > this.#max) return this.#length;
      this.#left = this.#length;
      this.#prefix = this.#length = 0;
    }
    return 0;
  }
}
