/** Limits of listeners, connections and messages: each turns away what is beyond it, is counted by its name, and is named in the log. */
import { connect as connectTcp } from "node:net";
import { afterEach, expect } from "vitest";
import { call, connectPeer, envelope, startCall } from "../support/grpc.ts";
import { type Manifold, metricsOf, said, startManifold } from "../support/manifold.ts";
import { until } from "../support/until.ts";
import { okHeaders, startUpstream, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Limits/Get";
const largePath = "/manifold.test.Limits/Large";
const silentPath = "/manifold.test.Limits/Silent";

/** A message of which 64 MiB will follow, it says. */
const large = Buffer.from([0, 4, 0, 0, 0]);

onRuntime("limits", () => {
  const cleanups: (() => unknown)[] = [];
  let upstream: Upstream;
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function stage(ofListener: object, ofUpstream: object = {}): Promise<Manifold> {
    upstream = await startUpstream({
      handlers: {
        [silentPath]: () => {},
        [largePath](stream) {
          stream.sendHeaders(okHeaders);
          stream.sendData(large);
        },
      },
    });
    cleanups.push(() => upstream.close());
    const config = {
      listeners: [{ address: "127.0.0.1:0", limits: ofListener }],
      upstreams: { main: { endpoints: [upstream.url], limits: ofUpstream } },
      routes: [{ to: "main" }],
      admin: { address: "127.0.0.1:0" },
    };
    const manifold = await startManifold({ runtime, config, args: ["--access-log", "json"] });
    cleanups.push(() => manifold.stop());
    return manifold;
  }

  async function connect(manifold: Manifold) {
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    return peer;
  }

  /** What each limit has turned away. */
  async function rejections(manifold: Manifold): Promise<Record<string, number>> {
    const found = (await metricsOf(manifold)).matchAll(/^manifold_limit_rejections_total\{limit="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...found].map(([, limit, count]) => [limit!, Number(count)]));
  }

  check("connections of a listener: one more is closed at once, and taken when another has gone", async () => {
    const manifold = await stage({ connections: 2 });
    const peers = [await connect(manifold), await connect(manifold)];
    for (const peer of peers) expect((await call(peer, path)).status).toBe(0);
    for (let more = 0; more < 3; more++) {
      const socket = connectTcp({ host: "127.0.0.1", port: manifold.port });
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect((await call(peers[0]!, path)).status).toBe(0);
    expect(await rejections(manifold)).toEqual({ connections: 3 });
    await until("the log", () => said(manifold, '"limit":"connections"') === 1); // once for all of them
    peers[1]!.socket.destroy();
    await until("room for another", async () => {
      const peer = await connect(manifold);
      return (await call(peer, path, { timeoutMs: 1_000 })).status === 0;
    });
  });

  check("streams, header lists and idle times of a listener", async () => {
    const manifold = await stage({
      max_concurrent_streams: 1,
      max_header_list_size: "2KiB",
      stream_idle_timeout: "1s",
    });
    const peer = await connect(manifold);
    const idle = startCall(peer, silentPath, { open: true });
    await until("a call upstream", () => upstream.calls.length === 1);
    expect((await call(peer, path)).stream.reset).toBe(7); // REFUSED_STREAM
    await idle.finished;
    const headers = [["x-long", "a".repeat(3_000)]] as const;
    expect((await call(peer, path, { headers })).stream.reset).toBe(11); // ENHANCE_YOUR_CALM
    const response = await fetch(`http://127.0.0.1:${manifold.port}/a.B/C`, { headers: Object.fromEntries(headers) });
    expect(response.status).toBe(431);
    expect((await call(peer, path)).status).toBe(0);
    expect(await rejections(manifold)).toEqual({
      max_concurrent_streams: 1,
      max_header_list_size: 2,
      stream_idle_timeout: 1,
    });
    for (const limit of ["max_concurrent_streams", "max_header_list_size"]) {
      await until(
        `the log of ${limit}`,
        () => said(manifold, `"limit":"${limit}","msg":"request refused by a limit"`) === 1,
      );
    }
  });

  check("messages of a listener, whatever the protocol and the upstream", async () => {
    const manifold = await stage({ max_request_message: "1KiB", max_response_message: "2KiB" });
    const peer = await connect(manifold);
    const exactly = envelope(Buffer.alloc(1_024));
    expect((await call(peer, path, { body: exactly })).status).toBe(0);
    expect((await call(peer, path, { body: Buffer.concat([exactly, large]) })).status).toBe(8);
    expect((await call(peer, largePath)).status).toBe(8);
    const url = `http://127.0.0.1:${manifold.port}${path}`;
    const headers = { "content-type": "application/proto" };
    const response = await fetch(url, { method: "POST", headers, body: Buffer.alloc(1_025) });
    expect([response.status, await response.json()]).toEqual([
      429,
      { code: "resource_exhausted", message: "message is larger than allowed" },
    ]);
    expect((await fetch(url, { method: "POST", headers, body: Buffer.alloc(1_024) })).status).toBe(200);
    expect(await rejections(manifold)).toEqual({ max_request_message: 2, max_response_message: 1 });
    await until("the log", () => said(manifold, '"detail":"message of more than max_request_message') === 2);
  });

  check("messages and idle times of an upstream", async () => {
    const limits = { max_request_message: "1KiB", max_response_message: "2KiB", stream_idle_timeout: "1s" };
    const manifold = await stage({}, limits);
    const peer = await connect(manifold);
    expect((await call(peer, path, { body: large })).status).toBe(8);
    expect((await call(peer, largePath)).status).toBe(8);
    expect((await call(peer, silentPath)).status).toBe(14);
    expect(await rejections(manifold)).toEqual({
      max_request_message: 1,
      max_response_message: 1,
      stream_idle_timeout: 1,
    });
    await until("the log", () => said(manifold, '"msg":"call"') === 3);
    for (const limit of ["max_request_message", "max_response_message"]) {
      await until(`the log of ${limit}`, () => said(manifold, `"detail":"message of more than ${limit}`) === 1);
    }
  });

  check("calls of an upstream", async () => {
    const manifold = await stage({}, { requests: 1 });
    const peer = await connect(manifold);
    const open = startCall(peer, silentPath, { open: true });
    await until("a call upstream", () => upstream.calls.length === 1);
    expect((await call(peer, path)).status).toBe(14);
    const text = await metricsOf(manifold);
    expect(text).toContain('manifold_upstream_rejections_total{upstream="main",limit="requests"} 1\n');
    expect(text).toContain('manifold_upstream_rejections_total{upstream="main",limit="pending"} 0\n');
    expect(await rejections(manifold)).toEqual({ requests: 1 });
    open.sendReset(8);
  });
});
