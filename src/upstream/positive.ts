/** Positive: numbers of a user's options, each of which must be more than 0. */

/**
 * Looks at some numbers, those that aren't given left out.
 *
 * @param where they stand, such as "retry"
 * @throws TypeError naming the first that isn't more than 0, such as "retry: attempts must be more than 0, not -1"
 */
export function checkPositive(where: string, numbers: Readonly<Record<string, number | undefined>>): void {
  for (const [key, value] of Object.entries(numbers)) {
    if (value !== undefined && !(value > 0)) throw new TypeError(`${where}: ${key} must be more than 0, not ${value}`);
  }
}
