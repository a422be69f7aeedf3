/** The stage of a fault: Manifold, an upstream of its own for the canary, and what every row of the table asks for. */
import { expect } from "vitest";
import { startCanary } from "../support/canary.ts";
import { callMany, connectPeer } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { adminAddress, type Manifold, metricsOf, startManifold } from "../support/manifold.ts";
import { standIn, startEnvoy } from "../support/stand-in.ts";
import { until } from "../support/until.ts";
import { canaryPath, startUpstream } from "../support/upstream.ts";
import { figure, runtime } from "./suite.ts";

export interface Stage {
  manifold: Manifold;
  /** A new client connection. Closed with the stage at the latest. */
  connect(options?: Parameters<typeof connectPeer>[1]): Promise<H2Peer>;
  /**
   * Runs a fault, with the canary beside it: afterwards the process lives, no canary call has failed, memory has grown
   * by less than 32 MB (or `growthMb`) since before, and no stream or socket is left that the fault opened, but for so many `streams` that
   * are still to be open on connections from before.
   *
   * @param options.rounds how often the fault may run until memory grows by less: default 1. For large messages, to which heaps grow once
   */
  survive(
    fault: () => Promise<void>,
    options?: { growthMb?: number; streams?: number; rounds?: number },
  ): Promise<void>;
  /** Waits a few seconds for memory to go back, and makes calls then: a collector runs when it likes, but not without work. */
  collected(isBack: () => boolean): Promise<void>;
  /** Ends Manifold, which must exit with 0, and the canary's upstream. */
  close(): Promise<void>;
}

export interface StageOptions {
  /** Routes that come before that to `main`. */
  routes?: readonly object[];
  /** Keys of the upstream "main". */
  main?: object;
  /** More upstreams, for `routes`, of one endpoint each. */
  upstreams?: Record<string, object>;
  /** Keys of the listener. */
  listener?: object;
  /** Files beside the configuration. */
  files?: Record<string, string | Uint8Array>;
  /** Default true. */
  warmUp?: boolean;
}

/** Calls before memory is measured: the first growth of a heap is no leak. */
const warmUpCalls = 10_000;

/** Calls for collectors. */
const workCalls = 4_000;

/** What Manifold may keep open to each endpoint. */
const connectionsPerEndpoint = 4;

/**
 * Starts Manifold with a route to each upstream: the canary's service to one of its own, the rest to `endpoints`.
 *
 * @param endpoints none: there is no such route, and no upstream "main"
 */
export async function setStage(endpoints: readonly string[], more: StageOptions = {}): Promise<Stage> {
  const canaryUpstream = await startUpstream({ record: false });
  const config = {
    listeners: [{ address: "127.0.0.1:0", ...more.listener }],
    upstreams: {
      canary: { endpoints: [canaryUpstream.url] },
      ...(endpoints.length === 0 ? {} : { main: { endpoints, ...more.main } }),
      ...more.upstreams,
    },
    routes: [
      { match: { service: "manifold.test.Canary" }, to: "canary" },
      ...(more.routes ?? []),
      ...(endpoints.length === 0 ? [] : [{ to: "main" }]),
    ],
    admin: { address: "127.0.0.1:0" }, // which tells of streams
  };
  const manifold =
    standIn === "envoy"
      ? await startEnvoy(config)
      : await startManifold({ runtime, config, ...(more.files === undefined ? {} : { files: more.files }) });
  const peers: H2Peer[] = [];
  const connect: Stage["connect"] = async (options) => {
    const peer = await connectPeer(manifold.port, options);
    peers.push(peer);
    return peer;
  };
  if (more.warmUp !== false) await work(connect, warmUpCalls);

  async function collected(isBack: () => boolean): Promise<void> {
    const wait = () => until("memory to go back", isBack, 5_000).catch(() => {});
    await wait();
    for (let times = 0; times < 3 && !isBack(); times++) await work(connect, workCalls);
    if (!isBack()) await wait();
  }

  /** Returns by how much memory has grown; undefined where that isn't measured. */
  async function surviveOnce(fault: () => Promise<void>, growthMb: number, streams: number) {
    const before = { streams: await openStreams(manifold), rss: manifold.rss(), sockets: manifold.sockets() };
    const opened = peers.length;
    const canary = await startCanary(manifold.port);
    try {
      await fault();
    } finally {
      const seen = await canary.stop();
      expect(seen.failures).toEqual([]);
      expect(seen.calls).toBeGreaterThan(0);
    }
    for (const peer of peers.splice(opened)) peer.socket.destroy();
    expect(manifold.program.exit()).toBeUndefined();
    if (before.streams !== undefined) await streamsBack(manifold, before.streams + streams);
    if (before.rss === undefined || before.sockets === undefined) {
      console.warn("memory and sockets are not measured: no /proc");
      return undefined;
    }
    const grownMb = () => (manifold.rss()! - before.rss!) / 2 ** 20;
    await collected(() => grownMb() < growthMb);
    const grown = grownMb();
    await socketsBack(manifold, before.sockets + connectionsPerEndpoint * endpointCount(config.upstreams));
    return grown;
  }

  return {
    manifold,
    connect,
    async survive(fault, { growthMb = 32, streams = 0, rounds = 1 } = {}) {
      for (let round = 1; ; round++) {
        const grown = await surviveOnce(fault, growthMb, streams);
        if (grown === undefined) return;
        if (grown >= growthMb && round < rounds) continue; // what leaks leaks again
        figure(`${grown.toFixed(0)} MB more`);
        return expect(grown, "MB that the process grew by").toBeLessThan(growthMb);
      }
    },
    collected,
    async close() {
      for (const peer of peers) peer.socket.destroy();
      const exit = await manifold.stop();
      await canaryUpstream.close();
      expect(exit).toBe(0);
    },
  };
}

/** All but the canary's, which has been called before. */
function endpointCount({ canary, ...upstreams }: Record<string, { endpoints: readonly unknown[] | object }>): number {
  // how many there are where a file or Kubernetes tells isn't known here
  return Object.values(upstreams).reduce(
    (sum, { endpoints }) => sum + (Array.isArray(endpoints) ? endpoints.length : 1),
    0,
  );
}

async function work(connect: Stage["connect"], calls: number): Promise<void> {
  const peers = await Promise.all([connect(), connect(), connect(), connect()]);
  const failures = await callMany(peers, canaryPath, { calls, concurrency: 64 });
  for (const peer of peers) await peer.close();
  expect(failures).toEqual([]);
}

/** Streams that are open, of callers and to upstreams; undefined where nobody tells. */
async function openStreams(manifold: Manifold): Promise<number | undefined> {
  if (adminAddress(manifold) === undefined) return undefined;
  return [...(await metricsOf(manifold)).matchAll(/^manifold_(?:down|up)stream_streams\{.*\} (\d+)$/gm)]
    .map(([, count]) => Number(count))
    .reduce((sum, count) => sum + count, 0);
}

async function streamsBack(manifold: Manifold, allowed: number): Promise<void> {
  await until("streams to end", async () => (await openStreams(manifold))! <= allowed, 5_000).catch(() => {});
  expect(await openStreams(manifold), "open streams").toBeLessThanOrEqual(allowed);
}

/** A closed socket takes a turn. */
async function socketsBack(manifold: Manifold, allowed: number): Promise<void> {
  await until("sockets to be closed", () => manifold.sockets()! <= allowed).catch(() => {});
  expect(manifold.sockets(), "open sockets").toBeLessThanOrEqual(allowed);
}
