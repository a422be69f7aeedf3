/** Start: what a process that carries calls begins with: where its lines go, and its ports. */
import type { Parts } from "../config/build.ts";
import type { ServeHttp } from "../plain-http.ts";
import type { ServeCommand } from "./args.ts";
import { carryHere, type LocalCarrier } from "./carrier.ts";
import { createOutput, type Output, type OutputOptions } from "./output.ts";

/** The command line's word counts, then the file's. */
export function outputOf(
  command: ServeCommand,
  config: Parts["config"],
  { shared = false }: Pick<OutputOptions, "shared"> = {},
): Output {
  return createOutput({
    shared,
    accessLog: command.accessLog ?? config.access_log ?? "auto",
    level: command.logLevel ?? config.log_level ?? "info",
  });
}

/** Listens, in this process. */
export function start(parts: Parts, { log, accessLog }: Output, serveHttp?: ServeHttp): Promise<LocalCarrier> {
  return carryHere(parts, {
    log,
    ...(accessLog === undefined ? {} : { onCall: accessLog, onHttpRefusal: accessLog }),
    ...(serveHttp === undefined ? {} : { serveHttp }),
  });
}
