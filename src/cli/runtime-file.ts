/** Runtime file: how `manifold reload` on the same machine finds the process of a configuration, and its token. */
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";

export interface RuntimeInfo {
  readonly pid: number;
  /** Of the admin port. */
  readonly address: string;
  readonly port: number;
  readonly token: string;
}

/** Says how the process of a configuration can be reached: to its own user alone. Throws the system's error. */
export function writeRuntimeFile(config: string, info: RuntimeInfo): void {
  const file = pathOf(config);
  rmSync(file, { force: true }); // its rights are those of a new file
  writeFileSync(file, `${JSON.stringify(info)}\n`, { mode: 0o600, flag: "wx" });
}

/** Undefined where no process with an admin port has said so. Throws the system's error, or Error for a folder of somebody else's. */
export function readRuntimeFile(config: string): RuntimeInfo | undefined {
  try {
    return JSON.parse(readFileSync(pathOf(config), "utf8")) as RuntimeInfo;
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Takes back what this process has said; another of the same configuration may have said it since. */
export function removeRuntimeFile(config: string): void {
  try {
    if (readRuntimeFile(config)?.pid === process.pid) rmSync(pathOf(config), { force: true });
  } catch {
    // it is of no use any more in any case
  }
}

function pathOf(config: string): string {
  const digest = createHash("sha256").update(resolve(config)).digest("hex").slice(0, 16);
  return join(folder(), `${digest}.json`);
}

/** XDG_RUNTIME_DIR is its user's alone; in a folder for all it has to be made sure. */
function folder(): string {
  const { XDG_RUNTIME_DIR: given } = process.env;
  const uid = process.getuid?.();
  const path = given ? join(given, "manifold") : join(tmpdir(), `manifold-${uid ?? "user"}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (!found.isDirectory() || (uid !== undefined && found.uid !== uid))
    throw new Error(`${path} isn't a folder of ours`);
  if (uid !== undefined && (found.mode & 0o077) !== 0) chmodSync(path, 0o700);
  return path;
}
