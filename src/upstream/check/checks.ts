/** Health checks of an upstream: a checker for each endpoint that it has now. */
import type { Endpoint } from "../endpoint.ts";
import { Checker, type CheckerOptions } from "./checker.ts";

export class HealthChecks {
  readonly #options: CheckerOptions;
  readonly #checkers = new Map<Endpoint, Checker>();
  #closed = false;

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /** Endpoints came or went. */
  update(endpoints: readonly Endpoint[]): void {
    if (this.#closed) return;
    const now = new Set(endpoints);
    for (const [endpoint, checker] of this.#checkers) {
      if (now.has(endpoint)) continue;
      checker.close();
      this.#checkers.delete(endpoint);
    }
    for (const endpoint of endpoints) {
      if (!this.#checkers.has(endpoint)) this.#checkers.set(endpoint, new Checker(endpoint, this.#options));
    }
  }

  close(): void {
    this.#closed = true;
    for (const checker of this.#checkers.values()) checker.close();
    this.#checkers.clear();
  }
}
