/** Starts the built command on a runtime, as a user would, and finds out where it listens. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSockets, type Program, residentBytes, start } from "./program.ts";
import { commandOn, type RuntimeName, root } from "./runtimes.ts";
import { until } from "./until.ts";

export interface Manifold {
  /** The first listener's port. */
  port: number;
  /** Every listener's, in the order in which they are printed. */
  ports: number[];
  pid: number;
  program: Program;
  /** Where its configuration lies, as manifold.yaml, and the files beside it. */
  folder: string;
  /** Resident bytes now, or undefined where the system doesn't tell. */
  rss(): number | undefined;
  /** Open sockets now, listeners and upstream connections included. */
  sockets(): number | undefined;
  /** Asks it to end (SIGTERM) and returns its exit code, or the signal's name if it had to be killed. */
  stop(graceMs?: number): Promise<number | string>;
}

export interface ManifoldOptions {
  runtime: RuntimeName;
  /** Upstream URLs, for `--to`. */
  to?: readonly string[];
  /** The configuration file's content in place of `to`: JSON, which is YAML. Listeners at port 0 are printed too. */
  config?: object;
  /** Files beside the configuration: name to content. */
  files?: Record<string, string | Uint8Array>;
  args?: readonly string[];
  /** Besides the test's own. */
  env?: Record<string, string>;
}

/** @throws Error with its output when it ends, or does not say where it listens within 30 s */
export async function startManifold({
  runtime,
  to,
  config,
  files,
  args = [],
  env = {},
}: ManifoldOptions): Promise<Manifold> {
  const command = commandOn(runtime);
  if ("absent" in command) throw new Error(command.absent);
  const folder = mkdtempSync(join(tmpdir(), "manifold-test-"));
  for (const [name, content] of Object.entries(files ?? {})) writeFileSync(join(folder, name), content);
  const argv = [...command.argv, "--access-log", "off", ...args];
  if (config) {
    writeFileSync(join(folder, "manifold.yaml"), JSON.stringify(config, undefined, 2));
    argv.push("--config", join(folder, "manifold.yaml"));
  } else argv.push("--listen", "127.0.0.1:0");
  for (const url of to ?? []) argv.push("--to", url);
  const program = start(argv, { cwd: root, env: { ...process.env, XDG_RUNTIME_DIR: folder, ...env } });
  const expected = (config as { listeners?: unknown[] } | undefined)?.listeners?.length ?? 1;
  const ports = () => [...program.stdout().matchAll(/https?:\/\/[^\s:]+:(\d+)/g)].map((match) => Number(match[1]));
  await until("manifold to listen", () => program.exit() !== undefined || ports().length >= expected, 30_000).catch(
    () => program.stop("SIGKILL"),
  );
  if (program.exit() !== undefined) {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`manifold on ${runtime} ended: ${program.exit()}\n${program.stdout()}${program.stderr()}`);
  }
  return {
    port: ports()[0]!,
    ports: ports().slice(0, expected),
    pid: program.pid,
    program,
    folder,
    rss: () => residentBytes(program.pid),
    sockets: () => openSockets(program.pid),
    async stop(graceMs) {
      const exit = await program.stop("SIGTERM", graceMs);
      rmSync(folder, { recursive: true, force: true });
      return exit;
    },
  };
}

/** Where its admin port is, "127.0.0.1:9901"; undefined where it has none. */
export function adminAddress({ program }: Manifold): string | undefined {
  return /admin on (\S+:\d+)/.exec(program.stdout())?.[1];
}

/** What `/metrics` says now. No socket of it is left open. */
export async function metricsOf(manifold: Manifold): Promise<string> {
  const response = await fetch(`http://${adminAddress(manifold)}/metrics`, { headers: { connection: "close" } });
  return response.text();
}

/** How often it has said something on its standard output. */
export function said({ program }: Manifold, what: string): number {
  return program.stdout().split(what).length - 1;
}
