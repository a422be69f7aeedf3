/** Printable: text that came from outside made safe to show in a terminal and in a log. */

/**
 * What a terminal or a viewer would act upon instead of showing it: controls of ASCII and of Latin-1 (0x9b starts an escape
 * sequence), line separators, marks that turn the direction of text or are invisible, lone surrogates.
 */
const unsafe =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
  /[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Surrogate}/gu;

/** Writes each unsafe character as `\xNN` or `\uNNNN`; all others pass. No line can be forged, no escape sequence sent. */
export function printable(text: string): string {
  return text.replace(unsafe, escaped);
}

/** The same within JSON, whose own escapes leave 0x7f and above alone. What is read back is the text as it was. */
export function printableJson(json: string): string {
  return json.replace(unsafe, (character) => `\\u${hex(character, 4)}`);
}

function escaped(character: string): string {
  return character.charCodeAt(0) <= 0xff ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`;
}

function hex(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, "0");
}
