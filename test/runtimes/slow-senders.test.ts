/**
 * Who sends too slowly is let go: row D1 of the table of faults, in times that are 10 to 60 times shorter than the defaults, which
 * test/config/defaults.test.ts has. A plain TCP proxy keeps them all.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { type Caller, protocolFields, type Started, sendingCallers, startCaller } from "../support/callers.ts";
import { Flag, FrameType, frame, preface, settingsFrame } from "../support/frames.ts";
import { envelope, requestFields } from "../support/grpc.ts";
import { encodeBlock } from "../support/hpack.ts";
import { Http1Call, http1Request } from "../support/http1-call.ts";
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

const headers = frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, encodeBlock(requestFields(path)));
const continued = frame(FrameType.headers, 0, 1, encodeBlock(requestFields(path)));
const hello = Buffer.concat([preface, settingsFrame([])]);
const good = http1Request(`POST ${path}`, protocolFields("connect unary", {}), "hello");
const head = http1Request(`POST ${path}`, protocolFields("connect unary", {})).subarray(0, -2);

/** What is sent at once, what byte by byte behind it, after how many milliseconds it is over, and with which answer. */
type Case = [what: string, first: Buffer, slow: Buffer, afterMs: number, status?: string];

const cases: Case[] = [
  ["nothing", Buffer.alloc(0), Buffer.alloc(0), prefaceMs],
  ["half a preface", preface.subarray(0, 12), Buffer.alloc(0), prefaceMs],
  ["a preface, a byte at a time", Buffer.alloc(0), preface, prefaceMs],
  ["a preface without SETTINGS", preface, Buffer.alloc(0), prefaceMs],
  ["half of a frame of HEADERS", Buffer.concat([hello, headers.subarray(0, 20)]), Buffer.alloc(0), headerMs],
  ["HEADERS, a byte at a time", hello, headers, headerMs],
  ["HEADERS without their CONTINUATION", Buffer.concat([hello, continued]), Buffer.alloc(0), headerMs],
  ["half a request line", Buffer.from("POST /a"), Buffer.alloc(0), prefaceMs],
  ["a request line, a byte at a time", Buffer.alloc(0), head, prefaceMs],
  ["half a header section", head, Buffer.alloc(0), headerMs, "408"],
  ["a header section, a byte at a time", head, Buffer.from("X-Slow: 12345678901234567890"), headerMs, "408"],
  ["a second header section, a byte at a time", good, head, headerMs, "408"],
  ["nothing behind a first request", good, Buffer.alloc(0), keepAliveMs, "200"],
];

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
      await Promise.all(cases.map(expectEnd));
    });
    const behindGood = cases.filter(([, first]) => first === good).length;
    expect(calls.filter((call) => call.path === path).length).toBe(behindGood);
  });

  async function expectEnd([what, first, slow, afterMs, status]: Case): Promise<void> {
    const call = new Http1Call(bridges.stage.manifold.port, first);
    const startedAt = performance.now();
    // it may be HTTP/2's GOAWAY that comes
    for (let at = 0; !call.closed && at < slow.length; at++) {
      call.send(slow.subarray(at, at + 1));
      await sleep(trickleMs);
    }
    await until(`the end of the connection that sent ${what}`, () => call.closed);
    // half a second less: deadlines of seconds are looked at twice a second
    expect(performance.now() - startedAt, what).toBeGreaterThan(Math.min(afterMs, headerMs) - 500);
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
