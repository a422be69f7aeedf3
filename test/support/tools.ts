/** Programs of others that outer suites need: where they are looked for, and what is said when one is absent. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { root } from "./runtimes.ts";

/** PATH, then where `go install` puts programs, then the place for those that test/go builds. */
const folders = [
  ...(process.env.PATH ?? "").split(delimiter),
  join(process.env.GOPATH ?? join(homedir(), "go"), "bin"),
  join(root, "test/.cache/bin"),
];

/** The path of a program, or undefined. */
export function findTool(name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** A Python that has these modules: PYTHON, else one in test/.cache/venv, else one on PATH. */
export function findPython(...modules: string[]): string | undefined {
  const candidates = [process.env.PYTHON, join(root, "test/.cache/venv/bin/python3"), findTool("python3")].filter(
    (path) => path !== undefined,
  );
  const script = modules.map((name) => `import ${name}`).join("\n");
  return candidates.find((path) => spawnSync(path, ["-c", script]).status === 0);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
