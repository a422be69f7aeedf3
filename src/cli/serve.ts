/** `manifold serve`: listens until a signal comes. */
import { existsSync } from "node:fs";
import process from "node:process";
import { build, defaultAddress, type Parts } from "../config/build.ts";
import type { EndpointList } from "../config/check-endpoints.ts";
import { loadConfig, loadSchema } from "../config/load.ts";
import type { Config, Listener, UpstreamConfig } from "../config/schema.ts";
import type { ServeHttp } from "../plain-http.ts";
import type { Schema } from "../schema/schema.ts";
import { type Server, serve } from "../serve/serve.ts";
import { type ServeCommand, UsageError } from "./args.ts";
import { createOutput, type Output } from "./output.ts";
import { type StopSignals, stopSignals } from "./signals.ts";

const defaultFile = "manifold.yaml";

/**
 * Runs the proxy as a file or the command line says, until it is stopped.
 *
 * @returns the exit code
 * @throws ConfigError, UsageError, or what `serve()` throws where an address can't be listened on
 */
export async function runServe(command: ServeCommand): Promise<number> {
  const parts = await partsOf(command);
  const output = outputOf(command, parts.config);
  const stop = stopSignals();
  const running = await start({ ...parts, config: withListeners(parts.config, command) }, output);
  return serveUntilStopped(running, stop, output);
}

/** A file's configuration, or one made of the URLs. */
async function partsOf({ config, to, upstream }: ServeCommand): Promise<Parts> {
  if (to.length > 0) return partsOfEndpoints(to, upstream);
  const file = config ?? (existsSync(defaultFile) ? defaultFile : undefined);
  if (file === undefined) {
    const hint = `"manifold init" writes a ${defaultFile}, "manifold demo" brings servers of its own`;
    throw new UsageError(`nothing to proxy to: give --to URL or --config FILE\n  ${hint}`);
  }
  const loaded = await loadConfig(file);
  if (loaded.warnings !== "") process.stderr.write(`${loaded.warnings}\n\n`);
  return loaded;
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

/** The command line's word counts, then the file's. */
export function outputOf(command: ServeCommand, config: Parts["config"]): Output {
  return createOutput({
    accessLog: command.accessLog ?? config.access_log ?? "auto",
    level: command.logLevel ?? config.log_level ?? "info",
  });
}

export interface Running {
  readonly server: Server;
  /** Closes what the proxy has open to its upstreams. */
  close(): void;
}

/** Listens, and says where. */
export async function start(parts: Parts, output: Output, serveHttp?: ServeHttp): Promise<Running> {
  const { log, accessLog, announce } = output;
  const built = build(parts, {
    log,
    ...(accessLog === undefined ? {} : { onCall: accessLog }),
    ...(serveHttp === undefined ? {} : { serveHttp }),
  });
  const server = await serve(built.proxy, { listen: built.listen, drainTimeoutMs: built.drainTimeoutMs, log });
  for (const { address, port, secure } of server.addresses) {
    const host = address.includes(":") ? `[${address}]` : address;
    const url = `${secure ? "https" : "http"}://${host}:${port}`;
    announce(`listening on ${url}`, { address, port, secure });
  }
  return { server, close: () => built.close() };
}

/**
 * Waits for a signal, then for open calls.
 *
 * @returns the exit code: 0 where calls had their time to finish, 1 where a second signal cut them short
 */
export async function serveUntilStopped(
  { server, close }: Running,
  stop: StopSignals,
  output: Output,
): Promise<number> {
  const signal = await stop.first;
  output.announce(`${signal}: finishing open calls; once more ends at once`, { signal });
  const cut = stop.second.then((again) => {
    output.announce(`${again}: ended with calls open`, { signal: again });
    server.closeNow();
    return 1;
  });
  const code = await Promise.race([server.close().then(() => 0), cut]);
  close();
  await output.flush();
  return code;
}
