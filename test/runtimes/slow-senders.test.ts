/**
 * Who sends too slowly is let go: row D1 of the table of faults, in times that are 10 to 60 times shorter than the defaults, which
 * test/config/defaults.test.ts has. A plain TCP proxy keeps them all.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { type Caller, type Started, sendingCallers, startCaller } from "../support/callers.ts";
import { envelope } from "../support/grpc.ts";
import { type SlowHead, sendSlowHead, slowHeads } from "../support/slow-heads.ts";
import { sleep, until } from "../support/until.ts";
import { type Bridges, pathTo, setBridges } from "./bridges.ts";
import { check, onRuntime } from "./suite.ts";

const path = pathTo("grpc");
const prefaceMs = 1_000;
const headerMs = 1_500;
const bodyMs = 1_500;
const keepAliveMs = 1_500;
const streamMs = 2_000;
/** A byte at this pace is far from any of these limits. */
const trickleMs = 150;

const limits = {
  preface_timeout: `${prefaceMs}ms`,
  header_block_timeout: `${headerMs}ms`,
  stream_idle_timeout: `${streamMs}ms`,
  http1: { body_idle_timeout: `${bodyMs}ms`, keep_alive_timeout: `${keepAliveMs}ms` },
};

const afterMs: Record<SlowHead["limit"], number> = { preface: prefaceMs, header: headerMs, keepAlive: keepAliveMs };
const heads = slowHeads(path);

onRuntime("slow senders", () => {
  let bridges: Bridges;

  beforeAll(async () => {
    bridges = await setBridges({ listener: { limits } });
  });
  afterAll(() => bridges?.close());

  check("D1 prefaces and heads that don't come in time end their connections, without an upstream call", async () => {
    const { calls } = bridges.upstreams.grpc;
    await bridges.stage.survive(async () => {
      calls.length = 0;
      await Promise.all(heads.map(expectEnd));
    });
    const behindGood = heads.filter(({ answered }) => answered).length;
    expect(calls.filter((call) => call.path === path).length).toBe(behindGood);
  });

  async function expectEnd(head: SlowHead): Promise<void> {
    const { what, limit, status } = head;
    const startedAt = performance.now();
    const call = sendSlowHead(bridges.stage.manifold.port, head, trickleMs);
    await until(`the end of the connection that sent ${what}`, () => call.closed);
    // half a second less: deadlines of seconds are looked at twice a second
    expect(performance.now() - startedAt, what).toBeGreaterThan(Math.min(afterMs[limit], headerMs) - 500);
    const isHttp1 = call.text.startsWith("HTTP/");
    expect([what, isHttp1 ? call.field(":status") : undefined]).toEqual([what, status]);
  }

  check(
    "D1 bodies that stop, or come a byte at each last moment, end their calls, and slow ones that come do not",
    async () => {
      const { calls } = bridges.upstreams.grpc;
      await bridges.stage.survive(async () => {
        calls.length = 0;
        // on HTTP/2 it is the stream that may not be idle: a byte keeps it
        const http1 = sendingCallers.filter(({ http }) => http === "1.1");
        const anyLength = sendingCallers.filter(({ form }) => form !== "connect unary" && form !== "grpc-web-text");
        await Promise.all([
          ...sendingCallers.map((caller) => stop(caller)),
          ...http1.map((caller) => trickle(caller)),
          ...anyLength.map((caller) => goOn(caller)),
        ]);
        expect(calls.length).toBe(sendingCallers.length + http1.length + anyLength.length);
        const ended = calls.filter((call) => call.path !== goOnPath);
        await until("every call to be over at the upstream", () => ended.every(({ over }) => over));
      });
    },
  );

  const half = envelope(Buffer.alloc(1_000)).subarray(0, 500);
  const goOnPath = pathTo("grpc", "GoOn");

  async function stop(caller: Caller): Promise<void> {
    const started = await startCaller(caller, bridges.stage, { path, body: half, end: false });
    await untilOver(started);
  }

  async function trickle(caller: Caller): Promise<void> {
    const started = await startCaller(caller, bridges.stage, { path, body: half, end: false });
    for (let at = 0; at < 5 && !started.response.done; at++) {
      await sleep(bodyMs);
      started.send(Buffer.alloc(1));
    }
    expect(started.response.done, `${caller.name}, to which bytes came all the time`).toBe(true);
    await untilOver(started);
  }

  async function goOn(caller: Caller): Promise<void> {
    const body = envelope(Buffer.alloc(16, 1));
    const started = await startCaller(caller, bridges.stage, { path: goOnPath, body: body.subarray(0, 5), end: false });
    for (let at = 5; at < body.length; at++) {
      await sleep(trickleMs);
      started.send(body.subarray(at, at + 1), { end: at === body.length - 1 });
    }
    await started.response.finished;
    expect([caller.name, started.outcome().status]).toEqual([caller.name, 0]);
    started.cancel();
  }

  async function untilOver(started: Started): Promise<void> {
    await until("the call to be over", () => started.response.done);
    expect(started.outcome().status).not.toBe(0);
    started.cancel();
  }
});
