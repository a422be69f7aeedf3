/** The other files that a configuration names: schemas, keys of issuers, endpoints. Read, and looked at. */
import { resolve } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { schemaOfImage } from "../schema/image.ts";
import type { Schema } from "../schema/schema.ts";
import { parseEndpoints } from "./endpoint-file.ts";
import { isMap, type Part, rawParts } from "./parts.ts";
import { ConfigError, type Problem } from "./problem.ts";
import { asText, fromDisk, type ReadFile, whyUnread } from "./read-file.ts";
import type { Path, Source } from "./source.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

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

/** Reads every image, once each. */
export function readImages(source: Source, read: ReadFile, schemas: Map<string, Schema>): Problem[] {
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
export function readKeySets(source: Source, read: ReadFile, keySets: Map<string, JSONWebKeySet>): Problem[] {
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
export function readEndpointFiles(
  source: Source,
  upstreams: readonly Part<UpstreamConfig>[],
  folder: string,
): Problem[] {
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
