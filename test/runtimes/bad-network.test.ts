/**
 * Row G4 of the table of faults: a bad network on either side. The short form; the long one is the same with a duration in
 * MANIFOLD_SOAK_MS.
 */
import { createHash } from "node:crypto";
import { afterEach, expect } from "vitest";
import { type BadNetwork, startBadNetwork } from "../support/bad-network.ts";
import { type CallResult, call, connectPeer } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { randomOf } from "../support/random.ts";
import { sleep } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const path = "/manifold.test.BadNetwork/Echo";
const durationMs = Number(process.env.MANIFOLD_SOAK_MS ?? 10_000);
const deadlineMs = 3_000;
/** What a machine that is busy may add. */
const slackMs = 3_000;
const faults = { delayMs: 100, sliced: 0.2, reset: 0.01, stalled: 0.01, stallMs: 2_000 };

onRuntime("a bad network", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function upstreamFor(): Promise<Upstream> {
    const upstream = await startUpstream({ record: false });
    cleanups.push(() => upstream.close());
    return upstream;
  }
  async function networkTo(port: number): Promise<BadNetwork> {
    const network = await startBadNetwork({ to: port, ...faults });
    cleanups.push(() => network.close());
    return network;
  }
  async function stageFor(url: string): Promise<Stage> {
    const stage = await setStage([url]);
    cleanups.push(() => stage.close());
    return stage;
  }

  check(
    "G4 between us and the upstream: every call ends by its deadline with 0, 4 or 14, and nothing is mixed up",
    async () => {
      const network = await networkTo((await upstreamFor()).port);
      const stage = await stageFor(`http://127.0.0.1:${network.port}`);
      await stage.survive(async () => {
        const seen = await callOnAndOn(8, () => connectPeer(stage.manifold.port));
        figure(described(seen, network));
        expect(seen.wrong).toEqual([]);
        expect(seen.counts[0]).toBeGreaterThan(20);
        // no call of ours is lost on the way to us, so each has a status
        expect(seen.cut).toBe(0);
        expect(network.resets + network.stalls).toBeGreaterThan(0);
      });
    },
  );

  check("G4 between callers and us: the same, but for those whose connection was reset", async () => {
    const stage = await stageFor((await upstreamFor()).url);
    const network = await networkTo(stage.manifold.port);
    await stage.survive(async () => {
      const seen = await callOnAndOn(8, () => connectPeer(network.port));
      figure(described(seen, network));
      expect(seen.wrong).toEqual([]);
      expect(seen.counts[0]).toBeGreaterThan(20);
      expect(seen.cut).toBeLessThanOrEqual(network.resets);
      expect(network.resets + network.stalls).toBeGreaterThan(0);
    });
  });
});

interface Seen {
  /** Calls by their status. */
  counts: Record<number, number>;
  /** Calls whose connection was lost. */
  cut: number;
  wrong: string[];
}

function described({ counts, cut }: Seen, { resets, stalls }: BadNetwork): string {
  const statuses = Object.entries(counts).map(([status, count]) => `${count} x ${status}`);
  return `${statuses.join(", ")}, ${cut} cut; ${resets} resets, ${stalls} stalls`;
}

/** So many callers, each call by call, until the time is over; one that loses its connection opens another. */
async function callOnAndOn(callers: number, connect: () => Promise<H2Peer>): Promise<Seen> {
  const seen: Seen = { counts: { 0: 0 }, cut: 0, wrong: [] };
  const random = randomOf(7);
  const end = performance.now() + durationMs;
  const one = async () => {
    let peer: H2Peer | undefined;
    while (performance.now() < end) {
      if (peer === undefined || peer.closed) {
        peer = await connect().catch(() => undefined);
        if (peer === undefined) await sleep(50);
        continue;
      }
      const message = Buffer.alloc(1 + Math.floor(random() * 20_000), Math.floor(random() * 256));
      const startedAt = performance.now();
      const headers: [string, string][] = [["grpc-timeout", `${deadlineMs}m`]];
      const result = await call(peer, path, { headers, messages: [message], timeoutMs: deadlineMs + slackMs });
      judge(result, message, performance.now() - startedAt);
    }
    peer?.socket.destroy();
  };
  const judge = ({ stream, status, messages }: CallResult, message: Buffer, tookMs: number) => {
    if (tookMs > deadlineMs + slackMs - 100) return seen.wrong.push(`no end after ${Math.round(tookMs)} ms`);
    if (stream.cut) return seen.cut++;
    if (status === undefined || ![0, 4, 14].includes(status)) {
      return seen.wrong.push(`status ${status}, RST_STREAM ${stream.reset}, ${stream.field("grpc-message")}`);
    }
    seen.counts[status] = (seen.counts[status] ?? 0) + 1;
    if (status === 0 && digest(messages?.[0]?.bytes) !== digest(message)) seen.wrong.push("another payload");
    return undefined;
  };
  await Promise.all(Array.from({ length: callers }, one));
  return seen;
}

function digest(bytes: Buffer | undefined): string {
  return createHash("sha256")
    .update(bytes ?? "")
    .digest("hex");
}
