/** Instrument: counts how often each branch of a module runs, in `globalThis.fuzzHits`: what guides the fuzzer to inputs that are new. */
import type { Plugin } from "rolldown";
import { parseAst } from "rolldown/parseAst";

/** Branches that can be told apart, at most. */
export const maxBranches = 1 << 15;

/** What instrumenting finds out, for all modules of a bundle. */
export interface Instrumented {
  /** Number of the next branch. */
  branches: number;
  /** Words and numbers of the source: what inputs may have to contain. */
  readonly words: Set<string>;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

type Insertion = readonly [at: number, text: string];

/** A plugin that instruments the modules of a folder. */
export function instrument(folder: string, found: Instrumented): Plugin {
  return {
    name: "instrument",
    transform(code, id) {
      if (!id.startsWith(folder) || !id.endsWith(".ts")) return undefined;
      const insertions: Insertion[] = [];
      visit(parseAst(code, { lang: "ts" }) as unknown as Node, { code, found, insertions });
      return `const fuzzHits = globalThis.fuzzHits;\n${inserted(code, insertions)}`;
    },
  };
}

interface Context {
  readonly code: string;
  readonly found: Instrumented;
  readonly insertions: Insertion[];
}

/** Goes over a tree in the order of the source: what is inserted at one place is so in its order. */
function visit(node: Node, context: Context): void {
  note(node, context.found.words);
  for (const [key, child] of Object.entries(node)) {
    for (const [index, one] of (Array.isArray(child) ? child : [child]).entries()) {
      if (!isNode(one) || (one.type.startsWith("TS") && !/^TS(As|NonNull|Satisfies)/.test(one.type))) continue;
      const form = formOf(node, key, one);
      if (form === undefined || (form === "case" && index > 0)) visit(one, context);
      else visitBranch(one, form, context);
    }
  }
}

/** How a branch can be counted. */
type Form = "statement" | "expression" | "block" | "case";

function visitBranch(node: Node, form: Form, context: Context): void {
  const { found, insertions } = context;
  const count = `fuzzHits[${found.branches++ % maxBranches}]++`;
  if (form === "statement") insertions.push([node.start, `{${count};`]);
  else if (form === "expression") insertions.push([node.start, `(${count},`]);
  else insertions.push([form === "block" ? node.start + 1 : node.start, `${count};`]);
  visit(node, context);
  if (form === "statement") insertions.push([node.end, "}"]);
  else if (form === "expression") insertions.push([node.end, ")"]);
}

/** @returns undefined for what is no branch */
function formOf({ type }: Node, key: string, { type: childType }: Node): Form | undefined {
  const block = childType === "BlockStatement" || childType === "FunctionBody" ? "block" : undefined;
  if (key === "body") {
    if (type === "ArrowFunctionExpression") return block ?? "expression";
    if (/^(For|ForOf|ForIn|While)Statement$/.test(type)) return block ?? "statement";
    return /^(Function(Declaration|Expression)|CatchClause)$/.test(type) ? block : undefined;
  }
  if (type === "IfStatement" && key !== "test") return block ?? "statement";
  if (type === "ConditionalExpression" && key !== "test") return "expression";
  if (type === "LogicalExpression" && key === "right") return "expression";
  return type === "SwitchCase" && key === "consequent" ? "case" : undefined;
}

/** Words and numbers that stand in the source. */
function note({ type, value, key }: Node, words: Set<string>): void {
  if (type === "Property" && isNode(key) && key.type === "Identifier") words.add(String(key.name));
  if (type === "Literal" && typeof value === "string" && value.length > 0 && value.length <= 40) words.add(value);
  if (type === "Literal" && typeof value === "number" && value > 255) words.add(String(value));
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

function inserted(code: string, insertions: Insertion[]): string {
  let text = "";
  let from = 0;
  for (const [at, insertion] of insertions.toSorted(([one], [other]) => one - other)) {
    text += code.slice(from, at) + insertion;
    from = at;
  }
  return text + code.slice(from);
}
