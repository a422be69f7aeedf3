/** Colour: the few escape sequences that logs use, or none of them. */

export type Paint = (text: string) => string;

export interface Colours {
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
}

/** @param on false where the output is no terminal, or NO_COLOR is set: all text passes as it is */
export function colours(on: boolean): Colours {
  const paint = (code: number): Paint => (on ? (text) => `\x1b[${code}m${text}\x1b[0m` : (text) => text);
  return { dim: paint(2), red: paint(31), green: paint(32), yellow: paint(33) };
}

/** Local time of day, "12:34:56.789". */
export function clock(time: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}
