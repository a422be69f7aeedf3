/** Child processes of the benchmark: start, wait until they listen, CPU time and memory of the whole tree, stop. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Linux reports process times in ticks of 1/100 s, whatever the kernel's own tick is. */
const tickMicros = 10_000;

/** A process that listens on a port of loopback. */
export interface Running {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Names the log file. */
  name: string;
  command: string;
  args: string[];
  port: number;
  cacheDir: string;
  env?: Record<string, string>;
}

const started = new Set<ChildProcess>();

/** Ends everything that is still running; for the exit of the benchmark. */
export function stopAll(): void {
  for (const child of started) child.kill("SIGKILL");
}

/** A TCP port that nothing listens on just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a server and waits until its port accepts connections.
 *
 * @throws Error with the end of its output, where it exits first or doesn't listen within 15 s
 */
export async function start(options: StartOptions): Promise<Running> {
  mkdirSync(join(options.cacheDir, "logs"), { recursive: true });
  const logFile = join(options.cacheDir, "logs", `${options.name}.log`);
  const log = openSync(logFile, "w");
  const child = spawn(options.command, options.args, {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...options.env },
  });
  started.add(child);
  const exited = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(`exited with ${signal ?? code}`));
    child.once("error", (error) => resolve(error.message));
  }).finally(() => started.delete(child));
  let failure: string | undefined;
  void exited.then((why) => {
    failure = why;
  });
  for (const deadline = Date.now() + 15_000; !(await accepts(options.port)); await sleep(50)) {
    if (failure === undefined && Date.now() < deadline) continue;
    child.kill("SIGKILL");
    const tail = readFileSync(logFile, "utf8").trim().split("\n").slice(-5).join("\n");
    throw new Error(`${options.name} ${failure ?? "does not listen after 15 s"}: ${tail}`);
  }
  return {
    port: options.port,
    pid: child.pid!,
    async stop() {
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), 2000);
      await exited;
      clearTimeout(killer);
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** User and system time of a process and all its descendants so far, ended children included, in microseconds. */
export function treeCpuMicros(pid: number): number {
  let ticks = 0;
  for (const id of tree(pid)) {
    // Fields after the name, which may itself have spaces: utime, stime, cutime, cstime are fields 14 to 17 (proc(5)).
    const fields = readStat(id)?.slice(11, 15) ?? [];
    for (const field of fields) ticks += Number(field);
  }
  return ticks * tickMicros;
}

/** Resident memory of a process and all its descendants, in MiB. Pages that several of them share count once each. */
export function treeRssMiB(pid: number): number {
  let kib = 0;
  for (const id of tree(pid)) {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${id}/status`) ?? "");
    kib += Number(line?.[1] ?? 0);
  }
  return kib / 1024;
}

/** A process and all its descendants, itself first. */
export function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const id = Number(name);
    if (!Number.isInteger(id)) continue;
    const parent = Number(readStat(id)?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), id]);
  }
  const ids = [root];
  for (const id of ids) ids.push(...(children.get(id) ?? []));
  return ids;
}

/** The fields of /proc/PID/stat from the third (state) on. */
function readStat(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** A file of /proc, or undefined where the process has ended meanwhile. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
