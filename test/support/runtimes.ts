/** The runtimes the command is tested on, and how each one starts it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export type RuntimeName = "node" | "bun" | "deno";
export const runtimeNames: readonly RuntimeName[] = ["node", "bun", "deno"];

/** The repository's root. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where the command lies that is tested: here, or in a copy that has been broken on purpose (`test/mutations`). */
const commandRoot = process.env.MANIFOLD_COPY ?? root;

/** Where a runtime's own program may be, the npm packages' first: their wrappers pass no signals on. */
const programs: Record<Exclude<RuntimeName, "node">, string[]> = {
  bun: ["node_modules/bun/bin/bun.exe", "node_modules/.bin/bun"],
  deno: ["node_modules/deno/deno", "node_modules/.bin/deno"],
};

/** The command line that runs `manifold` on a runtime, or the reason why it can't. */
export function commandOn(runtime: RuntimeName): { argv: string[] } | { absent: string } {
  if (runtime === "node") {
    const built = existsSync(`${commandRoot}dist/cli/main.js`);
    return built ? { argv: [process.execPath, `${commandRoot}bin/manifold`] } : { absent: "not built: npm run build" };
  }
  const program = programs[runtime].map((path) => root + path).find(runs);
  if (program === undefined) return { absent: `no ${runtime} that runs in node_modules` };
  return { argv: [program, ...(runtime === "deno" ? ["run", "-A"] : []), `${commandRoot}src/cli/main.ts`] };
}

function runs(path: string): boolean {
  return existsSync(path) && spawnSync(path, ["--version"], { timeout: 20_000 }).status === 0;
}

/**
 * The runtimes to test: those named in MANIFOLD_RUNTIMES (comma-separated), else all. What is absent is said, and fails
 * under CI.
 */
export function runtimesUnderTest(): RuntimeName[] {
  const wanted = process.env.MANIFOLD_RUNTIMES?.split(",") ?? runtimeNames;
  return runtimeNames.filter((runtime) => {
    if (!wanted.includes(runtime)) return false;
    const command = commandOn(runtime);
    return !("absent" in command) || skipAbsent(`manifold on ${runtime}`, command.absent);
  });
}

/** Prints why something is not tested. @throws Error under CI, where nothing may be absent */
export function skipAbsent(what: string, reason: string): false {
  if (process.env.CI) throw new Error(`${what}: ${reason}`);
  console.warn(`skipped: ${what}: ${reason}`);
  return false;
}
