/** The drain at SIGTERM (fault E5), and the health service that tells of it. */
import { connect as connectTcp } from "node:net";
import { Code, type ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, expect } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { connectPeer, outcome, startCall } from "../support/grpc.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { until } from "../support/until.ts";
import { echo, startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { check, figure, onRuntime, runtime } from "./suite.ts";

const holdPath = "/manifold.test.Drain/Hold";
const openPath = "/manifold.test.Drain/Open";

onRuntime("drain", () => {
  let upstream: Upstream;
  const held: PeerStream[] = [];
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    held.length = 0;
  });

  async function stage(config: object): Promise<Manifold> {
    const handlers = {
      [holdPath]: (stream: PeerStream) => void held.push(stream),
      "/grpc.health.v1.Health/Check": trailersOnly(Code.Aborted, [["grpc-message", "the upstream's own"]]),
    };
    upstream = await startUpstream({ handlers });
    cleanups.push(() => upstream.close());
    const manifold = await startManifold({
      runtime,
      config: {
        listeners: [{ address: "127.0.0.1:0" }],
        upstreams: { main: { endpoints: [upstream.url] } },
        routes: [{ to: "main" }],
        ...config,
      },
    });
    cleanups.push(() => manifold.stop());
    return manifold;
  }

  const health = (transport: Transport) => createClient(Health, transport);
  const failure = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: ConnectError) => [error.code, error.rawMessage],
    );

  check("E5: 50 unary calls finish, 5 streams end with unavailable at the bound, exit 0", async () => {
    const manifold = await stage({ drain_timeout: "1500ms", health_service: true });
    const peer = await connectPeer(manifold.port);
    const other = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    const body = Buffer.alloc(16 << 10, 7);
    const calls = Array.from({ length: 50 }, () => startCall(peer, holdPath, { messages: [body] }));
    const streams = Array.from({ length: 5 }, () => startStream(other));
    await until("all of them upstream", () => held.length === 50 && streams.every(({ bytes }) => bytes === 1));
    const watch = health(createGrpcTransport({ baseUrl: `http://127.0.0.1:${manifold.port}` }));
    const words = watch.watch({})[Symbol.asyncIterator]();
    expect((await words.next()).value?.status).toBe(Status.SERVING);
    const last = words.next();
    const toldAt = performance.now();
    const ended = manifold.stop(20_000);
    const boundMs = Promise.all(streams.map(({ finished }) => finished)).then(() => performance.now() - toldAt);
    expect((await last).value?.status).toBe(Status.NOT_SERVING);
    expect(await failure(words.next())).toEqual([Code.Unavailable, "server is shutting down"]);
    await until("GOAWAYs", () => peer.goaways.length > 0 && other.goaways.length > 0);
    expect([peer.goaways[0]?.code, other.goaways[0]?.code]).toEqual([0, 0]);
    await expect(connectPeer(manifold.port)).rejects.toThrow();
    for (const stream of held) echo(stream);
    await Promise.all([...calls, ...streams].map(({ finished }) => finished));
    expect(calls.map((stream) => [outcome(stream).status, stream.bytes])).toEqual(
      calls.map(() => [0, body.length + 5]),
    );
    expect(streams.map((stream) => outcome(stream).status)).toEqual(streams.map(() => Code.Unavailable));
    figure(`50 of 50 calls finished, streams ended after ${(await boundMs).toFixed(0)} ms of 1500`);
    expect(await boundMs).toBeGreaterThan(1_400);
    expect(await boundMs).toBeLessThan(4_000); // a busy machine
    expect(await ended).toBe(0);
  });

  check(
    "drain_delay: calls are taken while the health service says NOT_SERVING; then HTTP/1.1 is told to close",
    async () => {
      const manifold = await stage({ drain_delay: "1500ms", health_service: true });
      const baseUrl = `http://127.0.0.1:${manifold.port}`;
      const asked = health(createConnectTransport({ baseUrl, httpVersion: "2" }));
      expect((await asked.check({})).status).toBe(Status.SERVING);
      const idle = connectTcp(manifold.port, "127.0.0.1");
      const busy = connectTcp(manifold.port, "127.0.0.1");
      for (const socket of [idle, busy]) cleanups.push(() => socket.destroy());
      let text = "";
      busy.setEncoding("latin1").on("data", (chunk: string) => {
        text += chunk;
      });
      idle.resume().write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
      const type = "Content-Type: application/grpc-web+proto";
      busy.write(`POST ${holdPath} HTTP/1.1\r\nHost: a\r\n${type}\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0`);
      await until("the call upstream", () => held.length === 1);
      const ended = manifold.stop(20_000);
      await until("the word", () => manifold.program.stdout().includes("finishing open calls"));
      expect((await asked.check({})).status).toBe(Status.NOT_SERVING);
      expect(await failure(asked.check({ service: "a.B" }))).toEqual([Code.NotFound, 'unknown service "a.B"']);
      const late = await connectPeer(manifold.port); // a new connection
      expect(outcomeOf(await finished(startCall(late, "/manifold.test.Drain/Any")))).toBe(0);
      await until("a GOAWAY", () => late.goaways.length > 0);
      await until("the idle HTTP/1.1 connection to end", () => idle.closed);
      echo(held[0]!);
      await until("the busy one to end with its answer", () => busy.closed);
      expect(text.toLowerCase()).toMatch(/^http\/1\.1 200 ok\r\n(.*\r\n)*connection: close\r\n/);
      expect(text).toContain("grpc-status:");
      expect(await ended).toBe(0);
    },
  );

  check("SIGTERM twice within drain_delay ends at once", async () => {
    const manifold = await stage({ drain_delay: "60s" });
    manifold.program.process.kill("SIGTERM");
    await until("the word", () => manifold.program.stdout().includes("finishing open calls"));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await manifold.stop(5_000)).toBe(1);
  });

  check(
    "the health service answers in every protocol, where it is asked for; else the upstream's own is not shadowed",
    async () => {
      const manifold = await stage({ health_service: true });
      const baseUrl = `http://127.0.0.1:${manifold.port}`;
      for (const transport of [
        createGrpcTransport({ baseUrl }),
        createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
        createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      ]) {
        const client = health(transport);
        expect((await client.check({})).status).toBe(Status.SERVING);
        expect((await failure(client.check({ service: "a.B" })))?.[0]).toBe(Code.NotFound);
        for await (const { status } of client.watch({ service: "a.B" })) {
          expect(status).toBe(Status.SERVICE_UNKNOWN);
          break;
        }
      }
      const other = await stage({});
      const through = health(createGrpcTransport({ baseUrl: `http://127.0.0.1:${other.port}` }));
      expect(await failure(through.check({}))).toEqual([Code.Aborted, "the upstream's own"]);
    },
  );
});

/** A stream whose first byte comes back. */
function startStream(peer: Awaited<ReturnType<typeof connectPeer>>): PeerStream {
  const stream = peer.open([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", openPath],
    [":authority", "test.example"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ]);
  stream.sendData(Buffer.from("a"));
  return stream;
}

async function finished(stream: PeerStream): Promise<PeerStream> {
  await stream.finished;
  return stream;
}

const outcomeOf = (stream: PeerStream) => outcome(stream).status;
