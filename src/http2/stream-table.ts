/** Stream table: the streams of a connection by id, and what is still known of those that are gone (RFC 9113 section 5.1). */
import type { Http2Stream } from "./stream.ts";

/** Ids of streams that we have reset and for which frames may still be on their way. */
const rememberedResets = 1_000;

const fewestSlots = 16;

/**
 * Open streams lie in a hash table of our own, open addressing by the id's count. Ids go up one by one, so nearly every
 * stream is in its own slot. A `Map` costs a third more CPU per call: it is made anew every few dozen deletions, and
 * each dead table, once it is old, keeps all streams that it held alive through many collections.
 */
export class StreamTable {
  /** Open streams. */
  size = 0;
  /** Highest id the peer has used. */
  lastPeerId = 0;
  /** The next id that is ours to use (client role). */
  nextId = 1;
  #slots: (Http2Stream | undefined)[] = new Array(fewestSlots).fill(undefined);
  readonly #resets = new Set<number>();
  readonly #isServer: boolean;

  constructor(isServer: boolean) {
    this.#isServer = isServer;
  }

  get(id: number): Http2Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  add(stream: Http2Stream): void {
    if (++this.size * 2 > this.#slots.length) this.#grow();
    place(this.#slots, stream);
  }

  /** Takes a stream out; `reset` where we ended it, so that frames on their way to it are let pass. */
  delete(id: number, reset: boolean): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = (id >>> 1) & mask;
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    this.size--;
    // what lies behind moves up where it can, so that a search may stop at the first empty slot
    for (let at = (hole + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const home = (slots[at]!.id >>> 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at];
      hole = at;
    }
    slots[hole] = undefined;
    if (reset) this.rememberReset(id);
  }

  /** A copy: streams may end while it is walked. Oldest first. */
  all(): Http2Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((a, b) => a.id - b.id);
  }

  /** True for an id that nobody has used yet. Ids of a push, which is off, never are. */
  isIdle(id: number): boolean {
    if ((id & 1) === 0) return true;
    return this.#isServer ? id > this.lastPeerId : id >= this.nextId;
  }

  rememberReset(id: number): void {
    this.#resets.add(id);
    if (this.#resets.size <= rememberedResets) return;
    for (const oldest of this.#resets) {
      this.#resets.delete(oldest);
      return;
    }
  }

  /** True where the peer may not know yet that the stream is over. */
  wasReset(id: number): boolean {
    return this.#resets.has(id);
  }

  #grow(): void {
    const larger: (Http2Stream | undefined)[] = new Array(this.#slots.length * 2).fill(undefined);
    for (const stream of this.#slots) if (stream !== undefined) place(larger, stream);
    this.#slots = larger;
  }
}

function place(slots: (Http2Stream | undefined)[], stream: Http2Stream): void {
  const mask = slots.length - 1;
  let at = (stream.id >>> 1) & mask;
  while (slots[at] !== undefined) at = (at + 1) & mask;
  slots[at] = stream;
}
