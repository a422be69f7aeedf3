/** Health checks, by gRPC, HTTP and TCP: who doesn't serve gets no calls. And upstreams that stop without a word: row E3. */
import { createServer, type Server } from "node:http";
import { afterEach, expect } from "vitest";
import { call, callMany, connectPeer, requestFields } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type HealthService, healthService } from "../support/health.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { start } from "../support/program.ts";
import { root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { echo, startUpstream, trailersOnly, type Upstream, type UpstreamOptions } from "../support/upstream.ts";
import { setStage } from "./stage.ts";
import { check, figure, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Health/Get";
const often = { interval: "100ms", timeout: "2s" };

onRuntime("health", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function upstreamFor(options: UpstreamOptions = {}): Promise<Upstream> {
    const upstream = await startUpstream(options);
    cleanups.push(() => upstream.close());
    return upstream;
  }

  async function manifoldFor(
    main: object,
  ): Promise<{ manifold: Manifold; peer: H2Peer; lines: (text: string) => number }> {
    const config = { listeners: [{ address: "127.0.0.1:0" }], upstreams: { main }, routes: [{ to: "main" }] };
    const manifold = await startManifold({ runtime, config });
    cleanups.push(() => manifold.stop());
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    const lines = (text: string) => manifold.program.stdout().split(text).length - 1;
    return { manifold, peer, lines };
  }

  /** Calls that came to an upstream, checks excepted. */
  const callsOf = ({ calls }: Upstream) => calls.filter((stream) => stream.field(":path") === path).length;

  /** Two upstreams with a health service each, and Manifold that has had an answer from both. */
  async function pairWith(first: boolean, options: { watch?: boolean; interval?: string } = {}) {
    const services = [healthService(first, options), healthService(true, options)] as [HealthService, HealthService];
    const two = await Promise.all(services.map(({ handlers }) => upstreamFor({ handlers })));
    const health = { grpc: {}, ...often, interval: options.interval ?? often.interval, healthy_threshold: 1 };
    const { peer, lines } = await manifoldFor({ endpoints: two.map(({ url }) => url), health });
    await until("the first answers", () => lines("endpoint is healthy") + lines("endpoint is unhealthy") === 2);
    return { services, two, peer, lines };
  }

  check("an endpoint whose health service says NOT_SERVING gets no call, and calls once it says SERVING", async () => {
    const { services, two, peer, lines } = await pairWith(false, { watch: false });
    expect(await callMany([peer], path, { calls: 50, concurrency: 4 })).toEqual([]);
    expect(two.map(callsOf)).toEqual([0, 50]);
    services[0].say(true);
    await until("the endpoint to be healthy", () => lines("endpoint is healthy") === 2);
    expect(await callMany([peer], path, { calls: 50, concurrency: 4 })).toEqual([]);
    expect(two.map(callsOf)).toEqual([25, 75]);
    services[0].say(false);
    await until("the endpoint to be unhealthy", () => lines("endpoint is unhealthy") === 2);
    expect(await callMany([peer], path, { calls: 50, concurrency: 4 })).toEqual([]);
    expect(two.map(callsOf)).toEqual([25, 125]);
  });

  check("a change is told by Watch long before the next check", async () => {
    const { services, two, peer, lines } = await pairWith(true, { interval: "1h" });
    await until("both to be watched", () => services.every(({ watches }) => watches === 1));
    services[1].say(false);
    await until("the endpoint to be unhealthy", () => lines("endpoint is unhealthy") === 1);
    expect(await callMany([peer], path, { calls: 50, concurrency: 4 })).toEqual([]);
    expect(two.map(callsOf)).toEqual([50, 0]);
    services[1].say(true);
    await until("the endpoint to be healthy", () => lines("endpoint is healthy") === 3);
    expect(await callMany([peer], path, { calls: 50, concurrency: 4 })).toEqual([]);
    expect(two.map(callsOf)).toEqual([75, 25]);
    expect(services.map(({ checks }) => checks)).toEqual([1, 1]);
  });

  check("a server without the health service is healthy", async () => {
    const handlers = { "*": trailersOnly(12), [path]: echo };
    const [without, within] = [await upstreamFor({ handlers }), await upstreamFor(healthService(true))];
    const { peer, lines } = await manifoldFor({ endpoints: [without.url, within.url], health: { grpc: {}, ...often } });
    await until("the first answers", () => lines("endpoint is healthy") === 2);
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(callsOf(without)).toBe(10);
  });

  check("when fewer than half are healthy, all get calls", async () => {
    const services = [healthService(true), healthService(false), healthService(false)];
    const three = await Promise.all(services.map(({ handlers }) => upstreamFor({ handlers })));
    const endpoints = three.map(({ url }) => url);
    const { peer, lines } = await manifoldFor({ endpoints, health: { grpc: {}, ...often } });
    await until("the first answers", () => lines("endpoint is healthy") + lines("endpoint is unhealthy") === 3);
    expect(await callMany([peer], path, { calls: 30, concurrency: 3 })).toEqual([]);
    expect(three.map(callsOf)).toEqual([10, 10, 10]);
  });

  check("an endpoint that can't be connected to is unhealthy by TCP, no call has to find out", async () => {
    const [gone, there, other] = [await upstreamFor(), await upstreamFor(), await upstreamFor()];
    await gone.close();
    const endpoints = [gone, there, other].map(({ url }) => url);
    const { peer, lines } = await manifoldFor({ endpoints, health: { tcp: true, ...often } });
    await until("the first answers", () => lines("endpoint is healthy") + lines("endpoint is unhealthy") === 3);
    expect(lines("endpoint is unhealthy")).toBe(1);
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(lines("endpoint can't be reached")).toBe(0);
    const back = await upstreamFor({ port: gone.port });
    await until("the endpoint to be healthy", () => lines("endpoint is healthy") === 3);
    expect(await callMany([peer], path, { calls: 30, concurrency: 4 })).toEqual([]);
    expect(callsOf(back)).toBe(10);
  });

  check("an HTTP/1.1 endpoint that answers 503 at its health path gets no call", async () => {
    const status = [503, 200];
    const served = [0, 0];
    const urls = await Promise.all(
      [0, 1].map(async (at) => {
        const server = createServer((request, response) => {
          if (request.url === "/healthz?v=1") return response.writeHead(status[at]!).end("x".repeat(100));
          served[at]!++;
          request.resume().on("end", () => response.setHeader("content-type", "application/proto").end("ok"));
        });
        await listening(server);
        cleanups.push(() => close(server));
        return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
      }),
    );
    const health = { http: { path: "/healthz?v=1" }, ...often, healthy_threshold: 1 };
    const { manifold, lines } = await manifoldFor({ endpoints: urls, protocols: ["connect"], http: "1.1", health });
    await until("the first answers", () => lines("endpoint is healthy") + lines("endpoint is unhealthy") === 2);
    const callOnce = async () => {
      const init = { method: "POST", headers: { "content-type": "application/proto" }, body: "hello" };
      const response = await fetch(`http://127.0.0.1:${manifold.port}${path}`, init);
      expect([response.status, await response.text()]).toEqual([200, "ok"]);
    };
    for (let at = 0; at < 10; at++) await callOnce();
    expect(served).toEqual([0, 10]);
    status[0] = 200;
    await until("the endpoint to be healthy", () => lines("endpoint is healthy") === 2);
    for (let at = 0; at < 10; at++) await callOnce();
    expect(served).toEqual([5, 15]);
  });

  check("E3 an upstream that is stopped is dropped within 2.2 s where PINGs are sent each second", async () => {
    // three of them: a busy machine may be late for one, not for all
    const victims = await Promise.all(
      [1, 2, 3].map(async () => {
        const program = start([process.execPath, `${root}test/support/victim.mjs`]);
        cleanups.push(() => program.stop("SIGKILL"));
        const port = Number(await until("the victim's port", () => program.stdout().trim() || undefined));
        return { program, port };
      }),
    );
    const other = await upstreamFor({ handlers: { [path]: echo } });
    const stage = await setStage([...victims.map(({ port }) => `http://127.0.0.1:${port}`), other.url], {
      main: { limits: { keepalive_interval: "1s", keepalive_timeout: "1s" }, connect_timeout: "1s" },
      warmUp: false,
    });
    cleanups.push(() => stage.close());
    const tookMs: number[] = [];
    await stage.survive(
      async () => {
        const peer = await stage.connect();
        const streams = Array.from({ length: 16 }, () => peer.open(requestFields(path)));
        await until("messages of the victims", () => streams.filter(({ bytes }) => bytes >= 6).length === 12);
        for (const { program, port } of victims) {
          const onVictim = streams.filter((stream) => stream.field("x-port") === String(port));
          expect(onVictim.length).toBe(4);
          const ended = Promise.all(onVictim.map(({ finished }) => finished));
          program.process.kill("SIGSTOP");
          const stoppedAt = performance.now();
          await ended;
          tookMs.push(performance.now() - stoppedAt);
          for (const stream of onVictim) expect(stream.field("grpc-status", "trailers")).toBe("14");
        }
        for (let at = 0; at < 20; at++) expect((await call(peer, path)).status).toBe(0);
        for (const stream of streams) if (!stream.done) stream.sendData(Buffer.alloc(0), { end: true });
      },
      { growthMb: 64 }, // not warmed up: the first growth of a heap is no leak
    );
    figure(`dropped after ${tookMs.map((ms) => (ms / 1_000).toFixed(2)).join(", ")} s`);
    expect(Math.min(...tookMs)).toBeLessThan(2_200);
    expect(Math.min(...tookMs)).toBeGreaterThan(900); // it was the PING's time that ended them
  });
});

function listening(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
