/** Reads a configuration file, and the files that it names, and reports all that is wrong with them at once. */
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { loadRoutes } from "../local/load.ts";
import { type Routes, registerNow } from "../local/routes.ts";
import { schemaOfImage } from "../schema/image.ts";
import type { Schema } from "../schema/schema.ts";
import { adminProblems, readAdminToken } from "./admin.ts";
import type { KeySets } from "./admission.ts";
import { crossProblems, warningsOf } from "./check.ts";
import { isMap, type Part, type Parts, partsOf, rawParts } from "./parts.ts";
import { shapeProblems } from "./check-fan-out.ts";
import { parseEndpoints } from "./endpoint-file.ts";
import { type IncludedRoute, type Includes, readIncludes } from "./include.ts";
import { byPlace, ConfigError, formatProblems, type Problem } from "./problem.ts";
import { type Config, config, type RouteConfig, type UpstreamConfig } from "./schema.ts";
import { type Path, parseSource, type Source } from "./source.ts";
import { schemaProblems } from "./validate.ts";

/** A file that can be used. */
export interface Loaded {
  readonly config: Config;
  /** Texts of the PEM files, by their paths as they stand in the file. */
  readonly pem: ReadonlyMap<string, string>;
  /** What the images describe, by their paths in the same way. */
  readonly schemas: ReadonlyMap<string, Schema>;
  /** Routes of the files that it includes. */
  readonly included: readonly IncludedRoute[];
  /** Registers the services of the module; undefined where there is none. */
  /** The key sets, by their paths in the same way. */
  readonly keySets: KeySets;
  /** Where the file is, as an absolute path. */
  readonly folder: string;
  readonly routes: Routes | undefined;
  /** What the file of `admin.token_file` holds. */
  readonly adminToken: string | undefined;
  /** The file as it was written: plain data. */
  readonly given: unknown;
  /** What is no fault, but hardly meant; "" where there is nothing. Ready to print. */
  readonly warnings: string;
}

/** How a file gets read; a test has its files in memory. Throws what `readFileSync` throws. */
export type ReadFile = (path: string) => Uint8Array;

const fromDisk: ReadFile = (path) => readFileSync(path);

/**
 * Loads a configuration. A module that it names is imported, and so runs, and registers its services.
 *
 * @param file path as the user gave it: reports name it so; paths in the file are relative to its folder
 * @throws ConfigError with every problem, if the file can't be read or anything in it is wrong
 */
export async function loadConfig(file: string, read: ReadFile = fromDisk): Promise<Loaded> {
  const source = parseSource(file, readConfig(file, read));
  if (source.problems.length > 0) throw new ConfigError([...source.problems].sort(byPlace), source.text);
  if (source.value === null) throw new ConfigError([source.problem([], "the file is empty")], source.text);
  const parts = partsOf(source);
  const pem = new Map<string, string>();
  const schemas = new Map<string, Schema>();
  const keySets = new Map<string, JSONWebKeySet>();
  const readBeside: ReadFile = (path) => read(resolve(dirname(file), path));
  const problems = [
    ...schemaProblems(source),
    ...crossProblems(source, parts),
    ...adminProblems(source, parts),
    ...readPems(source, (path) => {
      const text = asText(readBeside(path));
      pem.set(path, text);
      return text;
    }),
    ...readImages(source, readBeside, schemas),
    ...readKeySets(source, readBeside, keySets),
    ...readEndpointFiles(source, parts.upstreams, dirname(file)),
  ];
  const includes = readIncludes(source, readBeside, whyUnread);
  problems.push(...includes.problems);
  const schemaOf = schemasByUpstream(parts, schemas);
  const routes = [...parts.routes, ...routesOf(includes).map((value) => ({ path: ["include"], value }))];
  problems.push(...routes.flatMap((part) => shapeProblems(source, part, schemaOf)));
  const admin = readAdminToken(source, (path) => asText(readBeside(path)), whyUnread);
  problems.push(...admin.problems);
  const module = await importModule(source, file, readBeside);
  problems.push(...module.problems);
  if (problems.length > 0) throw new ConfigError(problems.sort(byPlace), source.text);
  const warnings = formatProblems(warningsOf(source, parts, routesOf(includes)).sort(byPlace), source.text);
  return {
    config: config.parse(source.value),
    included: includes.routes,
    pem,
    schemas,
    keySets,
    folder: dirname(resolve(file)),
    routes: module.routes,
    adminToken: admin.token,
    given: source.value,
    warnings,
  };
}

function routesOf({ routes }: Includes): RouteConfig[] {
  return routes.map(({ route }) => route);
}

function schemasByUpstream({ upstreams }: Parts, schemas: ReadonlyMap<string, Schema>) {
  return (name: string): Schema | undefined => {
    const schema = upstreams.find(({ path }) => path[1] === name)?.value.schema;
    return typeof schema === "object" ? schemas.get(schema.image) : undefined;
  };
}

/**
 * Reads a schema: a Buf image or a FileDescriptorSet.
 *
 * @throws Error whose message says why it can't be used, and names the file
 */
