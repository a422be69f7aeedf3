/**
 * The Connect conformance suite through the built command, on every runtime: what the server behind it passes by itself must pass
 * through Manifold too, but for the cases that exceptions/ lists, and these must fail. The counts are printed, and written to
 * test/.cache/conformance.txt.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { run } from "../support/program.ts";
import { commandOn, type RuntimeName, root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { type Suite, suites } from "./suites.ts";

const tools = {
  connectconformance: findTool("connectconformance"),
  referenceserver: findTool("referenceserver"),
  grpcserver: findTool("grpcserver"),
};
const absent = Object.entries(tools).flatMap(([name, path]) => (path === undefined ? [name] : []));
const found = absent.length === 0 || skipAbsent("conformance", `no ${absent.join(", no ")}`);

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Calls at once, and servers at once. More servers gain nothing on two cores, and must start within the 10 s that the suite gives them. */
const parallel = ["--parallel", "16", "--max-servers", "2"];

/**
 * Failed cases of a suite that are run a second time, which is said: one of some 80,000 failed once, and it isn't known why. Where more
 * fail, none is.
 */
const maxAgain = 3;

/** "selection": not every suite on every runtime. Default: all. */
const isSelection = process.env.MANIFOLD_CONFORMANCE === "selection";

interface Counts {
  total: number;
  passed: number;
  /** Cases that failed as exceptions/ says. */
  listed: number;
  failed: string[];
  output: string;
  /** Cases that passed, or failed as they should, when they were run again. */
  again?: string[];
}

interface RunOptions {
  env?: Record<string, string>;
  /** Names of cases; default all. */
  only?: readonly string[];
}

