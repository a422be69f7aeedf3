/** SIGTERM and SIGINT: the first asks to end in order, the second to end at once. */
import process from "node:process";

/**
 * Ctrl-C reaches every process of a terminal, and npm passes its own on as well: two signals for one key. Within this
 * many milliseconds they count as one.
 */
const sameMs = 100;

export interface StopRequests {
  onFirst(signal: string): void;
  onSecond(signal: string): void;
}

export function onStopSignals(requests: StopRequests): void {
  let firstAt: number | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstAt === undefined) {
        firstAt = now;
        requests.onFirst(signal);
      } else if (now - firstAt > sameMs) requests.onSecond(signal);
    });
  }
}
