/** Lines: gathers the lines of many calls into one write, because a write costs more than the call it tells of. */

/** Takes whole lines, each with its "\n". */
export type WriteLine = (line: string) => void;

export interface Lines {
  readonly write: WriteLine;
  /** Writes what is held back: to be called before the process ends. */
  flush(): void;
}

/** Milliseconds a line is held back at most: short for who watches, long for a proxy that is busy. */
const delayMs = 20;

/** Characters after which they are written at once. */
const maxHeld = 64 << 10;

/** @param sink gets one or more whole lines at a time */
export function gatherLines(sink: (text: string) => void): Lines {
  let held = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const text = held;
    held = "";
    if (text !== "") sink(text);
  };
  const write = (line: string) => {
    held += line;
    if (held.length >= maxHeld) flush();
    else timer ??= setTimeout(flush, delayMs);
  };
  return { write, flush };
}
