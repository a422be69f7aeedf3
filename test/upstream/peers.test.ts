/** Upstreams against real HTTP/2 servers: what they limit, and what they do when they go. */
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { StreamListener } from "../../src/http2/api.ts";
import { ErrorCode } from "../../src/http2/errors.ts";
import { Field } from "../../src/http2/field.ts";
import type { UpstreamConnection } from "../../src/upstream/connection.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../../src/upstream/upstream.ts";
import { fakeCall } from "./fake-dial.ts";

const call = fakeCall();
const request = [
  new Field(":method", "POST"),
  new Field(":scheme", "http"),
  new Field(":path", call.path),
  new Field(":authority", call.authority),
];
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Peer {
  readonly url: string;
  readonly server: Http2Server;
  readonly sessions: Set<ServerHttp2Session>;
}

/** A server that answers 200 after some milliseconds, or never. */
async function startPeer(options: { maxConcurrentStreams?: number; answerMs?: number } = {}): Promise<Peer> {
  const { maxConcurrentStreams = 100, answerMs } = options;
  const server = createServer({ settings: { maxConcurrentStreams } });
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    if (answerMs === undefined) return;
    setTimeout(() => {
      if (!stream.destroyed) stream.respond({ ":status": 200 }, { endStream: true });
    }, answerMs);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, sessions };
}

function upstreamOf(peers: Peer[], options: Partial<UpstreamOptions> = {}): Upstream {
  const upstream = createUpstream({ name: "peers", endpoints: peers.map(({ url }) => url), ...options });
  closers.push(() => upstream.close());
  return upstream;
}

/** What a stream came to: "answered", "reset 7 unprocessed", or why no connection was to be had. */
type Outcome = { result: string; address?: string };

function makeCall(upstream: Upstream): Promise<Outcome> {
  return new Promise((resolve) => {
    upstream.acquire(call, {
      onConnection(connection, { address }) {
        const listener: StreamListener = {
          onHeaders: () => resolve({ result: "answered", address }),
          onData() {},
          onTrailers() {},
          onSent() {},
          onReset: (code, cause) => resolve({ result: `reset ${code} ${cause}`, address }),
        };
        connection.request(request, true, listener);
      },
      onUnavailable: (error) => resolve({ result: error.message }),
    });
  });
}

function count(outcomes: Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { result } of outcomes) counts[result] = (counts[result] ?? 0) + 1;
  return counts;
}

describe("upstreams and their peers", () => {
  it("lose none of 100 calls to a peer that allows one stream, nor exceed its limit (E9)", async () => {
    const peer = await startPeer({ maxConcurrentStreams: 1, answerMs: 1 });
    const upstream = upstreamOf([peer]);
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => makeCall(upstream)));
    expect(count(outcomes)).toEqual({ answered: 100 });
    expect(peer.sessions.size).toBeLessThanOrEqual(4);
  });

  it("cancel 3,000 calls without tripping the peer's reset limit (A3)", async () => {
    const peer = await startPeer();
    const lines: { message: string; reason?: string }[] = [];
    const keep = (fields: object, message: string) => lines.push({ ...fields, message });
    const log = { level: "debug", debug: keep, info: keep, warn: keep, error: keep };
    const upstream = upstreamOf([peer], { log });
    const used = new Set<UpstreamConnection>();
    for (let at = 0; at < 3_000; at++) {
      await new Promise<void>((resolve, reject) => {
        upstream.acquire(call, {
          onConnection(connection) {
            used.add(connection);
            const nothing = { onHeaders() {}, onData() {}, onTrailers() {}, onSent() {}, onReset() {} };
            connection.request(request, true, nothing).reset(ErrorCode.cancel);
            // A turn now and then, so that the peer sees streams begin and end.
            if (at % 20 === 0) setImmediate(resolve);
            else resolve();
          },
          onUnavailable: reject,
        });
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(lines.filter(({ message }) => message === "connection gone")).toEqual([]);
    expect(lines.filter(({ message }) => message === "connection rotated").length).toBeGreaterThanOrEqual(3);
    expect(Math.max(...[...used].map(({ resetsSent }) => resetsSent))).toBeLessThan(1_000);
  });

  it("find a new connection after GOAWAY, and finish what was open on the old one (E4)", async () => {
    const peer = await startPeer({ answerMs: 30 });
    const upstream = upstreamOf([peer]);
    const before = Array.from({ length: 10 }, () => makeCall(upstream));
    await new Promise((resolve) => peer.server.once("stream", resolve));
    for (const session of peer.sessions) session.close();
    await new Promise((resolve) => setTimeout(resolve, 10));
    const after = Array.from({ length: 10 }, () => makeCall(upstream));
    const outcomes = await Promise.all([...before, ...after]);
    const { answered = 0, ...others } = count(outcomes);
    // Streams that crossed with the GOAWAY may be unprocessed; that is told, so that they can be tried again.
    expect(Object.keys(others).filter((result) => !result.endsWith("unprocessed"))).toEqual([]);
    expect(count(await Promise.all(after))).toEqual({ answered: 10 });
    expect(answered).toBeGreaterThanOrEqual(10);
  });

  it("go to another endpoint when one is gone (E2)", async () => {
    const [first, second] = await Promise.all([startPeer({ answerMs: 0 }), startPeer({ answerMs: 0 })]);
    const upstream = upstreamOf([first!, second!]);
    const warm = await Promise.all(Array.from({ length: 10 }, () => makeCall(upstream)));
    expect(new Set(warm.map(({ address }) => address)).size).toBe(2);
    first!.server.close();
    for (const session of first!.sessions) session.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => makeCall(upstream)));
    expect(count(outcomes)).toEqual({ answered: 20 });
    expect(new Set(outcomes.map(({ address }) => `http://${address}`))).toEqual(new Set([second!.url]));
  });
});
