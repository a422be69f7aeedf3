/** Row G4 of the table of faults: a bad network on either side, for as long as is asked for. */
import { createHash } from "node:crypto";
import { afterEach, expect } from "vitest";
import { type BadNetwork, startBadNetwork } from "../support/bad-network.ts";
import { type Caller, callers, type Started, startCaller, type Target } from "../support/callers.ts";
import { connectPeer } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { randomOf } from "../support/random.ts";
import { sleep } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const path = "/manifold.test.BadNetwork/Echo";
const deadlineMs = 3_000;
/** What a machine that is busy may add. */
const slackMs = 3_000;
const faults = { delayMs: 100, sliced: 0.2, reset: 0.01, stalled: 0.01, stallMs: 2_000 };

/** Half of the callers speak gRPC; all others are bridged. */
const ways: readonly Caller[] = [
  "grpc over HTTP/2",
  "grpc-web over HTTP/1.1",
  "grpc over HTTP/2",
  "connect unary over HTTP/1.1",
  "grpc over HTTP/2",
  "connect stream over HTTP/2",
  "grpc over HTTP/2",
  "grpc-web-text over HTTP/1.1",
].map((name) => callers.find((caller) => caller.name === name)!);

/** Both tests of the row. @param durationMs how long calls are made in each */
export function badNetworkRow(durationMs: number): void {
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
          const seen = await callOnAndOn(stage.manifold.port, durationMs);
          tell("to the upstream", seen, network);
          // no call of ours is lost on the way to us, so each has a status
          expect(seen.cut).toBe(0);
        });
      },
    );

    check("G4 between callers and us: the same, but for those whose connection was reset", async () => {
      const stage = await stageFor((await upstreamFor()).url);
      const network = await networkTo(stage.manifold.port);
      await stage.survive(async () => {
        const seen = await callOnAndOn(network.port, durationMs);
        tell("to the callers", seen, network);
        expect(seen.cut).toBeLessThanOrEqual(network.resets);
      });
    });
  });

  function tell(where: string, seen: Seen, { connections, resets, stalls }: BadNetwork): void {
    const statuses = Object.entries(seen.counts).map(([status, count]) => `${count} x ${status}`);
    figure(
      `${where}: ${statuses.join(", ")}, ${seen.cut} cut; ${connections} connections, ${resets} resets, ${stalls} stalls`,
    );
    expect(seen.wrong).toEqual([]);
    expect(seen.counts[0]).toBeGreaterThan(20);
    expect(resets + stalls).toBeGreaterThan(0);
  }
}

interface Seen {
  /** Calls by their status. */
  counts: Record<number, number>;
  /** Calls whose connection was lost. */
  cut: number;
  wrong: string[];
}

/** A caller for each of the ways, call by call, until the time is over; one that loses its connection opens another. */
async function callOnAndOn(port: number, durationMs: number): Promise<Seen> {
  const seen: Seen = { counts: { 0: 0 }, cut: 0, wrong: [] };
  const random = randomOf(7);
  const end = performance.now() + durationMs;
  const target: Target = { manifold: { port }, connect: () => connectPeer(port) };
  const one = async (caller: Caller) => {
    let peer: H2Peer | undefined;
    while (performance.now() < end) {
      if (caller.http === "2" && (peer === undefined || peer.closed)) {
        peer = await target.connect().catch(() => undefined);
        if (peer === undefined) await sleep(50);
        continue;
      }
      const message = Buffer.alloc(1 + Math.floor(random() * 20_000), Math.floor(random() * 256));
      const request = { path, message, timeoutMs: deadlineMs, ...(peer === undefined ? {} : { peer }) };
      const started = await startCaller(caller, target, request);
      const inTime = await endsInTime(started);
      if (!inTime) seen.wrong.push(`${caller.name}: no end after ${deadlineMs + slackMs} ms`);
      else judge(seen, `${caller.name}: `, { started, message });
      if (!inTime || caller.http === "1.1") started.cancel();
    }
    peer?.socket.destroy();
  };
  await Promise.all(ways.map(one));
  return seen;
}

async function endsInTime({ response }: Started): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, deadlineMs + slackMs, false);
  });
  const inTime = await Promise.race([response.finished.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}

function judge(seen: Seen, who: string, { started, message }: { started: Started; message: Buffer }): void {
  if (started.response.cut) {
    seen.cut++;
    return;
  }
  const { status, message: text, broken, messages } = started.outcome();
  if (status === undefined || broken !== undefined || ![0, 4, 14].includes(status)) {
    seen.wrong.push(`${who}status ${status}, ${broken}, ${text}`);
    return;
  }
  seen.counts[status] = (seen.counts[status] ?? 0) + 1;
  const right = messages.length === 1 && digest(messages[0]!.bytes) === digest(message);
  if (status === 0 && !right) seen.wrong.push(`${who}another payload`);
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
