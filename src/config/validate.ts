/** Holds a YAML file against the schema and turns what zod finds into problems with a place and a hint. */
import type { z } from "zod";
import { jsonSchema } from "./json-schema.ts";
import type { Problem } from "./problem.ts";
import { kindOf } from "./scalar.ts";
import { config } from "./schema.ts";
import type { Path, Source } from "./source.ts";
import { nearest, suggestion } from "./suggest.ts";

type Issue = z.core.$ZodIssue;

/** What every problem is told by. */
interface Context {
  readonly source: Source;
  readonly issues: readonly Issue[];
  /** The schema as plain data. */
  readonly root: JsonSchema;
}

/** Every way in which the file isn't what the schema says: the configuration's own, unless it is another kind of file. */
export function schemaProblems(source: Source, schema: z.ZodType = config): Problem[] {
  const result = schema.safeParse(source.value, { error: messageOf });
  if (result.success) return [];
  const issues = result.error.issues.flatMap((issue) => innermost(issue, []));
  const context = { source, issues, root: jsonSchema(schema) };
  return issues.flatMap((issue) => problemsOf(issue, context));
}

const nounOf: Record<string, string> = {
  array: "a list",
  object: "a map",
  record: "a map",
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

/** The text of an issue, where the schema has none of its own. */
function messageOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${nounOf[issue.expected] ?? issue.expected}, got ${kindOf(issue.input)}`;
    case "invalid_value":
      return typeof issue.input === "string"
        ? `unknown value "${issue.input}"`
        : `expected one of ${wordsOf(issue.values).join(", ")}, got ${kindOf(issue.input)}`;
    case "too_small":
      return issue.origin === "number" || issue.origin === "int"
        ? `must be at least ${issue.minimum}`
        : "must not be empty";
    case "too_big":
      return `must be at most ${issue.maximum}`;
    default:
      return undefined;
  }
}

/** The words that may stand there; one may be taken as a number, too. */
function wordsOf(values: readonly unknown[]): string[] {
  return [...new Set(values.map(String))];
}

/**
 * A union's issue has those of each of its branches. Where all but one branch are of another type altogether, that one
 * is what the writer meant, and its own issues say more.
 */
function innermost(issue: Issue, above: Path): Issue[] {
  const path = [...above, ...issue.path];
  if (issue.code === "invalid_union") {
    const meant = issue.errors.filter(
      (branch) => !branch.some((each) => each.code === "invalid_type" && each.path.length === 0),
    );
    if (meant.length === 1) return meant[0]!.flatMap((each) => innermost(each, path));
  }
  return [{ ...issue, path }];
}

function problemsOf(issue: Issue, { source, issues, root }: Context): Problem[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) =>
      source.problem([...issue.path, key], `unknown key "${key}"`, {
        part: "key",
        hint: keyHint(key, issue.path, root),
      }),
    );
  }
  if (!source.has(issue.path)) return isMisspelt(issue.path, issues, root) ? [] : [missing(source, issue.path)];
  if (issue.code === "invalid_key") {
    return issue.issues.map((inner) => source.problem(issue.path, inner.message, { part: "key", hint: hintOf(inner) }));
  }
  return [source.problem(issue.path, issue.message, { hint: hintOf(issue, valueAt(source.value, issue.path)) })];
}

/** A key that is right in another place near by is told where that is. */
function keyHint(key: string, path: Path, root: JsonSchema): string | undefined {
  const known = knownKeys(path, root);
  const inside = known.find((one) => knownKeys([...path, one], root).includes(key));
  if (inside !== undefined) return `it belongs in "${inside}"`;
  const above = path.slice(0, -1);
  const map = path.at(-1);
  if (typeof map === "string" && knownKeys(above, root).includes(map) && knownKeys(above, root).includes(key)) {
    return `it belongs beside "${map}"`;
  }
  return suggestion(key, known);
}

function missing(source: Source, path: Path): Problem {
  return source.problem(path.slice(0, -1), `missing key "${String(path.at(-1))}"`, { part: "key" });
}

/** A key that is missing because it is there with a slip of the pen: the unknown key's problem says it all. */
function isMisspelt(path: Path, all: readonly Issue[], root: JsonSchema): boolean {
  const [key, parent] = [String(path.at(-1)), path.slice(0, -1).join("\0")];
  return all.some(
    (issue) =>
      issue.code === "unrecognized_keys" &&
      issue.path.join("\0") === parent &&
      issue.keys.some((unknown) => nearest(unknown, knownKeys(issue.path, root)) === key),
  );
}

function hintOf(issue: Issue, value?: unknown): string | undefined {
  if (issue.code === "custom") return issue.params?.hint as string | undefined;
  if (issue.code === "invalid_value" && typeof value === "string") return suggestion(value, wordsOf(issue.values));
  return undefined;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((at, step) => (at as Record<PropertyKey, unknown>)[step], value);
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

/** The keys that the schema knows at a path: looked up in its JSON form, which is plain data. */
function knownKeys(path: Path, root: JsonSchema): string[] {
  let at: JsonSchema[] = [root];
  for (const step of path) at = at.flatMap((schema) => branches(schema)).flatMap((schema) => below(schema, step));
  return at.flatMap((schema) => branches(schema)).flatMap((schema) => Object.keys(schema.properties ?? {}));
}

function branches(schema: JsonSchema): JsonSchema[] {
  return [schema, ...(schema.anyOf ?? [])];
}

function below(schema: JsonSchema, step: PropertyKey): JsonSchema[] {
  const found =
    typeof step === "number" ? schema.items : (schema.properties?.[String(step)] ?? schema.additionalProperties);
  return typeof found === "object" && !Array.isArray(found) ? [found] : [];
}
