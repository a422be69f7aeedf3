/** A YAML file as text, as a value, and as a map from each part of the value to its place in the text. */
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, parseDocument, visit } from "yaml";
import { tooDeep } from "./nesting.ts";
import type { Problem } from "./problem.ts";

/** Keys and indexes from the top of the file. */
export type Path = readonly PropertyKey[];

/** Where a problem points: at a value, or at the key of a map that holds it. */
export type Part = "key" | "value";

export interface Source {
  readonly file: string;
  readonly text: string;
  /** Plain objects, lists and scalars; undefined where the text is no YAML. */
  readonly value: unknown;
  /** Faults of the YAML itself. */
  readonly problems: readonly Problem[];
  has(path: Path): boolean;
  /** A problem of what stands at a path; where nothing does, of the innermost thing around it. */
  problem(path: Path, message: string, options?: { readonly part?: Part; readonly hint?: string | undefined }): Problem;
}

/** Reads YAML 1.2 (so `off` is a word and not `false`). Doesn't throw. */
export function parseSource(file: string, text: string): Source {
  const deep = tooDeep(text);
  const document = parseDocument(deep === undefined ? text : "", { prettyErrors: false });
  const starts = lineStarts(text);
  const place = (range: Range, message: string, hint?: string): Problem => {
    return { file, ...spotOf(text, starts, range), message, ...(hint === undefined ? {} : { hint }) };
  };
  const problems =
    deep === undefined
      ? yamlProblems(document, text, place)
      : [place([deep, deep + 1], "too many lists and maps within each other")];
  return {
    file,
    text,
    value: problems.length > 0 ? undefined : valueOf(document, (message) => problems.push(place([0, 0], message))),
    problems,
    has: (path) => find(document, path).depth === path.length,
    problem: (path, message, options = {}) => place(rangeOf(find(document, path), options.part), message, options.hint),
  };
}

type Place = (range: Range, message: string) => Problem;

/** After the first place where the structure breaks, what the parser says is guesswork, so that is the last one told. */
function yamlProblems(document: Document, text: string, place: Place): Problem[] {
  const problems: Problem[] = [];
  for (const error of [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])) {
    if (error.code !== "DUPLICATE_KEY") {
      problems.push(place(error.pos, lowerFirst(error.message)));
      return problems;
    }
    const key = /^[^:\r\n]*/.exec(text.slice(error.pos[0]))?.[0].trim() ?? "";
    problems.push(place([error.pos[0], error.pos[0] + key.length], `key ${key} is given twice`));
  }
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return;
      problems.push(place(rangeOfNode(alias), `no such anchor: &${alias.source}`));
    },
    Pair(_, { key }) {
      const node = isAlias(key) ? key.resolve(document) : key;
      if (isMap(node) || isSeq(node)) {
        problems.push(
          place(rangeOfNode(key as Node), `expected a word as a key, got a ${isMap(node) ? "map" : "list"}`),
        );
      }
    },
  });
  return problems;
}

/** Offsets in the text: of the first character, and of the one behind the last. */
type Range = readonly [start: number, end: number];

/** Offsets of all lines' first characters. Not by yaml's LineCounter, which misses lines of broken files. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

/** A range as line, column and length; only what is on its first line. */
function spotOf(
  text: string,
  starts: readonly number[],
  [start, end]: Range,
): Pick<Problem, "line" | "column" | "length"> {
  let [line, above] = [0, starts.length];
  while (above - line > 1) {
    const middle = (line + above) >>> 1;
    if (starts[middle]! <= start) line = middle;
    else above = middle;
  }
  const lineEnd = above < starts.length ? starts[above]! - 1 : text.length;
  const restOfLine = (text[lineEnd - 1] === "\r" && lineEnd < text.length ? lineEnd - 1 : lineEnd) - start;
  return { line: line + 1, column: start - starts[line]! + 1, length: Math.max(1, Math.min(end - start, restOfLine)) };
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Expanding aliases can fail: there may be so many that they would fill the memory. */
function valueOf(document: Document, fail: (message: string) => void): unknown {
  try {
    return document.toJS();
  } catch (error) {
    fail(lowerFirst(error instanceof Error ? error.message : String(error)));
    return undefined;
  }
}

interface Found {
  readonly key: Node | undefined;
  readonly value: Node | undefined;
  /** How many parts of the path there are in the file. */
  readonly depth: number;
}

function find(document: Document, path: Path): Found {
  let found: Found = { key: undefined, value: document.contents ?? undefined, depth: 0 };
  for (const step of path) {
    const node = isAlias(found.value) ? found.value.resolve(document) : found.value;
    const depth = found.depth + 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyOf(item) === String(step));
      if (pair === undefined) return found;
      found = { key: pair.key as Node, value: (pair.value as Node | null) ?? undefined, depth };
    } else if (isSeq(node) && typeof step === "number" && node.items[step] !== undefined) {
      found = { key: undefined, value: node.items[step] as Node, depth };
    } else return found;
  }
  return found;
}

function keyOf(pair: Pair): string | undefined {
  return isScalar(pair.key) ? String(pair.key.value) : undefined;
}

/** A value that is a block of lines is long: its key says as well what is meant, or else its first key. */
function rangeOf(found: Found, part: Part = "value"): Range {
  const { key, value } = found;
  const isBlock = (isMap(value) || isSeq(value)) && value.flow !== true;
  const firstKey = isMap(value) ? (value.items[0]?.key as Node | undefined) : undefined;
  const node =
    key !== undefined && (part === "key" || isBlock || value === undefined) ? key : isBlock ? firstKey : value;
  return rangeOfNode(node ?? value);
}

function rangeOfNode(node: Node | undefined): Range {
  return node?.range == null ? [0, 0] : [node.range[0], node.range[1]];
}
