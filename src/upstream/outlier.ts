/** Outlier: an endpoint that fails call after call gets none for a while. A state machine by the calls' outcomes. */

/** How an attempt ended, as far as it says something of the endpoint. `neutral`: nothing, as when the caller went away. */
export type Outcome = "success" | "failure" | "neutral";

export interface OutlierSettings {
  /** Failures in a row after which it is ejected. Default 5, as Envoy. */
  readonly consecutive: number;
  /** Milliseconds of the first ejection; the n-th takes n times as long. Default 30 s, as Envoy. */
  readonly ejectionMs: number;
  /** Milliseconds of an ejection at most. Default 300 s, as Envoy. */
  readonly maxEjectionMs: number;
  /** Percent of an upstream's endpoints that may be ejected at a time, but always one. Default 50. */
  readonly maxPercent: number;
}

export const defaultOutlier: OutlierSettings = {
  consecutive: 5,
  ejectionMs: 30_000,
  maxEjectionMs: 300_000,
  maxPercent: 50,
};

/** How many of so many endpoints may be ejected at a time. */
export function maxEjected(endpoints: number, maxPercent: number): number {
  return Math.max(1, Math.floor((endpoints * maxPercent) / 100));
}

export class Outlier {
  readonly #settings: OutlierSettings;
  #failures = 0;
  #ejected = false;
  /** Ejections that the next one's time is counted by. */
  #ejections = 0;
  /** When the last one ended, in milliseconds of any clock that never goes back. */
  #restoredAt = 0;

  constructor(settings: OutlierSettings = defaultOutlier) {
    this.#settings = settings;
  }

  get ejected(): boolean {
    return this.#ejected;
  }

  succeed(): void {
    this.#failures = 0;
  }

  /** @returns whether it has failed so often that it should be ejected; asked again at each further failure */
  fail(): boolean {
    return ++this.#failures >= this.#settings.consecutive && !this.#ejected;
  }

  /** @returns milliseconds after which `restore()` is due */
  eject(now: number): number {
    const { ejectionMs, maxEjectionMs } = this.#settings;
    // each ejection's time that went well takes one off
    const goodTimes = Math.floor((now - this.#restoredAt) / ejectionMs);
    this.#ejections = Math.max(0, this.#ejections - goodTimes) + 1;
    this.#ejected = true;
    return Math.min(ejectionMs * this.#ejections, maxEjectionMs);
  }

  restore(now: number): void {
    this.#ejected = false;
    this.#failures = 0;
    this.#restoredAt = now;
  }
}
