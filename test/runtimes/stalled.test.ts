/**
 * Row D2 of the table of faults: who doesn't read blocks the one who sends to him, and nobody else.
 *
 * Envoy with default options lets 33 MB of a stream through; Manifold 300 MB, where it gives credit on receipt.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { call, requestFields } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const pushPath = "/manifold.test.Stalled/Push";
const swallowPath = "/manifold.test.Stalled/Swallow";
const siblingPath = "/manifold.test.Stalled/Sibling";
const gibibyte = 2 ** 30;
const stalled = 100;
/** What the table allows for each stream beside the reader's own window. */
const allowance = 256 << 10;
/** Of the hand-made peers in this file. */
const window = 65_535;
const growthMb = (stalled * allowance) / 2 ** 20 + 32;
const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

/** Sends 1 GiB as the windows allow; the one buffer is repeated, so that it costs this process nothing. */
const mebibyte = Buffer.alloc(1 << 20, 1);
function push(stream: PeerStream): void {
  for (let sent = 0; sent < gibibyte; sent += mebibyte.length) stream.sendData(mebibyte);
}

/** Waits until none of them could send any more for half a second. */
async function untilBlocked(streams: readonly PeerStream[]): Promise<void> {
  let last = -1;
  for (let now = -2; now !== last; await sleep(500)) {
    last = now;
    now = streams.reduce((sum, { queued }) => sum + queued, 0);
  }
}

/** Bytes that each of them has sent beyond what its reader's window let through. */
function excess(streams: readonly PeerStream[]): number {
  const most = Math.max(...streams.map(({ queued }) => gibibyte - queued - window));
  figure(`${(most / 1024).toFixed(0)} KiB let through at most`);
  return most;
}

onRuntime("stalled readers", () => {
  let upstream: Upstream;
  let stage: Stage;
  let peers: H2Peer[];

  beforeAll(async () => {
    upstream = await startUpstream({
      settings: [[4, window]],
      // streams that are read give credit themselves
      credit: "connection",
      handlers: {
        [pushPath]: (stream) => {
          stream.sendHeaders(okHeaders);
          push(stream);
        },
        [swallowPath]: (stream) => stream.sendHeaders(okHeaders),
      },
    });
    stage = await setStage([upstream.url]);
  });
  beforeEach(async () => {
    // 100 streams a connection is the limit: 95 and 5, so that a sibling has room on each
    const options = { settings: [[4, window]], credit: "connection" } as const;
    peers = await Promise.all([stage.connect(options), stage.connect(options)]);
  });
  afterEach(async () => {
    for (const peer of peers) peer.socket.destroy();
    await until("the upstream's streams to be over", () => upstream.calls.every(({ done, ended }) => done || ended));
    upstream.calls.length = 0;
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  function openOnBoth(path: string): PeerStream[] {
    return Array.from({ length: stalled }, (_, index) => peers[index < 95 ? 0 : 1]!.open(requestFields(path)));
  }

  /** 40 small replies on each connection that has stalled streams: their credit is not needed, the connection's is. */
  async function expectSiblingsFlow(): Promise<void> {
    for (const peer of peers) {
      for (let at = 0; at < 40; at++) {
        const result = await call(peer, siblingPath, { messages: [Buffer.alloc(40_000, at)] });
        expect(result.status, `status of sibling ${at}`).toBe(0);
        expect(result.messages?.[0]?.bytes.length).toBe(40_000);
      }
    }
  }

  check("D2 clients that give no credit block 100 pushing upstream streams, siblings flow", async () => {
    const work = async () => {
      openOnBoth(pushPath);
      await until("100 streams upstream", () => upstream.calls.length >= stalled);
      const pushing = upstream.calls.slice(0, stalled);
      await untilBlocked(pushing);
      expect(excess(pushing)).toBeLessThanOrEqual(allowance);
      await expectSiblingsFlow();
    };
    await stage.survive(work, { growthMb, streams: 2 * stalled });
  });

  check("D2 clients that never read their socket block 100 pushing upstream streams", async () => {
    const work = async () => {
      for (const peer of peers) peer.socket.pause();
      openOnBoth(pushPath);
      await until("100 streams upstream", () => upstream.calls.length >= stalled);
      const pushing = upstream.calls.slice(0, stalled);
      await untilBlocked(pushing);
      expect(excess(pushing)).toBeLessThanOrEqual(allowance);
      const other = await stage.connect();
      const result = await call(other, siblingPath, { messages: [Buffer.alloc(60_000)] });
      expect(result.messages?.[0]?.bytes.length).toBe(60_000);
    };
    await stage.survive(work, { growthMb, streams: 2 * stalled });
  });

  check("D2 an upstream that gives no credit blocks 100 pushing clients, siblings flow", async () => {
    const work = async () => {
      const pushing = openOnBoth(swallowPath);
      for (const stream of pushing) push(stream);
      await untilBlocked(pushing);
      expect(excess(pushing)).toBeLessThanOrEqual(allowance);
      await expectSiblingsFlow();
    };
    await stage.survive(work, { growthMb, streams: 2 * stalled });
  });
});
