/** Waiting for a condition, where nothing tells that it has come. */

/**
 * Looks until `condition` returns, or resolves with, something true, and returns that.
 *
 * @param what what is waited for, for the error
 * @param timeoutMs default 30 s: an upper bound for a slow machine, never a time to expect
 * @throws Error that names `what` when the time is over
 */
export async function until<T>(what: string, condition: () => T, timeoutMs = 30_000): Promise<NonNullable<Awaited<T>>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== "" && value !== undefined && value !== null) return value;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(2);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
