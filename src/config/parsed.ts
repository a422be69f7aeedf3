/** Parsed: what a parser of one word of the configuration has found: its value, or what is wrong with it. */

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly message: string; readonly hint?: string };

export const right = <T>(value: T): Parsed<T> => ({ ok: true, value });
export const wrong = (message: string, hint?: string): Parsed<never> => ({
  ok: false,
  message,
  ...(hint === undefined ? {} : { hint }),
});

/** What a function refuses with a TypeError. */
export function parseBy(check: (text: string) => unknown): (text: string) => Parsed<string> {
  return (text) => {
    try {
      check(text);
      return right(text);
    } catch (error) {
      return wrong((error as Error).message);
    }
  };
}
