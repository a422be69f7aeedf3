/** Stream table: the streams of a connection by id, and what is still known of those that are gone (RFC 9113 section 5.1). */
import type { Http2Stream } from "./stream.ts";

/** Ids of streams that we have reset and for which frames may still be on their way. */
const rememberedResets = 1_000;

export class StreamTable {
  readonly open = new Map<number, Http2Stream>();
  /** Highest id the peer has used. */
  lastPeerId = 0;
  /** The next id that is ours to use (client role). */
  nextId = 1;
  readonly #resets = new Set<number>();
  readonly #isServer: boolean;

  constructor(isServer: boolean) {
    this.#isServer = isServer;
  }

  /** True for an id that nobody has used yet. Ids of a push, which is off, never are. */
  isIdle(id: number): boolean {
    const clientInitiated = (id & 1) === 1;
    if (!clientInitiated) return true;
    return this.#isServer ? id > this.lastPeerId : id >= this.nextId;
  }

  /** Takes a stream out; `reset` where we ended it, so that frames on their way to it are let pass. */
  close(id: number, reset: boolean): void {
    this.open.delete(id);
    if (reset) this.rememberReset(id);
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
}
