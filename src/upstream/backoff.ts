/** Backoff: how long an endpoint is left alone after failed attempts to connect. Pure: the clock is the caller's. */

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
