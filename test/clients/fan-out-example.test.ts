/**
 * examples/fan-out from its protos to what its clients print, as its README has it: buf generates, nodes run, the command is in front
 * of them on every runtime, and the clients in TypeScript and in Go ask all of them. Two nodes run; the third isn't there.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Program, run, start } from "../support/program.ts";
import { commandOn, root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { until } from "../support/until.ts";

const example = "examples/fan-out";
/** Runs TypeScript as it is. Its own program, for the npm package's wrapper passes no signals on. */
const bun = ["node_modules/bun/bin/bun.exe", "node_modules/.bin/bun"].map((path) => join(root, path)).find(existsSync);
const hasBun = bun !== undefined || skipAbsent("examples/fan-out", "no bun in node_modules");
const hasGo = findTool("go") !== undefined || skipAbsent("examples/fan-out: the client in Go", "no go on PATH");

/** A copy of the example, within what a clone of the repository has beside it. */
const folder = mkdtempSync(join(tmpdir(), "manifold-fan-out-"));
const at = (path: string) => join(folder, path);
const buf = (template: string) =>
  run([join(root, "node_modules/.bin/buf"), "generate", "--template", `${example}/${template}`], {
    cwd: folder,
    timeoutMs: 300_000, // Go's plugins may have to be compiled first
  });

let nodes: Program;
let ports: number[];
beforeAll(async () => {
  for (const name of ["bin", "dist", "node_modules", "package.json"]) symlinkSync(join(root, name), at(name));
  for (const name of ["proto", example]) cpSync(join(root, name), at(name), { recursive: true });
  cpSync(join(root, "buf.yaml"), at("buf.yaml"));
  for (const gen of ["gen", "go/gen"]) rmSync(at(`${example}/${gen}`), { recursive: true, force: true });
  ports = await freePorts(3);
  const config = readFileSync(at(`${example}/manifold.yaml`), "utf8");
  writeFileSync(
    at(`${example}/manifold.yaml`),
    config.replace(/127\.0\.0\.1:5005([123])/g, (_, which) => `127.0.0.1:${ports[which - 1]}`),
  );
});
afterAll(async () => {
  await nodes?.stop("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

describe.skipIf(!hasBun)("examples/fan-out", () => {
  it("generates what is in gen/", async () => {
    expect(await buf("buf.gen.yaml")).toMatchObject({ exit: 0, stderr: "" });
    expect(filesIn(at(`${example}/gen`))).toEqual(filesIn(join(root, example, "gen")));
  });

  describe.each(runtimesUnderTest())("through Manifold on %s", (runtime) => {
    let manifold: Program;
    let address: string;
    beforeAll(async () => {
      nodes ??= start([bun!, `${example}/nodes.ts`, ...ports.slice(0, 2).map(String)], { cwd: folder });
      await until("two nodes", () => nodes.stdout().split("node on ").length === 3);
      const command = commandOn(runtime);
      if ("absent" in command) throw new Error(command.absent);
      const config = ["--config", at(`${example}/manifold.yaml`), "--listen", "127.0.0.1:0"];
      manifold = start([...command.argv, ...config]);
      const listening = () => /listening on http:\/\/(127\.0\.0\.1:\d+)/.exec(manifold.stdout())?.[1];
      address = await until("manifold to listen", listening);
    });
    afterAll(async () => expect(await manifold?.stop()).toBe(0));

    it("tells the client in TypeScript of all nodes", async () => {
      const { exit, stdout, stderr } = await run([bun!, `${example}/client.ts`, `http://${address}`], { cwd: folder });
      expect([exit, stderr]).toEqual([0, ""]);
      const versions = expectedVersions("[unavailable]");
      expect(stdout.split("\n").slice(0, 3)).toEqual(versions.map((line) => `version ${line}`));
      expect(linesOf(stdout, "version as it came ")).toEqual(versions);
      expect(linesOf(stdout, "log ")).toEqual(expectedLog("[unavailable]"));
    });

    it.skipIf(!hasGo)("tells the client in Go the same", { timeout: 400_000 }, async () => {
      expect(await buf("buf.gen.go.yaml")).toMatchObject({ exit: 0 });
      const { exit, stdout, stderr } = await run([findTool("go")!, "-C", `${example}/go`, "run", ".", address], {
        cwd: folder,
        timeoutMs: 300_000,
      });
      expect([exit, stderr]).toEqual([0, ""]);
      const error = "rpc error: code = Unavailable desc =";
      expect(linesOf(stdout, "version ")).toEqual(expectedVersions(error));
      expect(linesOf(stdout, "log ")).toEqual(expectedLog(error));
    });
  });
});

/** @param error as the client's language writes the code of an error */
function expectedVersions(error: string): string[] {
  const [first, second] = ports;
  return [
    `node-1: v1.0.${first}`,
    `node-2: v1.0.${second}`,
    `node-3: ${error} upstream unavailable: connection failed`,
  ];
}

/** In the order of the alphabet, for nodes don't wait for each other. */
function expectedLog(error: string): string[] {
  const of = (node: number, port: number) => [1, 2].map((line) => `node-${node}: line ${line} of ${port}`);
  return [...of(1, ports[0]!), ...of(2, ports[1]!), `node-3: ${error} upstream unavailable: connection failed`];
}

function linesOf(output: string, prefix: string): string[] {
  const lines = output.split("\n").filter((line) => line.startsWith(prefix));
  return lines.map((line) => line.slice(prefix.length)).sort();
}

function filesIn(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => /\.\w+$/.test(name));
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(path, name), "utf8")]));
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
  const found = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}
