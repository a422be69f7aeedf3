/** Reads a configuration file, and the PEM files that it names, and reports all that is wrong with them at once. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { crossProblems, isMap, type Part, partsOf, rawParts, warningsOf } from "./check.ts";
import { byPlace, ConfigError, formatProblems, type Problem } from "./problem.ts";
import { type Config, config } from "./schema.ts";
import { type Path, parseSource, type Source } from "./source.ts";
import { schemaProblems } from "./validate.ts";

/** A file that can be used. */
export interface Loaded {
  readonly config: Config;
  /** Texts of the PEM files, by their paths as they stand in the file. */
  readonly pem: ReadonlyMap<string, string>;
  /** What is no fault, but hardly meant; "" where there is nothing. Ready to print. */
  readonly warnings: string;
}

/** How a file gets read; a test has its files in memory. Throws what `readFileSync` throws. */
export type ReadText = (path: string) => string;

const readText: ReadText = (path) => readFileSync(path, "utf8");

/**
 * Loads a configuration.
 *
 * @param file path as the user gave it: reports name it so; paths in the file are relative to its folder
 * @throws ConfigError with every problem, if the file can't be read or anything in it is wrong
 */
export function loadConfig(file: string, read: ReadText = readText): Loaded {
  const source = parseSource(file, readConfig(file, read));
  if (source.problems.length > 0) throw new ConfigError([...source.problems].sort(byPlace), source.text);
  if (source.value === null) throw new ConfigError([source.problem([], "the file is empty")], source.text);
  const parts = partsOf(source);
  const pem = new Map<string, string>();
  const problems = [
    ...schemaProblems(source),
    ...crossProblems(source, parts),
    ...readPems(source, (path) => {
      const text = read(resolve(dirname(file), path));
      pem.set(path, text);
      return text;
    }),
  ];
  if (problems.length > 0) throw new ConfigError(problems.sort(byPlace), source.text);
  const warnings = warningsOf(source, parts).sort(byPlace);
  return { config: config.parse(source.value), pem, warnings: formatProblems(warnings, source.text) };
}

function readConfig(file: string, read: ReadText): string {
  try {
    return read(file);
  } catch (error) {
    throw new ConfigError([{ file, line: 1, column: 1, length: 1, message: whyUnread(error) }]);
  }
}

function whyUnread(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "may not be read";
  if (code === "EISDIR") return "a folder, not a file";
  return `can't be read (${String(code)})`;
}

/** Reads every PEM file and looks whether it holds what it should: a bad one is found here and not at the first call. */
function readPems(source: Source, read: ReadText): Problem[] {
  const parts = [...rawParts(source, "listeners"), ...rawParts(source, "upstreams")];
  return parts.flatMap(({ path, value }) => {
    const tls = isMap(value) && isMap(value.tls) ? value.tls : {};
    return tlsProblems(source, { path: [...path, "tls"], value: tls }, read);
  });
}

function tlsProblems(source: Source, { path, value }: Part<Record<string, unknown>>, read: ReadText): Problem[] {
  const problems: Problem[] = [];
  const parse = <T>(key: string, what: string, parsePem: (text: string) => T): T | undefined => {
    const file = value[key];
    if (typeof file !== "string" || file === "") return undefined;
    const at: Path = [...path, key];
    let text: string;
    try {
      text = read(file);
    } catch (error) {
      problems.push(source.problem(at, `${whyUnread(error)}: ${file}`));
      return undefined;
    }
    try {
      return parsePem(text);
    } catch {
      problems.push(source.problem(at, `no ${what} in PEM form in ${file}`));
      return undefined;
    }
  };
  const certificate = (text: string) => new X509Certificate(text);
  const cert = parse("cert", "certificate", certificate);
  const key = parse("key", "private key", (text) => createPrivateKey(text));
  parse("ca", "certificate", certificate);
  parse("client_ca", "certificate", certificate);
  if (cert !== undefined && key !== undefined && !cert.checkPrivateKey(key)) {
    problems.push(source.problem([...path, "key"], `${value.key} is not the key of ${value.cert}`));
  }
  return problems;
}
