/** Workers: processes that share the ports, one supervisor; crashes, reload, drain and the rolling restart (fault E6). */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import { call, callMany, connectPeer, describeOutcome, startCall } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import {
  adminAddress,
  type Manifold,
  type ManifoldOptions,
  metricsOf,
  said,
  startManifold,
} from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { echo, startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { check, figure, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Workers/Get";
const holdPath = "/manifold.test.Workers/Hold";

onRuntime("workers", () => {
  const cleanups: (() => unknown)[] = [];
  const held: PeerStream[] = [];
  let upstream: Upstream;
  let config: object;
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    held.length = 0;
  });

  async function stage(
    more: object = {},
    { files, ...options }: Partial<ManifoldOptions> = {},
    endpoints: readonly object[] = [],
  ): Promise<Manifold> {
    upstream = await startUpstream({ handlers: { [holdPath]: (stream) => void held.push(stream) } });
    cleanups.push(() => upstream.close());
    config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { endpoints: [upstream.url, ...endpoints] } },
      routes: [{ to: "main" }],
      admin: { address: "127.0.0.1:0", token_file: "token" },
      workers: 2,
      ...more,
    };
    const manifold = await startManifold({
      runtime,
      config,
      files: { token: "a-token-of-the-test", ...files },
      ...options,
    });
    cleanups.push(() => manifold.stop());
    return manifold;
  }

  async function connect(manifold: Manifold): Promise<H2Peer> {
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    return peer;
  }

  const connectMany = (manifold: Manifold, count: number) =>
    Promise.all(Array.from({ length: count }, () => connect(manifold)));

  function workersOf({ pid }: Manifold): number[] {
    const file = `/proc/${pid}/task/${pid}/children`;
    if (!existsSync(file)) throw new Error(`no ${file}: these tests need Linux`);
    const threads = readFileSync(file, "utf8").trim();
    return threads === "" ? [] : threads.split(" ").map(Number);
  }

  async function metric(manifold: Manifold, name: string): Promise<number> {
    return (await metricsOf(manifold))
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  check("2 share the port; figures are added up; one that crashes is replaced", async () => {
    const manifold = await stage();
    expect(workersOf(manifold)).toHaveLength(2);
    const peers = await connectMany(manifold, 8);
    expect(await callMany(peers, path, { calls: 80, concurrency: 8 })).toEqual([]);
    expect(upstream.connections.length).toBe(2); // each worker has its own
    expect(Math.min(...upstream.connections.map(({ opened }) => opened))).toBeGreaterThan(0);
    expect(await metric(manifold, "manifold_processes")).toBe(2);
    expect(await metric(manifold, "manifold_calls_total")).toBe(80);
    expect(await metric(manifold, "manifold_downstream_connections")).toBe(8);
    const [first] = workersOf(manifold);
    process.kill(first!, "SIGKILL");
    await until("its connections to be cut", () => peers.some(({ closed }) => closed));
    // a connection that node:cluster hands to a process which has just died hangs, on Node and Deno: README, "Workers"
    await until("the supervisor to know", () => said(manifold, '"how":"signal SIGKILL"') === 1);
    await sleep(100);
    const left = peers.filter(({ closed }) => !closed);
    expect(left.length).toBeGreaterThan(0);
    expect(await callMany([...left, ...(await connectMany(manifold, 2))], path, { calls: 20, concurrency: 4 })).toEqual(
      [],
    );
    await until("another worker", () => workersOf(manifold).filter((pid) => pid !== first).length === 2);
    await until("both to carry calls", async () => (await metric(manifold, "manifold_processes")) === 2);
    await until("figures that don't go back", async () => (await metric(manifold, "manifold_calls_total")) === 100);
    expect(await metric(manifold, "manifold_worker_crashes_total")).toBe(1);
  });

  check("reload reaches all of them, or none where one thing is wrong", async () => {
    const manifold = await stage();
    const other = await startUpstream({ handlers: { "*": trailersOnly(0, [["grpc-message", "other"]]) } });
    cleanups.push(() => other.close());
    const peers = await connectMany(manifold, 6);
    expect(await callMany(peers, path, { calls: 12, concurrency: 6 })).toEqual([]);
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => void blocker.close());
    const write = (more: object) =>
      writeFileSync(join(manifold.folder, "manifold.yaml"), JSON.stringify({ ...config, ...more }));
    const moved = { upstreams: { main: { endpoints: [other.url] } } };
    const taken = `127.0.0.1:${(blocker.address() as { port: number }).port}`;
    write({ ...moved, listeners: [{ address: "127.0.0.1:0" }, { address: taken }] });
    await until("the report", () => said(manifold, "not reloaded, nothing has changed") === 1);
    expect(manifold.program.stderr()).toContain("EADDRINUSE");
    for (const peer of peers) expect((await call(peer, path)).message).toBeUndefined();
    write({ ...moved, listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.3:0" }] });
    await until("the reload", () => said(manifold, '"reloaded"') === 1);
    for (const peer of peers) expect((await call(peer, path)).message).toBe("other");
    const port = Number(/listening on http:\/\/127\.0\.0\.3:(\d+)/.exec(manifold.program.stdout())![1]);
    expect(port).toBeGreaterThan(0);
    const [first] = workersOf(manifold);
    process.kill(first!, "SIGKILL");
    await until("another worker", () => workersOf(manifold).filter((pid) => pid !== first).length === 2);
    for (const peer of await connectMany(manifold, 6)) expect((await call(peer, path)).message).toBe("other");
    expect(peers.some(({ goaways }) => goaways.length > 0)).toBe(false);
  });

  check("one that crashes again and again is replaced with pauses that grow, once for each crash", async () => {
    const flag = "crash-now";
    const module = `
      import cluster from "node:cluster";
      import { existsSync } from "node:fs";
      if (cluster.isWorker && existsSync(new URL("${flag}", import.meta.url))) process.exit(3);
      export function routes() {}
    `;
    const manifold = await stage({ module: "./services.mjs" }, { files: { "services.mjs": module } });
    writeFileSync(join(manifold.folder, flag), "");
    process.kill(workersOf(manifold)[0]!, "SIGKILL");
    await until("the fourth pause", () => said(manifold, "_in_ms") >= 4);
    const pauses = said(manifold, "_in_ms");
    expect(await metric(manifold, "manifold_worker_crashes_total")).toBeGreaterThanOrEqual(pauses);
    const told = [...manifold.program.stdout().matchAll(/_in_ms":(\d+)/g)].map(([, ms]) => Number(ms));
    expect(told.slice(0, 4)).toEqual([100, 200, 400, 800]);
    rmSync(join(manifold.folder, flag));
    await until("both to carry calls", async () => (await metric(manifold, "manifold_processes")) === 2, 20_000);
  });

  check("one that crashes during a reload is replaced, and the reload counts", async () => {
    const manifold = await stage(
      { module: "./services.mjs" },
      { files: { "services.mjs": "export function routes() {}" } },
    );
    const before = workersOf(manifold);
    const module = `
      import cluster from "node:cluster";
      import { writeFileSync } from "node:fs";
      if (cluster.isWorker) {
        let first = true;
        try {
          writeFileSync(new URL("crashed", import.meta.url), "", { flag: "wx" });
        } catch {
          first = false;
        }
        if (first) process.exit(3);
      }
      export function routes() {}
    `;
    writeFileSync(join(manifold.folder, "services.mjs"), module);
    await until("the reload", () => said(manifold, '"reloaded"') + said(manifold, "not reloaded") === 1);
    expect(said(manifold, '"reloaded"')).toBe(1);
    await until("another worker", () => workersOf(manifold).filter((pid) => before.includes(pid)).length === 1);
    await until("both to carry calls", async () => (await metric(manifold, "manifold_processes")) === 2);
    const peers = await connectMany(manifold, 4);
    expect(await callMany(peers, path, { calls: 8, concurrency: 4 })).toEqual([]);
  });

  check("an endpoint that is disabled while they are being replaced is so for the new ones, too", async () => {
    const other = await startUpstream();
    cleanups.push(() => other.close());
    const endpoints = [{ name: "other", url: other.url }];
    const manifold = await stage({}, {}, endpoints);
    const connectedBefore = await connectMany(manifold, 2);
    manifold.program.process.kill("SIGUSR2");
    await until("the word", () => said(manifold, "replacing workers") === 1);
    const headers = { authorization: "Bearer a-token-of-the-test" };
    const disabled = await fetch(`http://${adminAddress(manifold)}/endpoints/main/other/disable`, {
      method: "POST",
      headers,
    });
    expect(disabled.status).toBe(200);
    await until("the restart", () => said(manifold, '"workers replaced"') === 1, 30_000);
    const peers = await connectMany(manifold, 4);
    expect(await callMany(peers, path, { calls: 40, concurrency: 4 })).toEqual([]);
    expect([other.calls.length, upstream.calls.length]).toEqual([0, 40]);
    for (const peer of connectedBefore) expect(peer.goaways.length).toBeGreaterThan(0);
  });

  check("drain: calls in flight finish in all of them, exit 0; a second signal ends all at once", async () => {
    const manifold = await stage();
    const peers = await connectMany(manifold, 4);
    const streams = peers.map((peer) => startCall(peer, holdPath));
    await until("the calls upstream", () => held.length === 4);
    const workers = workersOf(manifold);
    for (const pid of workers) process.kill(pid, "SIGTERM"); // as a terminal's Ctrl-C does: theirs is no end of its own
    const ended = manifold.stop(20_000);
    await until("GOAWAYs", () => peers.every(({ goaways }) => goaways.length > 0));
    for (const stream of held) echo(stream);
    await Promise.all(streams.map(({ finished }) => finished));
    expect(streams.map((stream) => stream.field("grpc-status", "trailers"))).toEqual(["0", "0", "0", "0"]);
    expect(await ended).toBe(0);
    expect(workers.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);

    const hurried = await stage();
    void startCall(await connect(hurried), holdPath);
    await until("the call upstream", () => held.length === 5);
    hurried.program.process.kill("SIGTERM");
    await until("the word", () => said(hurried, "finishing open calls") === 1);
    await sleep(200);
    expect(await hurried.stop(5_000)).toBe(1);
  });

  check("E6: a rolling restart under load: no call fails, no stream is cut", async () => {
    const manifold = await stage();
    const before = workersOf(manifold);
    const failures: string[] = [];
    let calls = 0;
    let running = true;
    /** As clients do: at a GOAWAY the next call goes on a new connection. */
    const caller = async () => {
      let peer = await connect(manifold);
      while (running) {
        if (peer.goaways.length > 0 || peer.closed) peer = await connect(manifold);
        const result = await call(peer, path);
        calls++;
        if (result.status !== 0) failures.push(describeOutcome(result));
        await sleep(3);
      }
    };
    const load = Array.from({ length: 8 }, () => caller());
    let told = 0;
    const figures = async () => {
      while (running) {
        const now = await metric(manifold, "manifold_calls_total");
        if (now < told) failures.push(`calls_total went from ${told} to ${now}`);
        told = now;
      }
    };
    load.push(figures());
    const long = startCall(await connect(manifold), holdPath);
    await until("the stream upstream", () => held.length === 1);
    for (let round = 1; round <= 2; round++) {
      await sleep(200);
      manifold.program.process.kill("SIGUSR2");
      await until("the restart", () => said(manifold, '"workers replaced"') === round, 30_000);
    }
    await sleep(200);
    running = false;
    await Promise.all(load);
    echo(held[0]!);
    await long.finished;
    figure(`${failures.length} of ${calls} calls failed, with 2 restarts of 2 workers`);
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
    expect(long.field("grpc-status", "trailers")).toBe("0");
    await until("the old ones to end", () => workersOf(manifold).length === 2);
    expect(workersOf(manifold).filter((pid) => before.includes(pid))).toEqual([]);
    await until(
      "figures of the old ones, too",
      async () => (await metric(manifold, "manifold_calls_total")) === calls + 1,
    );
  });

  check("connections are answered while the supervisor asks its workers without a pause", async () => {
    const manifold = await stage();
    let running = true;
    let asked = 0;
    const asking = (async () => {
      while (running) {
        await metric(manifold, "manifold_calls_total");
        asked++;
      }
    })();
    for (let count = 0; count < 80; count++) {
      const peer = await connectPeer(manifold.port);
      expect((await call(peer, path, { timeoutMs: 5_000 })).status).toBe(0);
      await peer.close();
    }
    running = false;
    await asking;
    expect(asked).toBeGreaterThan(2);
  });

  check("without their supervisor they end; where a port is taken nothing starts", async () => {
    const manifold = await stage();
    const workers = workersOf(manifold);
    manifold.program.process.kill("SIGKILL");
    await until("the workers to end", () => workers.every((pid) => !existsSync(`/proc/${pid}`)));
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => void blocker.close());
    const address = `127.0.0.1:${(blocker.address() as { port: number }).port}`;
    await expect(stage({ listeners: [{ address }] })).rejects.toThrow(`manifold: ${address} is in use already`);
  });
});
