/** Input: what a fuzzer's bytes say of how they are to be fed: a few decisions, and then what is fed. */
import { randomOf } from "../support/random.ts";

export class Input {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next byte; 0 where there is none. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** The next so many bytes, or those that there are. */
  take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += taken.length;
    return taken;
  }

  rest(): Buffer {
    return this.take(this.#bytes.length);
  }
}

/** Cuts bytes into pieces: 0 not at all, 1 each for itself, and each other number in a way of its own. Each is a copy. */
export function pieces(bytes: Uint8Array, how: number): Buffer[] {
  const cut: Buffer[] = [];
  const next = random(how);
  for (let at = 0; at < bytes.length; ) {
    const length = how === 0 ? bytes.length : how === 1 ? 1 : 1 + next(how % 3 === 0 ? 300 : 12);
    cut.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return cut;
}

/** Whole numbers below a bound, the same for the same seed. */
export function random(seed: number): (below: number) => number {
  const next = randomOf(seed);
  return (below) => Math.floor(next() * below);
}

/** One character for each byte. */
export function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
