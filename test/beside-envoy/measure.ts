/** One proxy under one attack: started with its defaults, warm, a canary beside the attack, and what it all cost. */
import { setTimeout as sleep } from "node:timers/promises";
import { startCanary } from "../support/canary.ts";
import { callMany, connectPeer } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { cpuMs, forgetPeak, peakBytes } from "../support/program.ts";
import type { RuntimeName } from "../support/runtimes.ts";
import { startEnvoy } from "../support/stand-in.ts";
import { canaryPath, startUpstream, type Upstream, type UpstreamOptions } from "../support/upstream.ts";

export type ProxyName = "envoy" | RuntimeName;

export interface Arena {
  readonly port: number;
  /** All but the canary's calls go there. */
  readonly upstream: Upstream;
  /** A new client connection, closed when the attack is over at the latest. */
  connect(options?: Parameters<typeof connectPeer>[1]): Promise<H2Peer>;
}

/** By name; of a number less is better, Infinity is never. */
export type Figures = Record<string, number | string>;

export interface Attack {
  /** Of the table of faults. */
  row: string;
  what: string;
  upstream?: UpstreamOptions;
  /** Comes before anything is counted, where the attack makes a heap grow as no calls do. */
  warmUp?(arena: Arena): Promise<void>;
  /** It mostly waits: all proxies may be measured at once. */
  waits?: boolean;
  run(arena: Arena): Promise<Figures>;
}

/** What is measured of each attack, beside what it says itself. */
export const costs = {
  cpu: "CPU, s",
  peak: "RSS at its peak, MB",
  after: "RSS 5 s later, MB",
  canary: "failed calls of the canary",
} as const;

/** Calls before anything is counted: the first growth of a heap is no leak. */
const warmUpCalls = 10_000;

/** @throws Error when the proxy doesn't start, or its warm-up fails */
export async function measure(name: ProxyName, attack: Attack): Promise<Figures> {
  const upstream = await startUpstream(attack.upstream);
  const canaryUpstream = await startUpstream({ record: false });
  const proxy = await startProxy(name, upstream.url, canaryUpstream.url);
  try {
    await warmUp(proxy.port);
    return await underAttack(proxy, upstream, attack);
  } finally {
    await proxy.stop();
    await Promise.all([upstream.close(), canaryUpstream.close()]);
  }
}

function startProxy(name: ProxyName, upstream: string, canary: string): Promise<Manifold> {
  const config = {
    listeners: [{ address: "127.0.0.1:0" }],
    upstreams: { canary: { endpoints: [canary] }, main: { endpoints: [upstream] } },
    routes: [{ match: { service: "manifold.test.Canary" }, to: "canary" }, { to: "main" }],
  };
  return name === "envoy" ? startEnvoy(config) : startManifold({ runtime: name, config });
}

async function warmUp(port: number): Promise<void> {
  const peers = await Promise.all(Array.from({ length: 4 }, () => connectPeer(port)));
  const failures = await callMany(peers, canaryPath, { calls: warmUpCalls, concurrency: 64 });
  for (const peer of peers) await peer.close();
  if (failures.length > 0) throw new Error(`warm-up: ${failures[0]}`);
}

async function underAttack(proxy: Manifold, upstream: Upstream, attack: Attack): Promise<Figures> {
  const peers: H2Peer[] = [];
  const connect: Arena["connect"] = async (options) => {
    const peer = await connectPeer(proxy.port, options);
    peers.push(peer);
    return peer;
  };
  const arena = { port: proxy.port, upstream, connect };
  await attack.warmUp?.(arena);
  const before = { rss: proxy.rss() ?? 0, cpu: cpuMs(proxy.pid) ?? 0 };
  const grownMb = (bytes = 0) => Math.round((bytes - before.rss) / 2 ** 20) || 0; // no -0
  forgetPeak(proxy.pid);
  const canary = await startCanary(proxy.port);
  const own = await attack.run(arena);
  const cpu = ((cpuMs(proxy.pid) ?? 0) - before.cpu) / 1_000;
  const { failures } = await canary.stop();
  for (const peer of peers) peer.socket.destroy();
  const peak = grownMb(peakBytes(proxy.pid));
  await sleep(5_000);
  const exit = proxy.program.exit();
  return {
    ...own,
    [costs.cpu]: cpu,
    [costs.peak]: peak,
    [costs.after]: grownMb(proxy.rss()),
    [costs.canary]: failures.length,
    ...(exit === undefined ? {} : { "ended with": String(exit) }),
  };
}

/** What became of a connection: "GOAWAY 11", "closed", "open", or "not read" where a PING behind it all isn't answered. */
export async function fateOf(peer: H2Peer): Promise<string> {
  const answered = await peer.ping().then(
    () => true,
    () => false,
  );
  // some close a little later than they say so
  if (peer.goaways.length > 0) for (let at = 0; at < 100 && !peer.closed; at++) await sleep(50);
  const goaway = peer.goaways.at(-1);
  if (peer.closed) return goaway === undefined ? "closed" : `GOAWAY ${goaway.code}`;
  return answered ? "open" : "not read";
}
