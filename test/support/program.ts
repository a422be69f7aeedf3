/** Programs that tests start: their output, their end, and what they use of the machine. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { until } from "./until.ts";

export interface Program {
  process: ChildProcess;
  pid: number;
  stdout(): string;
  stderr(): string;
  /** Undefined while it runs; a signal's name where one ended it. */
  exit(): number | string | undefined;
  /** Sends the signal (default SIGTERM), then SIGKILL after `graceMs` (default 10 s); returns how it ended. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number | string>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program whose output is kept. */
export function start(argv: readonly string[], options: SpawnOptions = {}): Program {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  running.add(child);
  let exit: number | string | undefined;
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.on("data", (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  }
  child.on("error", (error) => {
    exit ??= error.message;
    running.delete(child);
  });
  // "close" and not "exit": by then all output has been read
  child.on("close", (code, signal) => {
    exit ??= code ?? signal ?? "unknown";
    running.delete(child);
  });
  const program: Program = {
    process: child,
    pid: child.pid ?? -1,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exit: () => exit,
    async stop(signal = "SIGTERM", graceMs = 10_000) {
      child.kill(signal);
      await until(`${file} to end`, () => exit !== undefined, graceMs).catch(() => child.kill("SIGKILL"));
      await until(`${file} to be killed`, () => exit !== undefined);
      return exit ?? "unknown";
    },
  };
  return program;
}

/** Runs a program to its end. */
export async function run(argv: readonly string[], options: SpawnOptions & { timeoutMs?: number } = {}) {
  const { timeoutMs = 60_000, ...rest } = options;
  const program = start(argv, rest);
  await until(`${argv[0]} to end`, () => program.exit() !== undefined, timeoutMs).catch(async (error) => {
    await program.stop("SIGKILL");
    throw new Error(`${error.message}\n${program.stdout()}${program.stderr()}`);
  });
  return { exit: program.exit(), stdout: program.stdout(), stderr: program.stderr() };
}

/** Resident bytes of a process. Linux only, as those below; undefined elsewhere. */
export function residentBytes(pid: number): number | undefined {
  return statusBytes(pid, "VmRSS");
}

function statusBytes(pid: number, field: "VmRSS" | "VmHWM"): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

/** The same of a process and all that it has started. */
export function residentBytesOfTree(pid: number): number | undefined {
  const own = residentBytes(pid);
  return own === undefined
    ? undefined
    : childrenOf(pid).reduce((sum, child) => sum + (residentBytesOfTree(child) ?? 0), own);
}

function childrenOf(pid: number): number[] {
  try {
    const tasks = `/proc/${pid}/task`;
    const lists = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/children`, "utf8"));
    return lists.flatMap((list) =>
      list
        .split(" ")
        .filter((word) => word !== "")
        .map(Number),
    );
  } catch {
    return [];
  }
}

/** The most resident bytes since `forgetPeak`, or in the life of a process. */
export function peakBytes(pid: number): number | undefined {
  return statusBytes(pid, "VmHWM");
}

/** The peak begins anew at what is resident now. */
export function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // not Linux, or not allowed: the peak is that of its life
  }
}

/** Sockets a process holds open. */
export function openSockets(pid: number): number | undefined {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).filter((name) => linkOf(`${folder}/${name}`).startsWith("socket:")).length;
  } catch {
    return undefined;
  }
}

/** User and system time of a process in milliseconds, to 10 ms. */
export function cpuMs(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return undefined;
  }
}

/** A descriptor may be closed between the listing and the look. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
