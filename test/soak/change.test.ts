/**
 * Change under load, the long way (faults E6 and E7): rolling restarts, reloads, upstreams that restart and come and go, at
 * 1,000 calls a second for minutes. Prints its figures. SOAK_SCALE=0.1 makes it a tenth as long.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import { check, onRuntime, runtime } from "../runtimes/suite.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { call, connectPeer, outcome } from "../support/grpc.ts";
import { type Manifold, said, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { type Program, residentBytes, start } from "../support/program.ts";
import { skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { sleep, until } from "../support/until.ts";

const scale = Number(process.env.SOAK_SCALE ?? 1);
const callsPerSecond = 1_000;
const authority = new CertificateAuthority("manifold test authority");
const certificates = ["first", "second"].map((commonName) => authority.issue({ commonName, ips: ["127.0.0.1"] }));
const bidiPath = "/manifold.test.v1.Test/Bidi";
const fields = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", bidiPath],
  [":authority", "test.example"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
] as const;

const [load, backend] = [findTool("load"), findTool("backend")];
const ready = load !== undefined && backend !== undefined;
if (!ready) skipAbsent("soak", "no load or backend: test/go/build");

onRuntime("soak", () => {
  const programs: Program[] = [];
  let manifold: Manifold;
  afterEach(async () => {
    await manifold?.stop();
    await Promise.all(programs.splice(0).map((program) => program.stop("SIGKILL")));
  });

  async function startBackend(port = 0): Promise<{ program: Program; port: number; url: string }> {
    const program = start([backend!, "--listen", `127.0.0.1:${port}`]);
    programs.push(program);
    const found = await until("the backend", () => /listening \S+:(\d+)/.exec(program.stdout())?.[1]);
    return { program, port: Number(found), url: `http://127.0.0.1:${found}` };
  }

  /** Calls at the rate, on schedule; the figures when it is over. */
  function startLoad(seconds: number): Program {
    const words = ["rate", "--addr", `127.0.0.1:${manifold.port}`, "--rps", String(callsPerSecond)];
    const program = start([load!, ...words, "--seconds", String(seconds), "--connections", "8"]);
    programs.push(program);
    return program;
  }

  async function figures(program: Program, seconds: number): Promise<{ calls: number; failed: number }> {
    await until("the load to end", () => program.exit() !== undefined, seconds * 1_000 + 60_000);
    const rss = Math.round((residentBytes(manifold.pid) ?? 0) / 2 ** 20);
    console.info(`${runtime}: ${program.stdout().trim()} ${program.stderr().trim()} rss ${rss} MB`);
    expect(program.exit(), program.stderr()).toBe(0);
    return JSON.parse(program.stdout());
  }

  function write(config: object | string, file = "manifold.yaml"): void {
    const path = join(manifold.folder, file);
    writeFileSync(`${path}.new`, typeof config === "string" ? config : JSON.stringify(config));
    renameSync(`${path}.new`, path);
  }

  async function reload(config: object): Promise<void> {
    const before = said(manifold, '"reloaded"');
    write(config);
    manifold.program.process.kill("SIGHUP");
    await until("the reload", () => said(manifold, '"reloaded"') > before, 30_000);
  }

  check("E6: rolling restarts for a minute: none of 60,000 calls fails", async () => {
    const seconds = 60 * scale;
    const { url } = await startBackend();
    manifold = await startManifold({ runtime, to: [url], args: ["--workers", "2"] });
    const running = startLoad(seconds);
    const end = performance.now() + (seconds - 2) * 1_000;
    let restarts = 0;
    while (performance.now() < end) {
      await sleep(Math.min(3_000, seconds * 200));
      manifold.program.process.kill("SIGUSR2");
      await until("the restart", () => said(manifold, '"workers replaced"') > restarts, 60_000);
      restarts++;
    }
    const seen = await figures(running, seconds);
    console.info(`${runtime}: ${restarts} restarts of 2 workers`);
    expect(seen).toMatchObject({ calls: seconds * callsPerSecond, failed: 0 });
    expect(restarts).toBeGreaterThan(0);
  });

  check("E7: 50 reloads (route, upstream, certificate), 20 streams, then a broken file", async () => {
    const seconds = 60 * scale;
    const backends = await Promise.all([startBackend(), startBackend()]);
    const tls = { cert: "tls.crt", key: "tls.key" };
    const configAt = (round: number) => ({
      listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls }],
      upstreams: { main: { endpoints: backends.map(({ url }) => url), max_pending: 1_000 + round } },
      routes: [{ match: { service: `round.${round}` }, refuse: { code: "aborted" } }, { to: "main" }],
    });
    const files = { "tls.crt": certificates[0]!.cert, "tls.key": certificates[0]!.key };
    manifold = await startManifold({ runtime, config: configAt(0), files, args: ["--no-watch"] });
    const peers = await Promise.all([
      connectPeer(manifold.ports[0]!),
      connectPeer(manifold.ports[1]!, { tls: { ca: authority.cert } }),
    ]);
    const streams: PeerStream[] = peers.flatMap((peer) => Array.from({ length: 10 }, () => peer.open(fields)));
    const messages = async (count: number) => {
      for (const stream of streams) stream.sendData(Buffer.from([0, 0, 0, 0, 1, 7]));
      await until(
        `message ${count} back`,
        () => streams.every(({ bytes, done }) => bytes === count * 6 || done),
        30_000,
      );
    };
    await messages(1);
    const running = startLoad(seconds);
    for (let round = 1; round <= 50; round++) {
      const { cert, key } = certificates[round % 2]!;
      write(cert, "tls.crt");
      write(key, "tls.key");
      await reload(configAt(round));
      await messages(round + 1);
      await sleep(Math.max(0, seconds * 18 - 20));
    }
    write("routes:\n  - to: nowhere\n");
    manifold.program.process.kill("SIGHUP");
    await until("the report", () =>
      manifold.program.stderr().includes('manifold.yaml:2:9: unknown upstream "nowhere"'),
    );
    await messages(52);
    const seen = await figures(running, seconds);
    for (const stream of streams) stream.sendData(Buffer.alloc(0), { end: true });
    await Promise.all(streams.map(({ finished }) => finished));
    expect(streams.map((stream) => [outcome(stream).status, stream.bytes])).toEqual(streams.map(() => [0, 52 * 6]));
    expect(peers.flatMap(({ goaways }) => goaways)).toEqual([]);
    expect(seen).toMatchObject({ calls: seconds * callsPerSecond, failed: 0 });
  });

  check(
    "five minutes with 50 reloads, upstreams that restart, and endpoints that come and go: no call fails",
    async () => {
      const seconds = 300 * scale;
      const backends = await Promise.all([startBackend(), startBackend(), startBackend()]);
      const configAt = (round: number) => ({
        listeners: [{ address: "127.0.0.1:0" }],
        // one of the three leaves and comes back; the limit makes the whole upstream a new one now and then
        upstreams: {
          main: {
            endpoints: backends.filter((_, index) => round % 4 === 3 || index !== round % 4).map(({ url }) => url),
            max_pending: 1_000 + Math.floor(round / 10),
            limits: { retries: 1_000 }, // all calls of an upstream that is cut off are tried again at once
          },
        },
        routes: [{ to: "main", retry: { attempts: 3, on: ["unavailable"], hold_reply: "64KiB" } }],
      });
      manifold = await startManifold({ runtime, config: configAt(3), args: ["--no-watch"] });
      const peer = await connectPeer(manifold.port);
      expect((await call(peer, "/manifold.test.v1.Test/Unary")).status).toBe(0);
      const running = startLoad(seconds);
      let restarts = 0;
      for (let round = 0; round < 50; round++) {
        await reload(configAt(round));
        await sleep(seconds * 8);
        if (round % 3 === 0) {
          const index = (round / 3) % 3;
          const { program, port } = backends[index]!;
          await program.stop("SIGTERM"); // which cuts its calls
          await sleep(seconds * 2);
          backends[index] = await startBackend(port);
          restarts++;
        } else await sleep(seconds * 5);
      }
      const seen = await figures(running, seconds);
      console.info(`${runtime}: 50 reloads, ${restarts} restarts of upstreams`);
      expect(seen).toMatchObject({ calls: seconds * callsPerSecond, failed: 0 });
      expect((await call(peer, "/manifold.test.v1.Test/Unary")).status).toBe(0);
      await peer.close();
    },
  );
});
