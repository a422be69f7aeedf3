/** `manifold serve`: listens until a signal comes. */
import cluster from "node:cluster";
import { availableParallelism } from "node:os";
import process from "node:process";
import { Admin } from "./admin.ts";
import type { ServeCommand } from "./args.ts";
import type { Carrier } from "./carrier.ts";
import { type Configuration, sourceOf } from "./configuration.ts";
import { announceAddresses, type Output } from "./output.ts";
import { Reloader, type ReloaderOptions } from "./reloader.ts";
import { type StopSignals, stopSignals } from "./signals.ts";
import { outputOf, start } from "./start.ts";
import { watchFiles } from "./watch.ts";

/**
 * Runs the proxy as a file or the command line says, until it is stopped.
 *
 * @returns the exit code
 * @throws ConfigError, UsageError, or what `serve()` throws where an address can't be listened on
 */
export async function runServe(command: ServeCommand): Promise<number> {
  if (cluster.isWorker) return (await import("./workers/worker.ts")).runWorker(command);
  const source = sourceOf(command);
  const current = await source.load();
  if (current.warnings !== "") process.stderr.write(`${current.warnings}\n\n`);
  const count = workerCount(command.workers ?? current.config.workers);
  const output = outputOf(command, current.config, { shared: count !== undefined });
  const stop = stopSignals();
  const carrier = count === undefined ? await start(current, output) : await startWorkers(count, current, output);
  const run: Run = { source, current, carrier, output, stop };
  const reloader = await keepUpToDate(run, command.watch);
  announceAddresses(carrier.addresses, output);
  const code = await serveUntilStopped(carrier, stop, output);
  reloader.end();
  return code;
}

/** Undefined where this process is to do it all itself. */
function workerCount(given: number | "auto" | undefined): number | undefined {
  return given === "auto" ? availableParallelism() : given;
}

async function startWorkers(count: number, configuration: Configuration, { log }: Output): Promise<Carrier> {
  return (await import("./workers/supervisor.ts")).carryInWorkers({ count, configuration, log });
}

interface Run extends Omit<ReloaderOptions, "onFiles" | "admin"> {
  readonly stop: StopSignals;
}

/** Opens the admin port, and reloads when it asks, at SIGHUP, and when a file that was read changes. */
async function keepUpToDate(run: Run, watching: boolean): Promise<{ end(): void }> {
  const { source, current, carrier, output, stop } = run;
  const watch = watching ? watchFiles(() => reloader.reload("file")) : undefined;
  const onFiles = async (paths: Iterable<string>) => watch?.files(paths);
  const admin = new Admin({ source, carrier, output, stop, reloader: () => reloader });
  const reloader = new Reloader({ source, current, carrier, output, onFiles, admin });
  await onFiles(current.contents.keys());
  try {
    (await admin.prepare(current)).apply();
  } catch (error) {
    carrier.closeNow();
    throw error;
  }
  if (source.file !== undefined) process.on("SIGHUP", () => void reloader.reload("SIGHUP"));
  if (carrier.restart !== undefined) process.on("SIGUSR2", () => void restart(carrier.restart!, output));
  void stop.first.then(() => {
    watch?.stop();
    reloader.stop();
  });
  return { end: () => admin.close() };
}

async function restart(replace: () => Promise<void>, { announce, log }: Output): Promise<void> {
  announce("SIGUSR2: replacing workers", { signal: "SIGUSR2" });
  try {
    await replace();
    announce("workers replaced");
  } catch (error) {
    log.error({ error: (error as Error).message }, "workers not replaced");
  }
}

/**
 * Waits for a signal, then for open calls.
 *
 * @returns the exit code: 0 where calls had their time to finish, 1 where a second signal cut them short
 */
export async function serveUntilStopped(carrier: Carrier, stop: StopSignals, output: Output): Promise<number> {
  const signal = await stop.first;
  output.announce(`${signal}: finishing open calls; once more ends at once`, { signal });
  const cut = stop.second.then((again) => {
    output.announce(`${again}: ended with calls open`, { signal: again });
    carrier.closeNow();
    return 1;
  });
  const code = await Promise.race([carrier.close().then(() => 0), cut]);
  await output.flush();
  return code;
}
