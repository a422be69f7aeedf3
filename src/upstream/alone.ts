/** Alone: an endpoint as it is to calls that are meant for it and no other, as the legs of fan-outs are. */
import type { Breaker } from "./breaker.ts";
import type { Outcome } from "./outlier.ts";
import type { Reached } from "./waiter.ts";

/** Counts attempts as those that the limits of a whole upstream leave out: a fan-out has as many as there are endpoints. */
export class Alone implements Reached {
  readonly name: string;
  readonly address: string;
  readonly secure: boolean;
  readonly #endpoint: Reached;
  readonly #breaker: Breaker;

  constructor(endpoint: Reached, breaker: Breaker) {
    this.name = endpoint.name;
    this.address = endpoint.address;
    this.secure = endpoint.secure;
    this.#endpoint = endpoint;
    this.#breaker = breaker;
  }

  begin(): void {
    this.#breaker.alone.active++;
    this.#endpoint.begin();
  }

  report(outcome: Outcome): void {
    this.#breaker.alone.active--;
    this.#endpoint.report(outcome);
  }
}
