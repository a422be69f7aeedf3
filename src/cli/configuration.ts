/** Configuration: what the command line and the file it names say together, read as often as the file changes. */
import { existsSync } from "node:fs";
import type { Parts } from "../config/build.ts";
import { defaultAddress } from "../config/build.ts";
import type { Snapshot } from "../config/changes.ts";
import type { EndpointList } from "../config/check-endpoints.ts";
import { type FileContents, FileRecord } from "../config/files.ts";
import type { Listener } from "../config/listener-schema.ts";
import { loadConfig } from "../config/load.ts";
import { loadSchema } from "../config/load-named.ts";
import type { ReadFile } from "../config/read-file.ts";
import type { Config } from "../config/schema.ts";
import type { UpstreamConfig } from "../config/upstream-schema.ts";
import type { Schema } from "../schema/schema.ts";
import { type ServeCommand, UsageError } from "./args.ts";

const defaultFile = "manifold.yaml";

/** Ready to be built. */
export interface Configuration extends Parts {
  readonly digest: Snapshot["digest"];
  /** What the file of `admin.token_file` holds; undefined where there is none. */
  readonly adminToken: string | undefined;
  /** As the user wrote it: plain data. */
  readonly given: unknown;
  /** What was read for it. */
  readonly contents: FileContents;
  /** What is no fault, but hardly meant; "" where there is nothing. */
  readonly warnings: string;
}

/** Where a configuration comes from. */
export interface ConfigurationSource {
  /** Undefined where the command line says all. */
  readonly file: string | undefined;
  /**
   * @param from where contents come from. Default: the disk
   * @param record what remembers them, even if the file is a bad one
   * @throws ConfigError, UsageError
   */
  load(from?: ReadFile, record?: FileRecord): Promise<Configuration>;
}

/** @throws UsageError where there is nothing to proxy to */
export function sourceOf(command: ServeCommand): ConfigurationSource {
  const { to, config } = command;
  if (to.length > 0) return { file: undefined, load: async () => configurationOf(command) };
  const file = config ?? (existsSync(defaultFile) ? defaultFile : undefined);
  if (file === undefined) {
    const hint = `"manifold init" writes a ${defaultFile}, "manifold demo" brings servers of its own`;
    throw new UsageError(`nothing to proxy to: give --to URL or --config FILE\n  ${hint}`);
  }
  return {
    file,
    async load(from, record = new FileRecord(file, from)) {
      const loaded = await loadConfig(file, record.read);
      return {
        ...loaded,
        config: withListeners(loaded.config, command),
        digest: (path) => record.digest(path),
        contents: record.contents,
      };
    },
  };
}

/** Without a file: every call goes to one upstream. */
function configurationOf(command: ServeCommand): Configuration {
  const parts = partsOfEndpoints(command.to, command.upstream);
  return {
    ...parts,
    config: withListeners(parts.config, command),
    digest: () => undefined,
    adminToken: undefined,
    given: parts.config,
    contents: new Map(),
    warnings: "",
  };
}

/**
 * Every call goes to one upstream with these endpoints.
 *
 * @throws UsageError if the schema's file can't be used
 */
export function partsOfEndpoints(
  endpoints: readonly EndpointList[number][],
  { protocols, http, schema }: ServeCommand["upstream"],
): Parts {
  const schemas = new Map<string, Schema>();
  if (schema !== undefined && schema !== "reflection") schemas.set(schema, readSchema(schema));
  const upstream: UpstreamConfig = {
    endpoints: [...endpoints],
    ...(protocols === undefined ? {} : { protocols: [...protocols] }),
    ...(http === undefined ? {} : { http }),
    ...(schema === undefined ? {} : { schema: schema === "reflection" ? schema : { image: schema } }),
  };
  return { config: { upstreams: { default: upstream }, routes: [{ to: "default" }] }, pem: new Map(), schemas };
}

function readSchema(file: string): Schema {
  try {
    return loadSchema(file);
  } catch (error) {
    throw new UsageError(`--schema: ${(error as Error).message}`);
  }
}

/** The command line's word counts, then the file's. */
export function withListeners(config: Config, { listen, cors }: Pick<ServeCommand, "listen" | "cors">): Config {
  const inFile = config.listeners ?? [{ address: defaultAddress }];
  const listeners: Listener[] = listen.length > 0 ? listen.map((address) => ({ address })) : inFile;
  if (cors.length === 0) return { ...config, listeners };
  return { ...config, listeners: listeners.map((listener) => ({ ...listener, cors: { origins: [...cors] } })) };
}
