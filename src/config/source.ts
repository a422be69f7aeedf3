/** A YAML file as text, as a value, and as a map from each part of the value to its place in the text. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
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
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const place = (range: readonly [number, number], message: string, hint?: string): Problem => {
    const { line, col } = counter.linePos(range[0]);
    const column = Math.max(col, 1);
    const endOfLine = /\r?\n|$/.exec(text.slice(range[0]))?.index ?? 0;
    const length = Math.max(1, Math.min(range[1] - range[0], endOfLine));
    return { file, line: Math.max(line, 1), column, length, message, ...(hint === undefined ? {} : { hint }) };
  };
  const problems = [...document.errors, ...document.warnings].map((error) => {
    if (error.code !== "DUPLICATE_KEY") return place(error.pos, lowerFirst(error.message));
    const key = /^[^:\r\n]*/.exec(text.slice(error.pos[0]))?.[0].trim() ?? "";
    return place([error.pos[0], error.pos[0] + key.length], `key ${key} is given twice`);
  });
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined)
        problems.push(place(rangeOfNode(alias), `no such anchor: &${alias.source}`));
    },
  });
  return {
    file,
    text,
    value: problems.length > 0 ? undefined : valueOf(document, (message) => problems.push(place([0, 0], message))),
    problems,
    has: (path) => find(document, path).depth === path.length,
    problem: (path, message, options = {}) => place(rangeOf(find(document, path), options.part), message, options.hint),
  };
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
function rangeOf(found: Found, part: Part = "value"): readonly [number, number] {
  const { key, value } = found;
  const isBlock = (isMap(value) || isSeq(value)) && value.flow !== true;
  const firstKey = isMap(value) ? (value.items[0]?.key as Node | undefined) : undefined;
  const node =
    key !== undefined && (part === "key" || isBlock || value === undefined) ? key : isBlock ? firstKey : value;
  return rangeOfNode(node ?? value);
}

function rangeOfNode(node: Node | undefined): readonly [number, number] {
  return node?.range == null ? [0, 0] : [node.range[0], node.range[1]];
}
