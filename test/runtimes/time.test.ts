/** Deadlines and cancellation: rows F1 and F2 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { call, envelope, requestFields } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { watchLag } from "../support/lag.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { echo, startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const silentPath = "/manifold.test.Time/Silent";
const echoPath = "/manifold.test.Time/Echo";
const phasesPath = "/manifold.test.Time/Phases";
const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const cancelCode = 8;

onRuntime("time", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({
      handlers: { [silentPath]: () => {}, [echoPath]: echo, [phasesPath]: answerInPhases },
    });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("F1 200m and a silent upstream: deadline_exceeded at 200 + 50 ms, upstream reset within 50 ms", async () => {
    await stage.survive(async () => {
      const peer = await stage.connect();
      const tookMs: number[] = [];
      const resetMs: number[] = [];
      for (let at = 0; at < 11; at++) {
        const startedAt = performance.now();
        const result = await call(peer, silentPath, { headers: [["grpc-timeout", "200m"]] });
        const endedAt = performance.now();
        const seen = upstream.calls.at(-1)!;
        await until("the upstream's stream to be reset", () => seen.reset !== undefined);
        expect(result.status).toBe(4);
        expect(seen.reset).toBe(cancelCode);
        expect(remainingMs(seen)).toBeLessThanOrEqual(200);
        expect(remainingMs(seen)).toBeGreaterThan(100);
        tookMs.push(endedAt - startedAt);
        resetMs.push(seen.resetAt - endedAt);
      }
      expect(Math.min(...tookMs)).toBeGreaterThanOrEqual(199);
      figure(
        `ended after ${median(tookMs).toFixed(0)} ms of 200, upstream told ${median(resetMs).toFixed(0)} ms later`,
      );
      // the median: a busy machine may delay one of them, not most
      expect(median(tookMs)).toBeLessThan(250);
      expect(median(resetMs)).toBeLessThan(50);
    });
  });

  check("F1 a deadline ends a call whose response has begun", async () => {
    upstream.handle(silentPath, (stream) => {
      stream.sendHeaders(okHeaders);
      stream.sendData(envelope(Buffer.from("first")));
    });
    const peer = await stage.connect();
    const result = await call(peer, silentPath, { headers: [["grpc-timeout", "200m"]] });
    expect(result.status).toBe(4);
    expect(result.messages).toHaveLength(1);
    upstream.handle(silentPath, () => {});
  });

  for (const bad of ["999999999S", "-1", "-1m", "5", "m", "1.5S", "", "10s"]) {
    check(`F1 grpc-timeout ${JSON.stringify(bad)} is invalid_argument, without an upstream call`, async () => {
      const calls = upstream.calls.length;
      const peer = await stage.connect();
      const result = await call(peer, echoPath, { headers: [["grpc-timeout", bad]] });
      expect(result.status).toBe(3);
      expect(upstream.calls.length).toBe(calls);
    });
  }

  for (const long of ["99999999S", "99999999H", "2147484S"]) {
    check(`F1 grpc-timeout ${long}, beyond what timers take, does not fire at once`, async () => {
      upstream.handle(phasesPath, async (stream) => {
        await stream.finished;
        await sleep(300);
        echo(stream);
      });
      const peer = await stage.connect();
      const result = await call(peer, phasesPath, { headers: [["grpc-timeout", long]] });
      expect(result.status).toBe(0);
      upstream.handle(phasesPath, answerInPhases);
    });
  }

  check(
    "F2 1,000 calls cancelled at random phases over 20 connections: the upstream sees each one's RST(8)",
    async () => {
      await stage.survive(async () => {
        // Each of three tries must see every reset; how soon is judged by the best, for a busy machine delays them all.
        const beyond: number[] = [];
        for (let round = 0; round < 3 && !beyond.some((ms) => ms < 0); round++) beyond.push(await cancelThousand());
        expect(Math.min(...beyond)).toBeLessThan(0);
      });
    },
  );

  /** Milliseconds by which the 99th percentile of the resets came later than 50 ms and this process's own lag. */
  async function cancelThousand(): Promise<number> {
    upstream.calls.length = 0;
    const lag = watchLag();
    const sentAt = new Map<string, number>();
    const peers = await Promise.all(Array.from({ length: 20 }, () => stage.connect()));
    await Promise.all(
      peers.map(async (peer, connection) => {
        for (let at = 0; at < 50; at++) {
          const id = `${connection}-${at}`;
          const stream = peer.open(requestFields(phasesPath, [["x-id", id]]));
          await untilPhase(stream, (connection + at) % 5);
          expect(stream.done, `call ${id} ended before it was cancelled`).toBe(false);
          sentAt.set(id, performance.now());
          stream.sendReset(cancelCode);
        }
        expect(peer.closed).toBe(false);
      }),
    );
    await until("every upstream stream to be over", () => upstream.calls.every(({ done }) => done));
    const late = lag();
    expect(upstream.calls.map(({ reset }) => reset)).toEqual(upstream.calls.map(() => cancelCode));
    // a call cancelled at once may be over before it is sent on: one in five is
    expect(upstream.calls.length).toBeGreaterThanOrEqual(800);
    const delays = upstream.calls.map((seen) => seen.resetAt - sentAt.get(seen.field("x-id")!)!).sort((a, b) => a - b);
    const p99 = delays[Math.floor(delays.length * 0.99)]!;
    figure(
      `${upstream.calls.length} upstream calls told, 99 % within ${p99.toFixed(0)} ms, ${late.toFixed(0)} of them our own lag`,
    );
    return p99 - (50 + late);
  }
});

/** Headers at once, a message when one came, nothing more. */
function answerInPhases(stream: PeerStream): void {
  stream.sendHeaders(okHeaders);
  stream.onMore = () => {
    stream.onMore = undefined;
    stream.sendData(envelope(Buffer.from("reply")));
  };
}

/** Brings a call so far: just opened, response headers came, a message sent, the reply came, or half of a message sent. */
async function untilPhase(stream: PeerStream, phase: number): Promise<void> {
  if (phase === 0) return;
  await until("response headers", () => stream.headers.length > 0 || stream.done);
  if (phase === 1) return;
  const message = envelope(Buffer.alloc(1_000));
  stream.sendData(phase === 4 ? message.subarray(0, 500) : message, { end: phase === 3 && stream.id % 4 === 1 });
  if (phase === 3) await until("the reply", () => stream.bytes > 0 || stream.done);
}

/** The grpc-timeout an upstream got, in ms. */
function remainingMs(stream: PeerStream): number {
  const value = stream.field("grpc-timeout") ?? "";
  const unit = { n: 1e-6, u: 1e-3, m: 1, S: 1e3, M: 60e3, H: 3600e3 }[value.at(-1) ?? ""];
  return Number(value.slice(0, -1)) * (unit ?? Number.NaN);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
