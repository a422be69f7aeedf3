/**
 * Row D2 of the table of faults: who doesn't read blocks the one who sends to him, and nobody else.
 *
 * Envoy with default options lets 33 MB of a stream through; Manifold 300 MB, where it gives credit on receipt.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { call } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Pusher, untilBlocked } from "../support/push.ts";
import {
  callSiblings,
  excess,
  noStreamCredit,
  openOnBoth,
  pushReply,
  pushRequest,
  stalledStreams,
} from "../support/stalled.ts";
import { until } from "../support/until.ts";
import { okHeaders, startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const pushPath = "/manifold.test.Stalled/Push";
const swallowPath = "/manifold.test.Stalled/Swallow";
const siblingPath = "/manifold.test.Stalled/Sibling";
/** What the table allows for each stream beside the reader's own window. */
const allowance = 256 << 10;
const growthMb = (stalledStreams * allowance) / 2 ** 20 + 32;

function letThrough(pushers: readonly Pusher[]): number {
  const most = excess(pushers);
  figure(`${(most / 1024).toFixed(0)} KiB let through at most`);
  return most;
}

onRuntime("stalled readers", () => {
  let upstream: Upstream;
  let stage: Stage;
  let peers: H2Peer[];
  /** Upstream. */
  const pushers: Pusher[] = [];

  beforeAll(async () => {
    upstream = await startUpstream({
      ...noStreamCredit,
      handlers: { [pushPath]: pushReply(pushers), [swallowPath]: (stream) => stream.sendHeaders(okHeaders) },
    });
    stage = await setStage([upstream.url]);
  });
  beforeEach(async () => {
    peers = await Promise.all([stage.connect(noStreamCredit), stage.connect(noStreamCredit)]);
  });
  afterEach(async () => {
    for (const peer of peers) peer.socket.destroy();
    await until("the upstream's streams to be over", () => upstream.calls.every(({ done, ended }) => done || ended));
    upstream.calls.length = 0;
    pushers.length = 0;
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("D2 clients that give no credit block 100 pushing upstream streams, siblings flow", async () => {
    const work = async () => {
      openOnBoth(peers, pushPath);
      await until("100 streams upstream", () => pushers.length >= stalledStreams);
      await untilBlocked(pushers);
      expect(letThrough(pushers)).toBeLessThanOrEqual(allowance);
      expect(await callSiblings(peers, siblingPath)).toBeUndefined();
    };
    await stage.survive(work, { growthMb, streams: 2 * stalledStreams });
  });

  check("D2 clients that never read their socket block 100 pushing upstream streams", async () => {
    const work = async () => {
      for (const peer of peers) peer.socket.pause();
      openOnBoth(peers, pushPath);
      await until("100 streams upstream", () => pushers.length >= stalledStreams);
      await untilBlocked(pushers);
      expect(letThrough(pushers)).toBeLessThanOrEqual(allowance);
      const other = await stage.connect();
      const result = await call(other, siblingPath, { messages: [Buffer.alloc(60_000)] });
      expect(result.messages?.[0]?.bytes.length).toBe(60_000);
    };
    await stage.survive(work, { growthMb, streams: 2 * stalledStreams });
  });

  check("D2 an upstream that gives no credit blocks 100 pushing clients, siblings flow", async () => {
    const work = async () => {
      const pushing = openOnBoth(peers, swallowPath).map(pushRequest);
      await untilBlocked(pushing);
      expect(letThrough(pushing)).toBeLessThanOrEqual(allowance);
      expect(await callSiblings(peers, siblingPath)).toBeUndefined();
    };
    await stage.survive(work, { growthMb, streams: 2 * stalledStreams });
  });
});
