/**
 * `npm run bench:workers`: how much two workers carry beside one process. Two cores have no room for two busy workers and the load, so
 * each worker is held to a tenth of a core (a control group with a quota of CPU), and the load leaves none of them idle.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { h2load, loadArgs } from "./h2load.ts";
import { goProgram, type Peer, type Places, peers } from "./peers.ts";
import { freePort, type Running, start, stopAll, tree, treeCpuMicros } from "./process.ts";
import { median } from "./report.ts";
import { unary } from "./scenarios.ts";

/** Of each worker, in microseconds: 2 ms in each 20 ms. Short periods keep queues as short as those of a worker with a core of its own. */
const quota = { share: 2_000, period: 20_000 };
const rounds = 5;
const seconds = 6;
/** The same for each worker, so that each is as busy as the one. */
const connectionsPerWorker = 32;
const streams = 16;

const cache = dirname(dirname(fileURLToPath(import.meta.url)));
const places: Places = { root: dirname(dirname(cache)), cache };

interface Figures {
  /** Calls a second. */
  readonly rate: number;
  /** Microseconds of the whole process tree. */
  readonly cpu: number;
}

async function main(): Promise<void> {
  const port = await freePort();
  const command = goProgram(places.root, "backend");
  await start({ name: "backend", command, args: ["--listen", `127.0.0.1:${port}`], port, cacheDir: cache });
  console.log(
    "| unary, 100 B, each worker held to 0.1 core | calls/s, 1 | calls/s, 2 | 2 to 1 | CPU us/call, 1 | CPU us/call, 2 | 2 to 1 |",
  );
  console.log(`|---|${"---:|".repeat(6)}`);
  for (const peer of peers.filter(({ name }) => name.startsWith("manifold"))) {
    const pairs: [Figures, Figures][] = [];
    for (let round = 0; round < rounds; round++)
      pairs.push([await measure(peer, port, 1), await measure(peer, port, 2)]);
    const cells = (["rate", "cpu"] as const).flatMap((figure) => [
      ...[0, 1].map((side) =>
        median(pairs.map((pair) => pair[side as 0 | 1][figure])).toFixed(figure === "rate" ? 0 : 1),
      ),
      median(pairs.map(([one, two]) => two[figure] / one[figure])).toFixed(2),
    ]);
    console.log(`| ${peer.name} | ${cells.join(" | ")} |`);
  }
}

/** Warm first, with all the CPU there is. */
async function measure(peer: Peer, backendPort: number, workers: 1 | 2): Promise<Figures> {
  const running = await peer.start(places, backendPort, workers === 1 ? [] : ["--workers", String(workers)]);
  const groups: string[] = [];
  try {
    await sleep(1_000); // for the last worker
    await h2load(running.port, { ...unary, calls: 100_000 * workers, connections: 32, streams }, cache);
    const [supervisor, ...children] = tree(running.pid);
    for (const pid of workers === 1 ? [supervisor!] : children) groups.push(hold(pid));
    return await saturate(running, workers);
  } finally {
    await running.stop();
    for (const group of groups) rmdirSync(group);
  }
}

/** For a time, not for a number of calls: connections aren't spread evenly, and the last ones would have a worker each to themselves. */
async function saturate({ port, pid }: Running, workers: number): Promise<Figures> {
  const load = { ...unary, connections: connectionsPerWorker * workers, streams };
  const args = [...loadArgs(port, load, cache), "-D", String(seconds)];
  const before = treeCpuMicros(pid);
  const { stdout } = await promisify(execFile)("h2load", args, { maxBuffer: 1 << 24 });
  const calls = Number(/status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(stdout)?.[1] ?? Number.NaN);
  if (!(calls > 0)) throw new Error(`not all calls were answered:\n${stdout}`);
  return { rate: calls / seconds, cpu: (treeCpuMicros(pid) - before) / calls };
}

/** Puts a process into a control group of its own, of cgroups v2 or v1. Needs root. */
function hold(pid: number): string {
  const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const group = join("/sys/fs/cgroup", isV2 ? "" : "cpu", `manifold-bench-${pid}`);
  mkdirSync(group);
  if (isV2) writeFileSync(join(group, "cpu.max"), `${quota.share} ${quota.period}`);
  else {
    writeFileSync(join(group, "cpu.cfs_period_us"), String(quota.period));
    writeFileSync(join(group, "cpu.cfs_quota_us"), String(quota.share));
  }
  writeFileSync(join(group, "cgroup.procs"), String(pid));
  return group;
}

mkdirSync(cache, { recursive: true });
process.once("exit", stopAll);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
execFileSync(join(places.root, "test/go/build"), { stdio: "inherit" });
await main();
process.exit();
