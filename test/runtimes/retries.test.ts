/** Retries and hedging as a file's `retry` asks for them: what is tried again and what isn't, in whose time, and within which limit. */
import { afterEach, expect } from "vitest";
import { call, connectPeer, envelope, startCall } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, metricsOf, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import {
  echo,
  okHeaders,
  reply,
  type StreamHandler,
  startUpstream,
  trailersOnly,
  type Upstream,
} from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Retries/Get";

/** Answers with a message, and with a status that only the trailers tell. */
const late = (status: number, message = Buffer.from("part")) =>
  reply({ body: envelope(message), trailers: [["grpc-status", String(status)]] });

onRuntime("retries", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  interface Stage {
    readonly manifold: Manifold;
    readonly peer: H2Peer;
    readonly upstreams: readonly Upstream[];
    /** Every try that has come, in order. */
    readonly tries: PeerStream[];
  }

  /** Two endpoints that do the same: the n-th try of all is answered by the n-th handler, and those behind by the last. */
  async function stage(retry: object, handlers: readonly StreamHandler[], main: object = {}): Promise<Stage> {
    const tries: PeerStream[] = [];
    const next: StreamHandler = (stream, connection) => {
      tries.push(stream);
      handlers[Math.min(tries.length, handlers.length) - 1]!(stream, connection);
    };
    const upstreams = await Promise.all([0, 1].map(() => startUpstream({ handlers: { "*": next } })));
    cleanups.push(() => Promise.all(upstreams.map((upstream) => upstream.close())));
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { endpoints: upstreams.map(({ url }) => url), ...main } },
      routes: [{ to: "main", retry: { max_backoff: "0s", ...retry } }],
      admin: { address: "127.0.0.1:0" },
    };
    const manifold = await startManifold({ runtime, config, args: ["--access-log", "json"] });
    cleanups.push(() => manifold.stop());
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    return { manifold, peer, upstreams, tries };
  }

  const on = { on: ["unavailable"] };

  check("a status of the list is tried again at another endpoint, with the whole request, and no other", async () => {
    const { peer, upstreams, tries } = await stage(on, [trailersOnly(14), echo, trailersOnly(5)]);
    const body = Buffer.alloc(20_000, 7);
    const result = await call(peer, path, { messages: [body] });
    expect([result.status, result.messages?.[0]?.bytes.equals(body)]).toEqual([0, true]);
    expect(upstreams.map(({ calls }) => calls.length)).toEqual([1, 1]);
    expect(tries.map((one) => one.field("grpc-previous-rpc-attempts"))).toEqual([undefined, "1"]);
    expect((await call(peer, path)).status).toBe(5);
    expect(tries).toHaveLength(3);
  });

  check("the last answer is the caller's, and a pushback below 0 or in no number ends it", async () => {
    const pushback = (value: string) => trailersOnly(14, [["grpc-retry-pushback-ms", value]]);
    const { peer, tries } = await stage({ ...on, attempts: 2 }, [
      ...[1, 2, 3].map((at) => trailersOnly(14, [["grpc-message", `no ${at}`]])),
      pushback("-1"),
      pushback("soon"),
      pushback("300"),
      echo,
    ]);
    expect((await call(peer, path)).message).toBe("no 3");
    expect((await call(peer, path)).status).toBe(14);
    expect((await call(peer, path)).status).toBe(14);
    expect(tries).toHaveLength(5);
    const begun = performance.now();
    expect((await call(peer, path)).status).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(290);
    expect(tries).toHaveLength(7);
  });

  check("hold_reply: the true status decides, also of replies beyond a window; a longer one passes", async () => {
    const large = Buffer.alloc(700_000, 1);
    const whole = (status: number) => late(status, large);
    const { peer, tries } = await stage({ ...on, hold_reply: "1MiB" }, [late(14), late(0), whole(14), whole(0)]);
    const small = await call(peer, path);
    expect([small.status, small.messages?.[0]?.bytes.toString(), tries.length]).toEqual([0, "part", 2]);
    const result = await call(peer, path);
    expect([result.status, result.messages?.[0]?.bytes.equals(large), tries.length]).toEqual([0, true, 4]);

    const short = await stage({ ...on, hold_reply: "1KiB" }, [whole(14)]);
    const passed = await call(short.peer, path);
    expect([passed.status, passed.messages?.[0]?.bytes.length, short.tries.length]).toEqual([14, 700_000, 1]);
    const unheld = await stage(on, [late(14)]);
    expect([(await call(unheld.peer, path)).status, unheld.tries.length]).toEqual([14, 1]);
  });

  check("a request longer than keep_request is sent once", async () => {
    const refuseAtEnd: StreamHandler = (stream) => {
      stream.onMore = () => {
        if (stream.ended) trailersOnly(14)(stream, undefined as never);
      };
      stream.onMore();
    };
    const { peer, tries } = await stage({ ...on, keep_request: "1KiB" }, [refuseAtEnd]);
    expect((await call(peer, path, { messages: [Buffer.alloc(2_000)] })).status).toBe(14);
    expect(tries).toHaveLength(1);
    expect((await call(peer, path, { messages: [Buffer.alloc(500)] })).status).toBe(14);
    expect(tries).toHaveLength(3);
  });

  check(
    "per_try_timeout ends a try; the call's own time is for all of them, and each is told what is left",
    async () => {
      const silent: StreamHandler = () => {};
      const { peer, tries } = await stage({ per_try_timeout: "150ms", attempts: 3 }, [silent, echo, silent]);
      expect((await call(peer, path, { headers: [["grpc-timeout", "5S"]] })).status).toBe(0);
      await until("the first to be told", () => tries[0]!.reset === 8);
      const begun = performance.now();
      expect((await call(peer, path, { headers: [["grpc-timeout", "400m"]] })).status).toBe(4);
      expect(performance.now() - begun).toBeGreaterThan(390);
      const told = tries.slice(2).map((one) => leftMs(one.field("grpc-timeout")!));
      expect(told).toHaveLength(3);
      expect(told[2]).toBeLessThanOrEqual(100);
      await until("all to be told", () => tries.slice(2).every(({ reset }) => reset === 8));
    },
  );

  check(
    "hedge_delay: another try begins beside a slow one, the first good reply counts, the other is cancelled",
    async () => {
      const { peer, tries } = await stage({ ...on, hedge_delay: "50ms" }, [() => {}, echo]);
      const result = await call(peer, path);
      expect([result.status, tries.length]).toEqual([0, 2]);
      await until("the slow one to be cancelled", () => tries[0]!.reset === 8);
      const { peer: other, tries: hedged } = await stage({ ...on, hedge_delay: "50ms", attempts: 2 }, [() => {}]);
      const stream = startCall(other, path);
      await until("three tries", () => hedged.length === 3);
      stream.sendReset(8);
      await until("all to be cancelled", () => hedged.every(({ reset }) => reset === 8));
      await sleep(120);
      expect(hedged).toHaveLength(3);
    },
  );

  check("the limit `retries` bounds tries after the first, of which a stream that has begun is none", async () => {
    const second: StreamHandler = (stream, connection) => {
      if (stream.field("grpc-previous-rpc-attempts") === "1") stream.sendHeaders(okHeaders);
      else trailersOnly(14)(stream, connection);
    };
    const { peer, tries } = await stage(on, [second], { limits: { retries: 3 } });
    const streams = [0, 1, 2].map(() => startCall(peer, path));
    await until("three that are tried again", () => tries.length === 6);
    await until("their headers", () => streams.every((stream) => stream.field(":status") === "200"));
    expect(streams.some(({ done }) => done)).toBe(false);
    const again = startCall(peer, path);
    await until("another that is tried again", () => tries.length === 8);
    again.sendReset(8);
    for (const stream of streams) stream.sendReset(8);
    await until("all to be told", () => tries.filter(({ reset }) => reset === 8).length === 4);
  });

  check("the log names the limit and the reason of a call that may be tried again, too", async () => {
    const { manifold, peer, tries } = await stage(on, [() => {}], { limits: { requests: 1 } });
    const held = startCall(peer, path);
    await until("a call upstream", () => tries.length === 1);
    expect((await call(peer, path)).status).toBe(14);
    await until("the log", () =>
      manifold.program.stdout().includes('limit requests of upstream \\"main\\" is reached: 1'),
    );
    expect(await metricsOf(manifold)).toContain('manifold_limit_rejections_total{limit="requests"} 1\n');
    held.sendReset(8);
  });
});

/** Milliseconds of a grpc-timeout. */
function leftMs(value: string): number {
  const perUnit: Record<string, number> = { S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
  return Number(value.slice(0, -1)) * perUnit[value.at(-1)!]!;
}
