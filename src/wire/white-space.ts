/** Optional white space around parts of a header's value (RFC 9110 section 5.6.3). */

/**
 * Without spaces and tabs at its ends. `String.trim` takes more: in a binary string 0xA0 is a byte of the text, as the second of the two
 * that are "à" in UTF-8. Not a pattern: those look back again and again.
 */
export function trimSpace(text: string): string {
  let from = 0;
  let upTo = text.length;
  while (from < upTo && isSpace(text.charCodeAt(from))) from++;
  while (upTo > from && isSpace(text.charCodeAt(upTo - 1))) upTo--;
  return from === 0 && upTo === text.length ? text : text.slice(from, upTo);
}

function isSpace(char: number): boolean {
  return char === 0x20 || char === 0x09;
}
