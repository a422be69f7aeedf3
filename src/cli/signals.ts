/** SIGTERM and SIGINT: the first asks to end in order, the second to end at once. */
import process from "node:process";

/**
 * Ctrl-C reaches every process of a terminal, and npm passes its own on as well: two signals for one key. Within this
 * many milliseconds they count as one.
 */
const sameMs = 100;

/** Each resolves with the signal's name. */
export interface StopSignals {
  readonly first: Promise<string>;
  readonly second: Promise<string>;
  /** Asks to end in order, as the first signal does. @param by in the place of the signal's name */
  ask(by: string): void;
}

/** From now on signals don't end the process. To be called before anyone can know that it runs. */
export function stopSignals(): StopSignals {
  let onFirst: (signal: string) => void;
  let onSecond: (signal: string) => void;
  const first = new Promise<string>((resolve) => {
    onFirst = resolve;
  });
  const second = new Promise<string>((resolve) => {
    onSecond = resolve;
  });
  let firstAt: number | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstAt === undefined) {
        firstAt = now;
        onFirst(signal);
      } else if (now - firstAt > sameMs) onSecond(signal);
    });
  }
  const ask = (by: string) => {
    if (firstAt !== undefined) return;
    firstAt = performance.now();
    onFirst(by);
  };
  return { first, second, ask };
}
