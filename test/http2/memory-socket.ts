/** A pair of sockets in memory: bytes cross in later turns of the event loop, cut up and held back as the test wants. */
import { EventEmitter } from "node:events";
import type { ByteSocket } from "../../src/http2/api.ts";

/** Cuts what one write carries into the chunks that arrive. */
export type Split = (bytes: Buffer) => Uint8Array[];

interface Written {
  readonly bytes: Uint8Array;
  /** What the bytes were when they were written: nobody may change them before they have left. */
  readonly copy: Buffer;
}

const highWaterMark = 16 << 10;

export class MemorySocket extends EventEmitter implements ByteSocket {
  /** The other end. */
  peer!: MemorySocket;
  /** True while the network takes nothing: all that is written waits, as if the other end never read. */
  stalled = false;
  split: Split = (bytes) => [bytes];
  /** Calls of `write`, counting all between `cork` and `uncork` as one. */
  writes = 0;
  writableLength = 0;
  destroyed = false;
  /** `end` was called. */
  ended = false;
  paused = false;
  #queue: Written[] = [];
  #arrived: Uint8Array[] = [];
  #corked = false;
  #needDrain = false;
  #scheduled = false;
  #endTold = false;

  /** Nobody hears of what is written behind `destroy`, as with `net.Socket`: its owner may not have been told yet. */
  write(bytes: Uint8Array): boolean {
    if (this.destroyed) return false;
    if (this.ended) throw new Error("write after the end");
    if (!this.#corked) this.writes++;
    this.#queue.push({ bytes, copy: Buffer.from(bytes) });
    this.writableLength += bytes.length;
    if (this.writableLength >= highWaterMark) this.#needDrain = true;
    this.#schedule();
    return this.writableLength < highWaterMark;
  }

  cork(): void {
    this.writes++;
    this.#corked = true;
  }

  uncork(): void {
    this.#corked = false;
  }

  pause(): this {
    this.paused = true;
    return this;
  }

  resume(): this {
    this.paused = false;
    this.#schedule();
    this.peer.#schedule();
    return this;
  }

  end(): void {
    this.ended = true;
    this.#schedule();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#queue = [];
    setImmediate(() => {
      this.emit("close");
      this.peer.#tellEnd();
    });
  }

  /** The connection breaks: an error at this end, the end of input at the other. */
  fail(error: Error): void {
    this.emit("error", error);
    this.destroy();
  }

  /** Lets what was held back go on. */
  release(): void {
    this.stalled = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    this.#read();
    if (this.stalled || this.peer.paused) return;
    const queue = this.#queue;
    this.#queue = [];
    for (const { bytes, copy } of queue) {
      if (Buffer.compare(bytes, copy) !== 0) throw new Error("bytes were changed after they were written");
    }
    this.writableLength = 0;
    if (queue.length > 0) this.peer.#arrive(this.split(Buffer.concat(queue.map(({ copy }) => copy))));
    if (this.#needDrain && !this.destroyed) {
      this.#needDrain = false;
      this.emit("drain");
    }
    if (this.ended && this.#queue.length === 0) this.peer.#tellEnd();
  }

  #arrive(chunks: Uint8Array[]): void {
    this.#arrived.push(...chunks);
    this.#read();
  }

  #read(): void {
    while (!this.paused && !this.destroyed) {
      const chunk = this.#arrived.shift();
      if (chunk === undefined) return;
      this.emit("data", Buffer.from(new Uint8Array(chunk).buffer)); // of its own, as from a real socket: it may be kept
    }
  }

  #tellEnd(): void {
    if (this.#endTold || this.destroyed) return;
    this.#endTold = true;
    this.emit("end");
  }
}

export function socketPair(): [MemorySocket, MemorySocket] {
  const [one, other] = [new MemorySocket(), new MemorySocket()];
  one.peer = other;
  other.peer = one;
  return [one, other];
}

/** Waits until all that was written has arrived, and what came of that as well: so many turns are enough for any test. */
export async function settle(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Cuts into chunks of the same size. */
export function chunksOf(size: number): Split {
  return (bytes) => {
    const chunks = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    return chunks;
  };
}
