/**
 * Lines that come again and again, by their bytes. HTTP/1.1 has no table as HPACK has, so a client sends the same lines with each
 * request, and in the same order: the line that is expected is compared as it lies there, without looking for its end. That
 * costs a sixth of what reading it does, and all that is known of the line is known.
 */
import { LF } from "./characters.ts";

/** Bytes of a line that is worth remembering, with CRLF. A longer one costs little more to read than to compare. */
const maxLength = 256;

/** Lines that a line may resemble and not be, before it counts as unknown: who sends such lines must not get much work done for it. */
const maxCompared = 4;

/** Hashes of lines that came once. */
const missedSlots = 16;

/** A line that is remembered. */
export interface KnownLine<Line> {
  /** With CRLF. */
  readonly bytes: Uint8Array;
  readonly line: Line;
}

/** Lines of one connection: what one peer has sent is no faster for another. */
export class LineMemo<Line> {
  readonly #known: KnownLine<Line>[] = [];
  readonly #missed = new Int32Array(missedSlots);
  readonly #max: number;
  /** Where in the list the line is expected that comes next. */
  #next = 0;

  /** @param max lines remembered at most */
  constructor(max: number) {
    this.#max = max;
  }

  /** The next line is the first of a request. */
  rewind(): void {
    this.#next = 0;
  }

  /** The line that lies whole between `start` and `stop`, from `start` on, if it is known. */
  find(bytes: Uint8Array, start: number, stop: number): KnownLine<Line> | undefined {
    const known = this.#known;
    const count = known.length;
    let compared = 0;
    for (let tried = 0, at = this.#next; tried < count; tried++, at++) {
      if (at >= count) at = 0;
      const candidate = known[at]!;
      if (!resembles(candidate.bytes, bytes, start, stop)) continue;
      if (equals(candidate.bytes, bytes, start)) {
        this.#next = at + 1;
        return candidate;
      }
      if (++compared === maxCompared) return undefined;
    }
    return undefined;
  }

  /**
   * Keeps a line that wasn't found. The first ones at once, for they are those of the first request; more only at their second
   * coming, in place of what was expected: a line that is new each time pushes none out that is of use.
   *
   * @param stop behind its CRLF
   */
  keep(bytes: Uint8Array, start: number, stop: number, line: Line): void {
    if (stop - start > maxLength) return;
    const known = this.#known;
    if (known.length * 2 >= this.#max && !this.#cameBefore(hashOf(bytes, start, stop))) return;
    const kept = { bytes: new Uint8Array(bytes.subarray(start, stop)), line }; // Buffer.slice would not copy
    const replaced = known.length < this.#max ? 0 : 1;
    const at = Math.min(this.#next, known.length - replaced);
    known.splice(at, replaced, kept);
    this.#next = at + 1;
  }

  #cameBefore(hash: number): boolean {
    const slot = hash & (missedSlots - 1);
    const before = this.#missed[slot] === hash;
    this.#missed[slot] = hash;
    return before;
  }
}

/** True where the first and the last bytes are the same. */
function resembles(known: Uint8Array, bytes: Uint8Array, start: number, stop: number): boolean {
  const last = known.length - 1;
  return (
    known[0] === bytes[start] &&
    start + last < stop &&
    bytes[start + last] === LF &&
    known[last - 2] === bytes[start + last - 2]
  );
}

function equals(known: Uint8Array, bytes: Uint8Array, start: number): boolean {
  // from the end, which is where lines that begin alike differ
  for (let i = known.length - 1; i > 0; i--) if (known[i] !== bytes[start + i]) return false;
  return true;
}

function hashOf(bytes: Uint8Array, start: number, stop: number): number {
  let hash = stop - start;
  for (let i = start; i < stop; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
  return hash ^ (hash >>> 15);
}
