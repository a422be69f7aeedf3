/**
 * The Connect conformance suite, verbatim: every case that the reference server passes by itself must pass through
 * Manifold too, on every runtime. The counts are printed.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { run } from "../support/program.ts";
import { commandOn, type RuntimeName, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";

const runner = findTool("connectconformance");
const reference = findTool("referenceserver");
const absent = Object.entries({ connectconformance: runner, referenceserver: reference }).filter(([, path]) => !path);
const found = absent.length === 0 || skipAbsent("conformance", `no ${absent.map(([name]) => name).join(", no ")}`);

/** Calls at once, and servers at once: more gains nothing on two cores. */
const parallel = ["--parallel", "8", "--max-servers", "2"];

interface Counts {
  total: number;
  passed: number;
  failed: string[];
  output: string;
}

async function conformance(server: string[], env: Record<string, string> = {}): Promise<Counts> {
  const config = fileURLToPath(new URL("config.yaml", import.meta.url));
  const argv = [runner!, "--mode", "server", "--conf", config, ...parallel, "--", ...server];
  const { stdout, stderr } = await run(argv, { env: { ...process.env, ...env }, timeoutMs: 280_000 });
  const [, total, passed] = /Total cases: (\d+)\n(\d+) passed/.exec(stdout) ?? [];
  const failed = [...stdout.matchAll(/^FAILED: (.*?):?$/gm)].map(([, name]) => name!);
  return { total: Number(total), passed: Number(passed), failed, output: `${stdout}${stderr}` };
}

describe.skipIf(!found)("connectconformance, gRPC over HTTP/2", () => {
  let baseline: Counts;
  const folder = mkdtempSync(join(tmpdir(), "manifold-conformance-test-"));

  beforeAll(async () => {
    baseline = await conformance([reference!]);
    console.log(`the reference server itself: ${baseline.passed} of ${baseline.total}`);
    const authority = new CertificateAuthority("conformance authority");
    const client = { ca: authority.cert, ...authority.issue({ commonName: "manifold" }) };
    writeFileSync(join(folder, "client.json"), JSON.stringify(client));
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("has cases, and the reference server passes them", () => {
    expect(baseline.total, baseline.output).toBeGreaterThan(2_000);
    expect(baseline.passed).toBeGreaterThan(2_000);
  });

  function throughManifold(runtime: RuntimeName, more: Record<string, string> = {}): Promise<Counts> {
    const command = commandOn(runtime);
    if ("absent" in command) throw new Error(command.absent);
    const program = fileURLToPath(new URL("server-under-test.mjs", import.meta.url));
    return conformance([process.execPath, program], {
      REFERENCE_SERVER: reference!,
      MANIFOLD_COMMAND: JSON.stringify(command.argv),
      CLIENT_PEM: join(folder, "client.json"),
      ...more,
    });
  }

  it.each(runtimesUnderTest())("passes through Manifold on %s", async (runtime) => {
    const counts = await throughManifold(runtime);
    console.log(`through Manifold on ${runtime}: ${counts.passed} of ${counts.total}`);
    expect(counts.total, counts.output).toBe(baseline.total);
    const ours = counts.failed.filter((name) => !baseline.failed.includes(name));
    expect(ours, counts.output.slice(0, 20_000)).toEqual([]);
    expect(counts.passed).toBeGreaterThanOrEqual(baseline.passed);
  });

  it("can fail: a Manifold that takes one header away is seen", async () => {
    const [runtime] = runtimesUnderTest();
    const counts = await throughManifold(runtime!, { ROUTE: JSON.stringify({ remove_headers: ["grpc-encoding"] }) });
    console.log(`without grpc-encoding: ${counts.passed} of ${counts.total}`);
    expect(counts.failed.length).toBeGreaterThan(100);
  });
});
