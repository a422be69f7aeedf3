/**
 * Real clients through the command to a real server (grpc-go, test/go/backend), on every runtime, in cleartext and over
 * TLS: four kinds of call, 8 MiB messages, 1,000-message ping-pong, metadata, deadlines, cancellation.
 *
 * The checks can fail: each of them compares what the backend was told to answer with what came.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { type Program, run, start } from "../support/program.ts";
import { root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findPython, findTool } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { expectAllOk } from "./all-ok.ts";
import { checks } from "./checks.ts";
import { connectNodeClient } from "./connect-node.ts";
import { grpcJsClient } from "./grpc-js.ts";
import type { ClientTarget, RpcClient } from "./rpc-client.ts";

/** Builds the Go programs where there is Go; what was built before does too. */
if (findTool("go")) spawnSync(join(root, "test/go/build"), { stdio: "inherit" });

const backendPath = findTool("backend");
const hasBackend =
  backendPath !== undefined || skipAbsent("clients", "no test/.cache/bin/backend, and no Go to build it");
const goClient = findTool("client");
const grpcurl = findTool("grpcurl");
const python = findPython("grpc");
const outside = {
  "grpc-go": goClient !== undefined || skipAbsent("grpc-go", "no test/.cache/bin/client, and no Go to build it"),
  grpcio: python !== undefined || skipAbsent("grpcio", "no Python with grpcio: set PYTHON"),
  grpcurl: grpcurl !== undefined || skipAbsent("grpcurl", "not on PATH, in ~/go/bin or in test/.cache/bin"),
};

const authority = new CertificateAuthority("clients authority");
const server = authority.issue({ commonName: "localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
const javascriptClients = { "grpc-js": grpcJsClient, "connect-node": connectNodeClient };

describe.skipIf(!hasBackend).each(runtimesUnderTest())("through Manifold on %s", (runtime) => {
  let backend: Program;
  let manifold: Manifold;
  const folder = mkdtempSync(join(tmpdir(), "manifold-clients-"));
  const caFile = join(folder, "ca.pem");

  beforeAll(async () => {
    writeFileSync(caFile, authority.cert);
    backend = start([backendPath!]);
    const address = await until("the backend to listen", () => /listening (\S+)/.exec(backend.stdout())?.[1]);
    const config = {
      listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { cert: "tls.crt", key: "tls.key" } }],
      upstreams: { backend: { endpoints: [`http://${address}`] } },
      routes: [{ to: "backend" }],
    };
    manifold = await startManifold({ runtime, config, files: { "tls.crt": server.cert, "tls.key": server.key } });
  });
  afterAll(async () => {
    const exit = await manifold?.stop();
    await backend?.stop("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
    expect(exit).toBe(0);
  });

  describe.each(["cleartext", "TLS"] as const)("over %s", (how) => {
    const port = () => manifold.ports[how === "TLS" ? 1 : 0]!;

    describe.each(Object.entries(javascriptClients))("%s", (_, connect) => {
      let client: RpcClient;
      beforeAll(() => {
        const target: ClientTarget = { port: port(), ...(how === "TLS" && { ca: authority.cert }) };
        client = connect(target);
      });
      afterAll(() => client?.close());
      it.each(Object.entries(checks))("%s", (_name, body) => body(client));
    });

    it.skipIf(!outside["grpc-go"])("grpc-go", async () => {
      const tls = how === "TLS" ? ["--ca", caFile, "--server-name", "localhost"] : [];
      await expectAllOk([goClient!, "--addr", `127.0.0.1:${port()}`, ...tls], 15);
    });

    it.skipIf(!outside.grpcio)("grpcio", async () => {
      const script = fileURLToPath(new URL("grpcio_client.py", import.meta.url));
      await expectAllOk([python!, script, `127.0.0.1:${port()}`, ...(how === "TLS" ? [caFile] : [])], 9);
    });

    it.skipIf(!outside.grpcurl)("grpcurl, with reflection", async () => {
      const flags = how === "TLS" ? ["-cacert", caFile] : ["-plaintext"];
      const grpcurlOf = (...more: string[]) => run([grpcurl!, ...flags, ...more], { timeoutMs: 30_000 });
      const address = `127.0.0.1:${port()}`;
      const list = await grpcurlOf(address, "list");
      expect(list.stdout).toContain("manifold.test.v1.Test");
      for (const [method, data, replies, headers] of [
        ["Unary", '"aGVsbG8="', 1, []],
        ["ServerStream", '"aGVsbG8="', 3, ["-H", "x-reply-count: 3"]],
        ["ClientStream", '"aGVsbG8=" "aGVsbG8="', 1, []],
        ["Bidi", '"aGVsbG8=" "aGVsbG8=" "aGVsbG8="', 3, []],
      ] as const) {
        const result = await grpcurlOf(...headers, "-d", data, address, `manifold.test.v1.Test/${method}`);
        expect(result, method).toMatchObject({ exit: 0, stderr: "" });
        expect(result.stdout.trim().split("\n"), method).toHaveLength(replies);
        if (method !== "ClientStream") expect(result.stdout).toContain('"aGVsbG8="');
      }
      const failed = await grpcurlOf("-H", "x-fail: 5", "-d", '""', address, "manifold.test.v1.Test/Unary");
      expect(failed.stderr).toContain("NotFound");
    });
  });
});
