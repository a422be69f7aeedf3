/** Deadlines: ends the calls whose time is over. One timer for all of them, for most calls are long done when it runs. */
import { startTurn } from "./http2/turn.ts";

/** A call with a deadline, and its place among those that share a tick. */
export interface Timed {
  /** In milliseconds of `performance.now()`; infinity while it has none. Set by `add` and `remove`. */
  deadline: number;
  earlier: Timed | undefined;
  later: Timed | undefined;
  onDeadline(): void;
}

/** How late a deadline may be told, in milliseconds. Short against any deadline that crosses a network. */
const tickMs = 10;

const slotCount = 512;

/**
 * A timing wheel of linked lists: adding and removing is a few assignments, a tenth of what arming and clearing a timer
 * costs. Deadlines more than one round (5.12 s) away come by and stay, so neither their number nor their length (2^31 ms
 * is no limit) matters.
 */
export class Deadlines {
  /** First of each list. */
  readonly #slots: (Timed | undefined)[] = new Array(slotCount).fill(undefined);
  #count = 0;
  #tick = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param at the deadline; one that is over already is told with the next tick */
  add(timed: Timed, at: number): void {
    const now = performance.now();
    if (this.#timer === undefined) {
      this.#tick = Math.floor(now / tickMs);
      this.#timer = setInterval(() => this.#advance(), tickMs);
    }
    timed.deadline = Math.max(at, now);
    const slot = slotOf(timed);
    const first = this.#slots[slot];
    timed.earlier = undefined;
    timed.later = first;
    if (first !== undefined) first.earlier = timed;
    this.#slots[slot] = timed;
    this.#count++;
  }

  /** Nothing happens if it has been told, or there was none. */
  remove(timed: Timed): void {
    if (timed.deadline === Number.POSITIVE_INFINITY) return;
    const { earlier, later } = timed;
    if (earlier === undefined) this.#slots[slotOf(timed)] = later;
    else earlier.later = later;
    if (later !== undefined) later.earlier = earlier;
    timed.earlier = undefined;
    timed.later = undefined;
    timed.deadline = Number.POSITIVE_INFINITY;
    this.#count--;
    // the timer stops when it finds nothing: calls come and go too fast to stop it here.
  }

  #advance(): void {
    if (this.#count === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const now = startTurn();
    const last = Math.floor(now / tickMs);
    const due: Timed[] = [];
    for (let tick = Math.max(this.#tick, last - slotCount + 1); tick <= last; tick++) {
      for (let timed = this.#slots[tick % slotCount]; timed !== undefined; timed = timed.later) {
        if (timed.deadline <= now) due.push(timed);
      }
    }
    this.#tick = last;
    for (const timed of due) {
      if (timed.deadline > now) continue; // ended by one that was due before it
      this.remove(timed);
      timed.onDeadline();
    }
  }
}

function slotOf({ deadline }: Timed): number {
  return Math.ceil(deadline / tickMs) % slotCount;
}
