/** Characters: which bytes may stand where in a request, as tables (RFC 9110 section 5.6, RFC 3986). */

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const HTAB = 0x09;
export const COLON = 0x3a;
export const PERCENT = 0x25;

/** RFC 9110 section 5.6.2: names of methods and fields. */
export const isToken = tableOf("!#$%&'*+-.^_`|~", ["0", "9"], ["A", "Z"], ["a", "z"]);

/** Section 5.5: what a field's value is made of. No control character but the tab. */
export const isFieldContent = tableOf("\t", [" ", "~"], ["\x80", "\xff"]);

/**
 * RFC 3986 section 3: path and query, and what browsers send in them as it is though it should be escaped. Not "#", which no
 * request-target has, nor a backslash, which some read as a slash.
 */
export const isTarget = tableOf("-._~!$&'()*+,;=:@/?%|^`{}[]", ["0", "9"], ["A", "Z"], ["a", "z"]);

export const isHexDigit = tableOf("", ["0", "9"], ["A", "F"], ["a", "f"]);

function tableOf(single: string, ...ranges: readonly (readonly [from: string, to: string])[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of single) table[character.charCodeAt(0)] = 1;
  for (const [from, to] of ranges) table.fill(1, from.charCodeAt(0), to.charCodeAt(0) + 1);
  return table;
}

/** The value of a byte that is a hexadecimal digit. */
export function hexValue(digit: number): number {
  return digit <= 0x39 ? digit - 0x30 : (digit | 0x20) - 0x57;
}

/** Where the run of bytes that are in the table, from `start` on, ends: at `stop` if all are. */
export function stopOf(table: Uint8Array, bytes: Uint8Array, start: number, stop: number): number {
  let at = start;
  while (at < stop && table[bytes[at]!] === 1) at++;
  return at;
}
