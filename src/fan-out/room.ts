/** Room: the memory that the replies of a fan-out may take up together, and the legs that wait for some of it. */
import type { CompleteGatherPolicy } from "../route/gather-policy.ts";

/** Bytes of a message that needs no room of its own. */
const shortMessage = 16 << 10;

/** A leg with more of a reply than there is room for. */
export interface RoomWaiter {
  /** There may be room now: to be asked for again. */
  resume(): void;
}

export class Room {
  /** Bytes that wait for the caller to take them. */
  queued = 0;
  /** Bytes that are held, or on their way to be. */
  #held = 0;
  readonly #flows: boolean;
  readonly #message: number;
  readonly #total: number;
  #waiting: Set<RoomWaiter> | undefined;
  #resuming = false;

  /** @param flows messages leave as they come, so that there is room for more with time */
  constructor({ maxMessageBytes, maxTotalBytes }: CompleteGatherPolicy, flows: boolean) {
    this.#message = maxMessageBytes;
    this.#total = maxTotalBytes;
    this.#flows = flows;
  }

  /** The most bytes that a message may have; less than the policy's limit where others have used up the total for good. */
  get forMessage(): number {
    return this.#flows ? this.#message : Math.min(this.#message, this.#total - this.#held);
  }

  /** So many more bytes are held, or fewer. */
  hold(bytes: number): void {
    this.#held += bytes;
  }

  /**
   * Whether a message of so many bytes may come now; else the leg waits. Short messages always may: they are bounded by their streams'
   * windows, and wait for no long one that is stalled.
   */
  admits(leg: RoomWaiter, bytes: number): boolean {
    const used = this.#held + this.queued;
    if (!this.#flows || bytes <= shortMessage || used === 0 || used + bytes <= this.#total) return true;
    return this.#wait(leg);
  }

  /** The same before messages whose lengths aren't known: the caller makes room for them by taking what there is. */
  admitsMore(leg: RoomWaiter): boolean {
    return this.queued < this.#total || this.#wait(leg);
  }

  /** Something has left: lets those go on that can, in the order in which they came. */
  resume(): void {
    // not from within itself: what a leg says may be taken at once
    if (this.#waiting === undefined || this.#resuming) return;
    this.#resuming = true;
    for (const leg of this.#waiting) {
      if (this.queued >= this.#total) break;
      this.#waiting.delete(leg);
      leg.resume();
      if (this.#waiting.has(leg)) break;
    }
    this.#resuming = false;
  }

  #wait(leg: RoomWaiter): false {
    this.#waiting ??= new Set();
    this.#waiting.add(leg);
    return false;
  }
}