describe.skipIf(!found)("connectconformance", () => {
  const folder = mkdtempSync(join(tmpdir(), "manifold-conformance-test-"));
  const image = join(folder, "conformance.binpb");
  /** What was counted, and what was left out: for whoever ran it, see .ci/run. */
  const lines: string[] = [];
  const configOf = (suite: number) => join(folder, `suite-${suite}.json`);

  beforeAll(() => {
    const authority = new CertificateAuthority("conformance authority");
    const client = { ca: authority.cert, ...authority.issue({ commonName: "manifold" }) };
    writeFileSync(join(folder, "client.json"), JSON.stringify(client));
    for (const [at, { features }] of suites.entries()) writeFileSync(configOf(at), JSON.stringify({ features }));
    buildImage(image);
  }, 120_000);
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(join(root, "test/.cache"), { recursive: true });
    writeFileSync(join(root, "test/.cache/conformance.txt"), lines.map((line) => `${line}\n`).join(""));
  });

  async function conformance(suite: Suite, server: string[], env: Record<string, string> = {}): Promise<Counts> {
    const first = await runCases(suite, server, { env });
    const { failed } = first;
    if (failed.length === 0 || failed.length > maxAgain) return first;
    const second = await runCases(suite, server, { env, only: failed });
    if (second.failed.length > 0) return first;
    const [passed, listed] = [first.passed + second.passed, first.listed + second.listed];
    return { ...first, passed, listed, failed: [], again: failed };
  }

  async function runCases(suite: Suite, server: string[], { env = {}, only = [] }: RunOptions): Promise<Counts> {
    const [file] = (env.ROUTE === undefined && server.length > 1 && suite.exceptions) || [];
    const argv = [
      tools.connectconformance!,
      ...["--mode", "server", "--conf", configOf(suites.indexOf(suite)), ...parallel],
      ...(file === undefined ? [] : ["--known-failing", `@${here(`exceptions/${file}`)}`]),
      ...only.flatMap((name) => ["--run", name]),
      ...["--", ...server],
    ];
    const { stdout, stderr } = await run(argv, { env: { ...process.env, ...env }, timeoutMs: 280_000 });
    const [, total, passed] = /Total cases: (\d+)\n(\d+) passed/.exec(stdout) ?? [];
    const [, listed = 0] = /\(Another (\d+) failed as expected/.exec(stdout) ?? [];
    const failed = [...stdout.matchAll(/^FAILED: (.*?)(?::| was expected to fail but did not)$/gm)];
    return {
      total: Number(total),
      passed: Number(passed),
      listed: Number(listed),
      failed: failed.map(([, name]) => name!),
      output: tellingPart(`${stdout}${stderr}`),
    };
  }

  function report(what: string, { passed, total, listed, again = [] }: Counts): void {
    const notes = [listed > 0 && `${listed} exceptions`, again.length > 0 && `run again: ${again.join(", ")}`];
    const line = [`${what}: ${passed} of ${total}`, ...notes.filter((note) => note !== false)].join(", ");
    lines.push(line);
    console.log(line);
  }

  /** Whether a suite runs on a runtime; if it doesn't, that is said. */
  function isWanted({ name, onNodeAlone }: Suite, runtime: RuntimeName): boolean {
    if (!isSelection || runtime === "node" || onNodeAlone === undefined) return true;
    lines.push(`${name}, left out on ${runtime}: ${onNodeAlone}`);
    return false;
  }

  function throughManifold(suite: Suite, runtime: RuntimeName, more: Record<string, string> = {}): Promise<Counts> {
    const command = commandOn(runtime);
    if ("absent" in command) throw new Error(command.absent);
    const upstream = { ...suite.upstream, ...(suite.schema ? { schema: { image } } : {}) };
    return conformance(suite, [process.execPath, here("server-under-test.mjs")], {
      BACKEND: tools[suite.server]!,
      UPSTREAM: JSON.stringify(upstream),
      MANIFOLD_COMMAND: JSON.stringify(command.argv),
      CLIENT_PEM: join(folder, "client.json"),
      ...more,
    });
  }

  it("has cases, and the reference server passes them", async () => {
    const [verbatim] = suites;
    const counts = await conformance(verbatim!, [tools.referenceserver!]);
    report("the reference server itself", counts);
    expect(counts.failed, counts.output).toEqual([]);
    expect(counts.total, counts.output).toBe(verbatim!.cases);
    expect(counts.passed, counts.output).toBe(counts.total);
  });

  describe.each(suites.map((suite) => [suite.name, suite] as const))("%s", (name, suite) => {
    const runtimes = runtimesUnderTest().filter((runtime) => isWanted(suite, runtime));
    it.each(runtimes)("through Manifold on %s", async (runtime) => {
      const counts = await throughManifold(suite, runtime);
      report(`${name}, through Manifold on ${runtime}`, counts);
      const { total, passed, listed, failed, output } = counts;
      expect(failed, output).toEqual([]);
      expect(total, output).toBe(suite.cases);
      expect(passed + listed, output).toBe(total); // a case that couldn't be run is neither
      expect(listed).toBe(suite.exceptions?.[1] ?? 0);
    });
  });

  it("can fail: a Manifold that takes one header away is seen", async () => {
    const suite = suites.find(({ name }) => name === "bridged to grpc-go")!;
    const [runtime] = runtimesUnderTest();
    const route = JSON.stringify({ remove_headers: ["grpc-encoding"] });
    const { failed } = await throughManifold(suite, runtime!, { ROUTE: route });
    expect(failed.length).toBeGreaterThan(100);
  });
});

/** Of what the suite prints: from the first case that failed on, else the end. */
function tellingPart(output: string): string {
  const at = output.search(/^FAILED: /m);
  return at === -1 ? output.slice(-5_000) : output.slice(at, at + 20_000);
}

/** The descriptors of the suite's service, of the version that the tools are of. */
function buildImage(image: string): void {
  const goDirectory = spawnSync("go", ["list", "-m", "-f", "{{.Dir}}", "connectrpc.com/conformance"], {
    cwd: join(root, "test/go/tools"),
    encoding: "utf8",
  });
  const proto = join(goDirectory.stdout.trim(), "proto");
  const { status, stderr } = spawnSync(join(root, "node_modules/.bin/buf"), ["build", proto, "-o", image], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`no descriptors of the conformance service: ${goDirectory.stderr}${stderr}`);
}
