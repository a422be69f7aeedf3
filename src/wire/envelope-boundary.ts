/** Envelope boundary: whether a body of envelopes, whose bytes pass by, has come to the end of one. */
import { prefixLength } from "./envelope.ts";

export class EnvelopeBoundary {
  /** Bytes of the payload that haven't come by. */
  #left = 0;
  /** Bytes of a prefix that have, and the length that those of them say. */
  #prefix = 0;
  #length = 0;

  /** Nothing of an envelope is outstanding: another may follow, or the body may end. */
  get reached(): boolean {
    return this.#left === 0 && this.#prefix === 0;
  }

  push(bytes: Uint8Array, start: number, stop: number): void {
    let at = start;
    while (at < stop) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, stop - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      // the first byte is flags; four digits of base 256 are more than 32 bits of a shift can hold
      if (this.#prefix++ > 0) this.#length = this.#length * 256 + bytes[at]!;
      at++;
      if (this.#prefix < prefixLength) continue;
      this.#left = this.#length;
      this.#prefix = this.#length = 0;
    }
  }
}
