/** Deadlines: ends the calls whose time is over. One timer for all of them, for most calls are long done when it runs. */

/** A call with a deadline. */
export interface Timed {
  /** In milliseconds of `performance.now()`; set by `add`, and left alone until the deadline is over or removed. */
  deadline: number;
  onDeadline(): void;
}

/** How late a deadline may be told, in milliseconds. Short against any deadline that crosses a network. */
const tickMs = 10;

/**
 * A timing wheel: adding and removing are a Set's, and cost a tenth of what arming and clearing a timer does. Deadlines
 * more than one round (5.12 s) away come by and stay, so neither their number nor their length (2^31 ms is no limit) matters.
 */
export class Deadlines {
  readonly #slots: Set<Timed>[] = Array.from({ length: 512 }, () => new Set());
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
    this.#slotOf(timed).add(timed);
    this.#count++;
  }

  remove(timed: Timed): void {
    if (!this.#slotOf(timed).delete(timed)) return;
    this.#count--;
    // the timer stops when it finds nothing: calls come and go too fast to stop it here.
  }

  #slotOf({ deadline }: Timed): Set<Timed> {
    return this.#slots[Math.ceil(deadline / tickMs) % this.#slots.length]!;
  }

  #advance(): void {
    if (this.#count === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const now = performance.now();
    const last = Math.floor(now / tickMs);
    const first = Math.max(this.#tick, last - this.#slots.length + 1);
    for (let tick = first; tick <= last; tick++) {
      for (const timed of this.#slots[tick % this.#slots.length]!) {
        if (timed.deadline > now) continue;
        this.remove(timed);
        timed.onDeadline();
      }
    }
    this.#tick = last;
  }
}
