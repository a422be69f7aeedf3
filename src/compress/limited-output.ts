/** What zlib's functions throw where there would be more output than was allowed; decoders of our own throw the same. */
export function outputTooLarge(limit: number): Error {
  return Object.assign(new RangeError(`more than ${limit} bytes`), { code: tooLargeCode });
}

export const tooLargeCode = "ERR_BUFFER_TOO_LARGE";

/** Output of a decoder: bytes that were written can be copied from, up to a limit of them. */
export class LimitedOutput {
  length = 0;
  #bytes: Uint8Array;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
    this.#bytes = new Uint8Array(Math.min(limit, 4 << 10));
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  append(bytes: Uint8Array): void {
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
  }

  fill(byte: number, count: number): void {
    const at = this.#take(count);
    this.#bytes.fill(byte, at, at + count);
  }

  /**
   * Repeats what was written `distance` bytes ago, which may be what this writes.
   *
   * @throws Error if nothing was written so long ago
   */
  copy(distance: number, count: number): void {
    if (distance < 1 || distance > this.length) throw new Error(`a copy from ${distance} bytes ago, of ${this.length}`);
    const at = this.#take(count);
    if (distance >= count) this.#bytes.copyWithin(at, at - distance, at - distance + count);
    else for (let i = at; i < at + count; i++) this.#bytes[i] = this.#bytes[i - distance]!;
  }

  /** @returns where so many bytes go */
  #take(count: number): number {
    const at = this.length;
    const length = at + count;
    if (length > this.#limit) throw outputTooLarge(this.#limit);
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(this.#limit, Math.max(length, 2 * this.#bytes.length)));
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.length = length;
    return at;
  }
}
