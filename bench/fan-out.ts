/** Scenarios of one call to many backends: what it costs, and how memory grows with them. */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { h2load, type Load } from "./h2load.ts";
import { goProgram, type Places } from "./peers.ts";
import { type Running, treeCpuMicros, treeRssMiB } from "./process.ts";
import { type Figures, type RateOptions, rate, type Scenario, stream, unary } from "./scenarios.ts";

/** Legs of all calls together in a second, where they are made at a rate: a fifth of what grpc-proxy can carry here. */
const legsPerSecond = 4_000;

export const fanOutScenarios: readonly Scenario[] = [
  unaryTo(3, 60_000),
  unaryTo(10, 20_000),
  unaryTo(100, 2_000),
  {
    name: "fan-out-stream",
    title: "fan-out over 3, stream of 1,000 x 100 B from each, 4 connections x 8 calls",
    wire: "grpc",
    backends: 3,
    comparedTo: "grpc-proxy",
    figures: { cpu: "CPU us/message", rate: "messages/s", p99: "p99 us of a call, 10/s" },
    async run(target, places, scale) {
      const replyBytes = (await check(target, places, 3)).stream;
      const figures = await loaded(target, places, { ...stream, calls: atLeast(400 * scale), replyBytes });
      const { p99 } = await latency(target, places, { rps: 10, seconds: 6 * scale, replies: 1000 });
      return { cpu: figures.cpu / 3000, rate: figures.rate * 3000, p99 };
    },
  },
  memoryOf(10),
  memoryOf(100),
  memoryOf(1000),
];

function unaryTo(backends: number, calls: number): Scenario {
  const rps = Math.round(legsPerSecond / backends);
  return {
    name: `fan-out-${backends}`,
    title: `fan-out over ${backends}, unary, 100 B, 4 connections x 8 calls`,
    wire: "grpc",
    backends,
    comparedTo: "grpc-proxy",
    figures: { cpu: "CPU us/call", rate: "calls/s", p99: `p99 us, ${rps} calls/s` },
    async run(target, places, scale) {
      const replyBytes = (await check(target, places, backends)).unary;
      const load: Load = { ...unary, streams: 8, calls: atLeast(calls * scale), replyBytes };
      const figures = await loaded(target, places, load);
      return { ...figures, ...(await latency(target, places, { rps, seconds: 6 * scale, replies: 0 })) };
    },
  };
}

/** What memory it takes to have connections to all backends, and to make calls to all of them. */
function memoryOf(backends: number): Scenario {
  const rps = legsPerSecond / 2 / backends;
  return {
    name: `fan-out-memory-${backends}`,
    title: `fan-out over ${backends}, ${rps} unary calls/s for 5 s`,
    wire: "grpc",
    backends,
    fresh: true,
    comparedTo: "grpc-proxy",
    figures: { busy: "RSS MiB, most", idle: "connected MiB", start: "at start MiB" },
    async run(target, places) {
      await sleep(500);
      const start = treeRssMiB(target.pid);
      await latency(target, places, { rps: 1, seconds: 1, replies: 0 });
      await sleep(2000);
      const idle = treeRssMiB(target.pid);
      let busy = idle;
      const watch = setInterval(() => {
        busy = Math.max(busy, treeRssMiB(target.pid));
      }, 200);
      try {
        await latency(target, places, { rps, seconds: 5, replies: 0 });
      } finally {
        clearInterval(watch);
      }
      return { busy, idle, start };
    },
  };
}

/** Bytes of DATA in the replies of the two methods; the check is that every backend's part is there. */
async function check(target: Running, { root }: Places, backends: number): Promise<{ unary: number; stream: number }> {
  const args = ["check", "--addr", `127.0.0.1:${target.port}`, "--nodes", String(backends)];
  return JSON.parse((await promisify(execFile)(goProgram(root, "load"), args)).stdout);
}

async function loaded(target: Running, { cache }: Places, load: Load): Promise<{ cpu: number; rate: number }> {
  const before = treeCpuMicros(target.pid);
  const perSecond = await h2load(target.port, load, cache);
  return { cpu: (treeCpuMicros(target.pid) - before) / load.calls, rate: perSecond };
}

async function latency(target: Running, { root }: Places, options: RateOptions): Promise<Figures & { p99: number }> {
  return { p99: (await rate(goProgram(root, "load"), target.port, options)).p99_us };
}

/** h2load wants a call for each stream. */
function atLeast(calls: number): number {
  return Math.max(32, Math.round(calls));
}
