/** Health: what the answers to an endpoint's health checks make of it. A state machine; who asks, and when, is elsewhere. */

/**
 * What a check found. `serving` and `not_serving` are the server's own word; `failed`: it didn't answer, or with something that is no
 * answer.
 */
export type Finding = "serving" | "not_serving" | "failed";

export interface HealthThresholds {
  /** Checks that must find it serving in a row before calls go there again. Default 2. */
  readonly healthy: number;
  /** Checks that must fail in a row before no call goes there. Default 3. The server's own "not serving" counts at once. */
  readonly unhealthy: number;
}

export const defaultThresholds: HealthThresholds = { healthy: 2, unhealthy: 3 };

export class Health {
  readonly #thresholds: HealthThresholds;
  #healthy = false;
  #known = false;
  /** Findings in a row that speak against the present state. */
  #against = 0;

  constructor(thresholds: HealthThresholds = defaultThresholds) {
    this.#thresholds = thresholds;
  }

  /** False until the first finding, which decides alone. */
  get healthy(): boolean {
    return this.#healthy;
  }

  /** There was a finding. */
  get known(): boolean {
    return this.#known;
  }

  /** @returns whether this has changed `healthy` or `known` */
  observe(finding: Finding): boolean {
    const serving = finding === "serving";
    if (this.#known && serving === this.#healthy) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.#known && finding !== "not_serving" && this.#against < this.#threshold) return false;
    this.#known = true;
    this.#healthy = serving;
    this.#against = 0;
    return true;
  }

  get #threshold(): number {
    return this.#healthy ? this.#thresholds.unhealthy : this.#thresholds.healthy;
  }
}
