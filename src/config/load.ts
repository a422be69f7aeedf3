/** Reads a configuration file, and the files that it names, and reports all that is wrong with them at once. */
import { dirname, resolve } from "node:path";
import type { JSONWebKeySet } from "jose";
import type { Routes } from "../local/routes.ts";
import type { Schema } from "../schema/schema.ts";
import { adminProblems, readAdminToken } from "./admin.ts";
import type { KeySets } from "./admission.ts";
import { crossProblems, warningsOf } from "./check.ts";
import { shapeProblems } from "./check-fan-out.ts";
import { type IncludedRoute, type Includes, readIncludes } from "./include.ts";
import { importModule } from "./load-module.ts";
import { readEndpointFiles, readImages, readKeySets } from "./load-named.ts";
import { readPems } from "./load-pem.ts";
import { type Parts, partsOf } from "./parts.ts";
import { byPlace, ConfigError, formatProblems } from "./problem.ts";
import { asText, fromDisk, type ReadFile, whyUnread } from "./read-file.ts";
import type { RouteConfig } from "./route-schema.ts";
import { type Config, config } from "./schema.ts";
import { parseSource } from "./source.ts";
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
  /** The key sets, by their paths in the same way. */
  readonly keySets: KeySets;
  /** Where the file is, as an absolute path. */
  readonly folder: string;
  /** Registers the services of the module; undefined where there is none. */
  readonly routes: Routes | undefined;
  /** What the file of `admin.token_file` holds. */
  readonly adminToken: string | undefined;
  /** The file as it was written: plain data. */
  readonly given: unknown;
  /** What is no fault, but hardly meant; "" where there is nothing. Ready to print. */
  readonly warnings: string;
}

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
    ...readPems(source, readBeside, pem),
    ...readImages(source, readBeside, schemas),
    ...readKeySets(source, readBeside, keySets),
    ...readEndpointFiles(source, parts.upstreams, dirname(file)),
  ];
  const includes = readIncludes(source, readBeside);
  problems.push(...includes.problems);
  const schemaOf = schemasByUpstream(parts, schemas);
  const routes = [...parts.routes, ...routesOf(includes).map((value) => ({ path: ["include"], value }))];
  problems.push(...routes.flatMap((part) => shapeProblems(source, part, schemaOf)));
  const admin = readAdminToken(source, readBeside);
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

function readConfig(file: string, read: ReadFile): string {
  try {
    return asText(read(file));
  } catch (error) {
    throw new ConfigError([{ file, line: 1, column: 1, length: 1, message: whyUnread(error) }]);
  }
}
