/** Batch: messages of an interleaved reply, gathered while a turn lasts and sent as one part of the body. */
import { initialMaxFrameSize } from "../http2/frame.ts";
import { freeHeadroom, headroom } from "../http2/headroom.ts";
import { atEndOfTurn, type TurnTask } from "../http2/turn.ts";
import { prefixLength, writePrefix } from "../wire/envelope.ts";
import type { FanOut } from "./fan-out.ts";

/** Longer messages are sent as they are, behind what was gathered. */
const largestCopy = 4 << 10;

const firstBlock = 1 << 10;
const largestBlock = 64 << 10;

/**
 * Legs answer with many small messages in each turn. A frame for each costs a third of all that a stream's message costs; the bytes
 * are written once, to where they are sent from, with room for the frame's header before them.
 */
export class Batch implements TurnTask {
  readonly #fanOut: FanOut;
  #block: Uint8Array = new Uint8Array(0);
  /** What is gathered: `#block` from here to `#at`. */
  #from = 0;
  #at = 0;
  #scheduled = false;

  constructor(fanOut: FanOut) {
    this.#fanOut = fanOut;
  }

  /** Appends a message, and sees to it that it leaves by the end of the turn. */
  add(message: Uint8Array): void {
    const { length } = message;
    const copied = length > largestCopy ? 0 : length;
    const size = prefixLength + copied;
    if (this.#at - this.#from + size > initialMaxFrameSize) this.flush();
    if (this.#block.length - this.#at < size) this.#nextBlock(size);
    writePrefix(this.#block, this.#at, 0, length);
    if (copied > 0) this.#block.set(message, this.#at + prefixLength);
    this.#at += size;
    if (copied < length) {
      this.flush();
      this.#fanOut.listener.onData(message, 0, length, false);
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      atEndOfTurn(this);
    }
  }

  endTurn(): void {
    this.#scheduled = false;
    if (!this.#fanOut.closed) this.flush();
  }

  /** Sends what was gathered. */
  flush(): void {
    const start = this.#from;
    const stop = this.#at;
    if (start === stop) return;
    const block = this.#block;
    this.#at = stop + headroom;
    this.#from = this.#at;
    freeHeadroom(block, start);
    this.#fanOut.listener.onData(block, start, stop, false);
  }

  /** Blocks grow with use: most replies are short. */
  #nextBlock(size: number): void {
    this.flush();
    const length = Math.max(size + headroom, firstBlock, Math.min(2 * this.#block.length, largestBlock));
    this.#block = Buffer.allocUnsafeSlow(length);
    this.#at = headroom;
    this.#from = headroom;
  }
}
