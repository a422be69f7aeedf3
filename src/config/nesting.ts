/** Nesting: how deep a YAML text goes, found out without going down: the parser that makes values of it would take all of the stack. */
import { type CST, Parser } from "yaml";

/** Lists and maps within each other, more than any file of ours has. */
const maxDepth = 50;

/** @returns where a text goes too deep, as an offset; undefined where it doesn't */
export function tooDeep(text: string): number | undefined {
  for (const document of new Parser().parse(text)) {
    const waiting: [token: CST.Token, depth: number][] = [[document, 0]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [token, depth] = next;
      if (depth > maxDepth) return token.offset;
      if (token.type === "document" && token.value !== undefined) waiting.push([token.value, depth]);
      if (!("items" in token)) continue;
      for (const { key, value } of token.items) {
        if (value != null) waiting.push([value, depth + 1]);
        if (key != null) waiting.push([key, depth + 1]);
      }
    }
  }
  return undefined;
}
