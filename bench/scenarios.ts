/** What is measured: each scenario runs once against one proxy and gives figures. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { h2load, type Load, type Wire } from "./h2load.ts";
import { goProgram, type Places } from "./peers.ts";
import { type Running, treeCpuMicros, treeRssMiB } from "./process.ts";

/** Figures by name; see `Scenario.figures`. */
export type Figures = Record<string, number>;

export interface Scenario {
  readonly name: string;
  /** What is done, for the report. */
  readonly title: string;
  /** Name and unit of each figure, for the report. The first one is what ratios and budgets are about. */
  readonly figures: Record<string, string>;
  /** What the proxies must take to be part of it. */
  readonly wire: Wire;
  /** True where every measurement needs a proxy that has just been started. */
  readonly fresh?: boolean;
  /** Calls go to so many backends at once, each of `test/go/nodes`. Absent: to the one of `test/go/backend`. */
  readonly backends?: number;
  /** The peer that ratios in the tables are to. */
  readonly comparedTo: string;
  /**
   * Measures once.
   *
   * @param scale 1, or less for a quick run: share of the usual number of calls
   */
  run(target: Running, places: Places, scale: number): Promise<Figures>;
}

const service = "/manifold.test.v1.Test";

export const unary: Load = {
  method: `${service}/Unary`,
  calls: 100_000,
  connections: 4,
  streams: 32,
  bytes: 100,
  replies: 1,
};

export const stream: Load = {
  method: `${service}/ServerStream`,
  calls: 1000,
  connections: 4,
  streams: 8,
  bytes: 100,
  replies: 1000,
  headers: { "x-reply-count": "1000" },
};

const large: Load = { ...unary, calls: 600, streams: 4, bytes: 1_000_000 };

const webH2: Load = { ...unary, wire: "web-h2" };
const webH1: Load = { ...unary, wire: "web-h1", calls: 60_000, connections: 64, streams: 1 };
const connectH1: Load = { ...webH1, wire: "connect-h1" };

export const scenarios: readonly Scenario[] = [
  loaded("unary", "unary, 100 B, 4 connections x 32 calls", unary, 1, "call"),
  loaded("stream", "server stream of 1,000 x 100 B, 4 connections x 8 calls", stream, 1000, "message"),
  loaded("large", "unary, 1 MB both ways, 4 connections x 4 calls", large, 1, "call"),
  {
    name: "latency",
    title: "unary, 100 B, 2,000 calls/s on 4 connections",
    wire: "grpc",
    comparedTo: "envoy",
    figures: { cpu: "CPU us/call", p50: "p50 us", p99: "p99 us" },
    async run(target, { root }, scale) {
      const before = treeCpuMicros(target.pid);
      const result = await rate(goProgram(root, "load"), target.port, { rps: 2000, seconds: 5 * scale, replies: 0 });
      return { cpu: (treeCpuMicros(target.pid) - before) / result.calls, p50: result.p50_us, p99: result.p99_us };
    },
  },
  idle("idle-connections", "1,000 idle connections", 1000, 0),
  idle("idle-streams", "100 connections x 100 open idle streams", 100, 100),
  loaded("web-h2", "gRPC-Web unary, 100 B, HTTP/2, 4 connections x 32 calls", webH2, 1, "call"),
  loaded("web-h1", "gRPC-Web unary, 100 B, HTTP/1.1, 64 connections", webH1, 1, "call"),
  loaded("connect-h1", "Connect unary, 100 B, HTTP/1.1, 64 connections", connectH1, 1, "call"),
];

function loaded(name: string, title: string, load: Load, unitsPerCall: number, unit: string): Scenario {
  return {
    name,
    title,
    wire: load.wire ?? "grpc",
    comparedTo: "envoy",
    figures: { cpu: `CPU us/${unit}`, rate: `${unit}s/s` },
    async run(target, { cache }, scale) {
      const calls = Math.max(load.connections * load.streams, Math.round(load.calls * scale));
      const before = treeCpuMicros(target.pid);
      const perSecond = await h2load(target.port, { ...load, calls }, cache);
      const cpu = (treeCpuMicros(target.pid) - before) / (calls * unitsPerCall);
      return { cpu, rate: perSecond * unitsPerCall };
    },
  };
}

function idle(name: string, title: string, connections: number, streams: number): Scenario {
  return {
    name,
    title,
    wire: "grpc",
    fresh: true,
    comparedTo: "envoy",
    figures: { rss: "RSS MiB", start: "at start MiB" },
    async run(target, { root }) {
      await sleep(500);
      const atStart = treeRssMiB(target.pid);
      const args = ["idle", "--addr", `127.0.0.1:${target.port}`, "--connections", connections, "--streams", streams];
      const client = spawn(goProgram(root, "load"), args.map(String), { stdio: ["pipe", "pipe", "inherit"] });
      const exit = once(client, "exit");
      const tooLong = setTimeout(() => client.kill("SIGKILL"), 60_000);
      try {
        const [output] = await Promise.race([once(client.stdout, "data"), exit.then(() => [""])]);
        if (String(output).trim() !== "open") throw new Error(`${name}: could not open all of them`);
        await sleep(2000);
        return { rss: treeRssMiB(target.pid), start: atStart };
      } finally {
        clearTimeout(tooLong);
        client.stdin.end();
        const killer = setTimeout(() => client.kill("SIGKILL"), 5000);
        await exit;
        clearTimeout(killer);
      }
    },
  };
}

interface RateReport {
  calls: number;
  failed: number;
  p50_us: number;
  p99_us: number;
}

export interface RateOptions {
  /** Calls per second. */
  readonly rps: number;
  readonly seconds: number;
  /** Messages from each backend; 0 is a unary call. */
  readonly replies: number;
}

/** Makes calls on schedule, over 4 connections. */
export async function rate(program: string, port: number, options: RateOptions): Promise<RateReport> {
  const { rps, seconds, replies } = options;
  const args = ["rate", "--addr", `127.0.0.1:${port}`, "--rps", rps, "--seconds", seconds, "--connections", 4];
  const { stdout } = await promisify(execFile)(program, [...args, "--replies", replies].map(String));
  const report = JSON.parse(stdout) as RateReport;
  if (report.failed > 0) throw new Error(`${report.failed} of ${report.calls} calls failed`);
  return report;
}
