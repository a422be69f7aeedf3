/**
 * h2spec against the command, in cleartext and over TLS, on every runtime. It sees an answer of Manifold's own (405 with a
 * text, for it sends GET /), and needs one with a body: some of its cases are about DATA.
 *
 * It can fail: the server of Node 20's own HTTP/2 fails 7 of the 145 cases.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { run } from "../support/program.ts";
import { runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type H2specReport, readReport } from "./report.ts";

const h2spec = findTool("h2spec");
const found = h2spec !== undefined || skipAbsent("h2spec", "not on PATH, in ~/go/bin or in test/.cache/bin");

/** What h2spec 2.2.1 has without --strict. */
const cases = 145;

const { cert, key } = new CertificateAuthority("h2spec authority").issue({
  commonName: "127.0.0.1",
  ips: ["127.0.0.1"],
});

async function runH2spec(port: number, more: string[] = []): Promise<H2specReport> {
  const folder = mkdtempSync(join(tmpdir(), "manifold-h2spec-"));
  const file = join(folder, "report.xml");
  // a case that waits for what must not come waits this long (seconds)
  const argv = [h2spec!, "-h", "127.0.0.1", "-p", String(port), "-o", "2", "-j", file, ...more];
  await run(argv, { timeoutMs: 300_000 });
  const report = readReport(readFileSync(file, "utf8"));
  rmSync(folder, { recursive: true });
  return report;
}

describe.skipIf(!found).each(runtimesUnderTest())("h2spec on %s", (runtime) => {
  let upstream: Upstream;
  let manifold: Manifold;

  beforeAll(async () => {
    upstream = await startUpstream();
    const config = {
      listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { cert: "tls.crt", key: "tls.key" } }],
      upstreams: { main: { endpoints: [upstream.url] } },
      routes: [{ to: "main" }],
    };
    manifold = await startManifold({ runtime, config, files: { "tls.crt": cert, "tls.key": key } });
  });
  afterAll(async () => {
    const exit = await manifold?.stop();
    await upstream?.close();
    expect(exit).toBe(0);
  });

  for (const [what, listener, flags] of [
    ["cleartext", 0, []],
    ["TLS", 1, ["-t", "-k"]],
  ] as const) {
    it(`passes every case over ${what}`, { timeout: 300_000 }, async () => {
      const report = await runH2spec(manifold.ports[listener]!, [...flags]);
      console.log(
        `h2spec on ${runtime} over ${what}: ${report.passed} of ${report.total}, ${report.skipped.length} skipped`,
      );
      expect(report.failed).toEqual([]);
      expect(report.skipped).toEqual([]);
      expect(report.passed).toBeGreaterThanOrEqual(cases);
      expect(manifold.program.exit()).toBeUndefined();
    });
  }
});

describe.skipIf(!found)("the h2spec suite itself", () => {
  it("sees faults where there are some: node:http2", { timeout: 300_000 }, async () => {
    const server = createServer((_, response) => response.end("a body of some bytes"));
    server.on("sessionError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const report = await runH2spec((server.address() as AddressInfo).port);
    server.close();
    expect(report.total).toBeGreaterThanOrEqual(cases);
    expect(report.failed.length).toBeGreaterThan(0);
    expect(report.passed + report.failed.length + report.skipped.length).toBe(report.total);
  });
});
