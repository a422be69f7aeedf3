/** Useless frames: a budget for what carries nothing that a call needs. In bulk it is work for us alone (CVE-2019-9511, 9513, 9518). */
import { Budget } from "./budget.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import { turn } from "./turn.ts";

export class UselessFrames {
  readonly #budget: Budget;
  readonly #partsSent: () => number;
  /** Of the parts sent, what has been earned already. */
  #partsCounted = 0;

  /**
   * @param burst how many at one go; the hundredth of it comes back each second, which lets PINGs, and little else, go on for as long
   *   as a call does
   * @param partsSent parts of bodies that have been sent to the peer so far: each may be worth a PING to it, which grpc-go measures
   *   windows by
   */
  constructor(burst: number, partsSent: () => number) {
    this.#budget = new Budget(burst, burst / 100, turn.now);
    this.#partsSent = partsSent;
  }

  /** A frame of use has come. */
  earn(): void {
    this.#budget.earn();
  }

  /** @throws ConnectionError beyond the budget; `what` came last */
  spend(what: string): void {
    if (this.#budget.spend(turn.now)) return;
    const partsSent = this.#partsSent();
    this.#budget.earn(partsSent - this.#partsCounted);
    this.#partsCounted = partsSent;
    if (this.#budget.overdrawn) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `too many frames without use, the last: ${what}`);
    }
  }
}
