/**
 * Lines that come again and again, by their bytes. HTTP/1.1 has no table as HPACK has, so a client sends the same header
 * lines with each request; to find one here costs a third of what reading it does, and what is known of it is known.
 */

/** Bytes of a line that is worth remembering, at least and at most. */
const minLength = 8;
const maxLength = 256;

/** Lines of one connection: what one peer has sent is no faster for another. */
export class LineMemo<Line> {
  readonly #lines: (Line | undefined)[];
  readonly #bytes: Uint8Array[];
  /** The hash of what was last not found, in each slot. */
  readonly #missed: Int32Array;
  readonly #mask: number;

  /** @param slots lines remembered at most; a power of two */
  constructor(slots: number) {
    this.#lines = new Array(slots).fill(undefined);
    this.#bytes = new Array(slots).fill(new Uint8Array(0));
    this.#missed = new Int32Array(slots);
    this.#mask = slots - 1;
  }

  /** What `parse` makes of the bytes from `start` to `stop`, or has made of the same bytes before. */
  read(bytes: Uint8Array, start: number, stop: number, parse: Parse<Line>): Line {
    const length = stop - start;
    if (length < minLength || length > maxLength) return parse(bytes, start, stop);
    const hash = hashOf(bytes, start, stop);
    const slot = hash & this.#mask;
    const known = this.#bytes[slot]!;
    if (known.length === length && equals(known, bytes, start)) return this.#lines[slot]!;
    const line = parse(bytes, start, stop);
    if (this.#missed[slot] === hash) {
      this.#lines[slot] = line;
      this.#bytes[slot] = new Uint8Array(bytes.subarray(start, stop)); // Buffer.slice would not copy
    }
    this.#missed[slot] = hash; // kept at its second coming: a line that is new each time isn't worth a copy
    return line;
  }
}

type Parse<Line> = (bytes: Uint8Array, start: number, stop: number) => Line;

function equals(known: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}

/** Of the length and the last bytes, which is where lines differ. */
function hashOf(bytes: Uint8Array, start: number, stop: number): number {
  let hash = stop - start;
  for (let i = stop - minLength; i < stop; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  return hash ^ (hash >>> 15);
}
