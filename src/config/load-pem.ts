/** The certificates and keys that a configuration names: read, and looked at. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isMap, type Part, rawParts } from "./parts.ts";
import type { Problem } from "./problem.ts";
import { asText, type ReadFile, whyUnread } from "./read-file.ts";
import type { Path, Source } from "./source.ts";

/** Reads every PEM file and looks whether it holds what it should: a bad one is found here and not at the first call. */
export function readPems(source: Source, read: ReadFile, pem: Map<string, string>): Problem[] {
  const parts = [...rawParts(source, "listeners"), ...rawParts(source, "upstreams")];
  const readText = (path: string): string => {
    const text = asText(read(path));
    pem.set(path, text);
    return text;
  };
  return parts.flatMap(({ path, value }) => {
    const tls = isMap(value) && isMap(value.tls) ? value.tls : {};
    return tlsProblems(source, { path: [...path, "tls"], value: tls }, readText);
  });
}

function tlsProblems(
  source: Source,
  { path, value }: Part<Record<string, unknown>>,
  read: (path: string) => string,
): Problem[] {
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