export function loadSchema(path: string, read: ReadFile = fromDisk): Schema {
  let bytes: Uint8Array;
  try {
    bytes = read(path);
  } catch (error) {
    throw new Error(`${whyUnread(error)}: ${path}`, { cause: error });
  }
  try {
    return schemaOfImage(bytes);
  } catch (error) {
    throw new Error(`${path} can't be used: ${(error as Error).message}`, { cause: error });
  }
}

function readConfig(file: string, read: ReadFile): string {
  try {
    return asText(read(file));
  } catch (error) {
    throw new ConfigError([{ file, line: 1, column: 1, length: 1, message: whyUnread(error) }]);
  }
}

function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function whyUnread(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "may not be read";
  if (code === "EISDIR") return "a folder, not a file";
  return `can't be read (${String(code)})`;
}

/** Reads every image, once each. */
function readImages(source: Source, read: ReadFile, schemas: Map<string, Schema>): Problem[] {
  return rawParts(source, "upstreams").flatMap(({ path, value }) => {
    const image = isMap(value) && isMap(value.schema) ? value.schema.image : undefined;
    if (typeof image !== "string" || image === "" || schemas.has(image)) return [];
    try {
      schemas.set(image, loadSchema(image, read));
      return [];
    } catch (error) {
      return [source.problem([...path, "schema", "image"], (error as Error).message)];
    }
  });
}

/** Reads every file with an issuer's keys. */
function readKeySets(source: Source, read: ReadFile, keySets: Map<string, JSONWebKeySet>): Problem[] {
  return [...rawParts(source, "listeners"), ...rawParts(source, "routes")].flatMap(({ path, value }) => {
    const file = isMap(value) && isMap(value.jwt) ? value.jwt.jwks : undefined;
    if (typeof file !== "string" || file === "" || file.includes("://") || keySets.has(file)) return [];
    const at: Path = [...path, "jwt", "jwks"];
    let text: string;
    try {
      text = asText(read(file));
    } catch (error) {
      return [source.problem(at, `${whyUnread(error)}: ${file}`)];
    }
    try {
      const keys = JSON.parse(text) as JSONWebKeySet;
      createLocalJWKSet(keys);
      keySets.set(file, keys);
      return [];
    } catch {
      return [source.problem(at, `no JSON Web Key Set in ${file}`, { hint: 'it is { "keys": [...] }' })];
    }
  });
}

/**
 * Reads every file with endpoints: one that is broken from the start is found here, and not at the first call. From the disk, not
 * as a part of the configuration: a change of it is no change of that.
 */
function readEndpointFiles(source: Source, upstreams: readonly Part<UpstreamConfig>[], folder: string): Problem[] {
  return upstreams.flatMap(({ path, value }) => {
    const { endpoints } = value;
    if (Array.isArray(endpoints) || endpoints.file === undefined) return [];
    const at: Path = [...path, "endpoints", "file"];
    try {
      const rules = { secure: value.tls !== undefined, who: `upstream "${String(path.at(-1))}"` };
      parseEndpoints(endpoints.file, asText(fromDisk(resolve(folder, endpoints.file))), rules);
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) return [source.problem(at, `${whyUnread(error)}: ${endpoints.file}`)];
      const [first] = error.problems;
      return [
        source.problem(at, `${first!.file}:${first!.line}:${first!.column}: ${first!.message}`, { hint: first!.hint }),
      ];
    }
  });
}

interface ImportedModule {
  readonly routes: Routes | undefined;
  readonly problems: Problem[];
}

/** Imports the module, if one is named, and has it register its services. Its file is read first: a runtime's word for a file that isn't there is a long one. */
async function importModule(source: Source, file: string, read: ReadFile): Promise<ImportedModule> {
  const path = isMap(source.value) ? source.value.module : undefined;
  if (typeof path !== "string" || path === "") return { routes: undefined, problems: [] };
  const problem = (message: string) => ({ routes: undefined, problems: [source.problem(["module"], message)] });
  let version: string;
  try {
    version = versionOf(resolve(file, "..", path), read(path));
  } catch (error) {
    return problem(`${whyUnread(error)}: ${path}`);
  }
  let routes: Routes;
  try {
    const specifier = /^(\.{0,2}\/|file:)/.test(path) ? path : `./${path}`;
    routes = await loadRoutes(specifier, pathToFileURL(resolve(file)).href, version);
  } catch (error) {
    return problem((error as Error).message);
  }
  try {
    return { routes: registerNow(routes), problems: [] };
  } catch (error) {
    return problem(`the services of ${path} can't be registered: ${error instanceof Error ? error.message : error}`);
  }
}

/** Digests of modules as they were when first imported. */
const firstDigests = new Map<string, string>();

/** A runtime imports a module once for each URL: where it has other content now, a query makes it another. */
function versionOf(path: string, bytes: Uint8Array): string {
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const first = firstDigests.get(path) ?? digest;
  firstDigests.set(path, first);
  return digest === first ? "" : `?version=${digest}`;
}

/** Reads every PEM file and looks whether it holds what it should: a bad one is found here and not at the first call. */
function readPems(source: Source, read: (path: string) => string): Problem[] {
  const parts = [...rawParts(source, "listeners"), ...rawParts(source, "upstreams")];
  return parts.flatMap(({ path, value }) => {
    const tls = isMap(value) && isMap(value.tls) ? value.tls : {};
    return tlsProblems(source, { path: [...path, "tls"], value: tls }, read);
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
