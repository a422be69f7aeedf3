/** Backoff: how long an endpoint is left alone after failed attempts to connect. */

/** The numbers of gRPC's "Connection Backoff Protocol". */
export interface BackoffSettings {
  /** Milliseconds after the first failure. Default 1 s. */
  readonly baseMs: number;
  /** Each further failure multiplies by this. Default 1.6. */
  readonly factor: number;
  /** Share by which a delay is made longer or shorter at random, so that proxies don't come back all at once. Default 0.2. */
  readonly jitter: number;
  /** Longest delay in milliseconds, before jitter. Default 120 s. */
  readonly maxMs: number;
}

export const defaultBackoff: BackoffSettings = { baseMs: 1_000, factor: 1.6, jitter: 0.2, maxMs: 120_000 };

/**
 * Milliseconds to wait after some failures in a row.
 *
 * @param failures 1 or more
 * @param random a number in [0, 1)
 */
export function backoffDelay(failures: number, random: number, settings = defaultBackoff): number {
  const delay = Math.min(settings.baseMs * settings.factor ** (failures - 1), settings.maxMs);
  return delay * (1 + settings.jitter * (2 * random - 1));
}

/** The backoff of one endpoint, by the clock. */
export class Backoff {
  readonly #onOver: () => void;
  #failures = 0;
  /** In milliseconds of `performance.now()`. */
  #until = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param onOver told when a backoff has run its time; it doesn't keep a process alive */
  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  get active(): boolean {
    return performance.now() < this.#until;
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** An attempt failed. One made before its time, for a call with nowhere else to go, doesn't make the backoff longer. */
  fail(): void {
    if (this.active) return;
    const delay = backoffDelay(++this.#failures, Math.random());
    this.#until = performance.now() + delay;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#until = 0; // a timer may be early by the clock above
      this.#onOver();
    }, delay);
    this.#timer.unref();
  }

  /** An attempt succeeded, or there will be no more. */
  reset(): void {
    this.#failures = 0;
    this.#until = 0;
    clearTimeout(this.#timer);
  }
}
