/** `npm run bench`: starts the backend and every proxy, measures them in interleaved rounds, prints the tables. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { goProgram, type Peer, type Places, peers } from "./peers.ts";
import { freePort, type Running, start, stopAll } from "./process.ts";
import { type Budget, checkBudgets, type Rounds, table } from "./report.ts";
import { type Figures, type Scenario, scenarios } from "./scenarios.ts";

const peerNames = ["direct", ...new Set(peers.map(({ name }) => name))];

const usage = `usage: npm run bench -- [options]
  --rounds N      rounds to measure, each of them every proxy once (default 5)
  --only A,B      these scenarios only: ${scenarios.map(({ name }) => name).join(", ")}
  --peers A,B     these proxies only: ${peerNames.join(", ")}
  --quick         one round, a fifth of the calls
  --check         compare with bench/budgets.json; exit 1 where one is not kept`;

// This file runs as bench/.cache/js/run.js.
const cache = dirname(dirname(fileURLToPath(import.meta.url)));
const places: Places = { root: dirname(dirname(cache)), cache };

/** Peers and the processes of those that run all the time. */
interface Target {
  name: string;
  peer: Peer | undefined;
  running: Running;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) return 2;
  execFileSync(join(places.root, "test/go/build"), { stdio: "inherit" });
  const backendPort = await freePort();
  const args = ["--listen", `127.0.0.1:${backendPort}`];
  const command = goProgram(places.root, "backend");
  const backend = await start({ name: "backend", command, args, port: backendPort, cacheDir: cache });

  const versions: Record<string, string> = {};
  const targets: Target[] = [];
  const needed = new Set(options.scenarios.map(({ wire }) => wire));
  if (options.peers.includes("direct")) targets.push({ name: "direct", peer: undefined, running: backend });
  for (const peer of peers.filter(({ name }) => options.peers.includes(name))) {
    if (!peer.takes.some((wire) => needed.has(wire))) continue;
    const found = peer.version(places);
    if ("missing" in found) {
      console.log(`${peer.name} is left out: ${found.missing}`);
      continue;
    }
    const running = await peer.start(places, backendPort);
    if (peer.takes.includes("grpc")) {
      execFileSync(goProgram(places.root, "load"), ["check", "--addr", `127.0.0.1:${running.port}`]);
    }
    versions[peer.name] = found.version;
    targets.push({ name: peer.name, peer, running });
  }

  const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
  const facts = [new Date().toISOString().slice(0, 10), machine, `load ${loadavg()[0]!.toFixed(1)} at the start`];
  console.log(`${facts.join("; ")}\n${list(versions)}; ${options.rounds} rounds\n`);

  const results: Record<string, Rounds> = {};
  for (const scenario of options.scenarios) {
    // The backend takes nothing but gRPC, so there is no direct way for the rest.
    const able = targets.filter(({ peer }) => (peer?.takes ?? ["grpc"]).includes(scenario.wire));
    results[scenario.name] = await measure(scenario, able, backendPort, options);
    console.log(`${table(scenario, results[scenario.name]!)}\n`);
    writeFileSync(join(cache, "results.json"), JSON.stringify({ facts, versions, options, results }, undefined, 2));
  }
  if (!options.check) return 0;
  const budgets = JSON.parse(readFileSync(join(places.root, "bench/budgets.json"), "utf8")) as Budget[];
  const mainFigure = (name: string) => Object.keys(scenarios.find((scenario) => scenario.name === name)!.figures)[0]!;
  const { lines, ok } = checkBudgets(budgets, results, mainFigure);
  console.log(lines.join("\n"));
  return ok ? 0 : 1;
}

/** Runs a scenario against all targets, round by round; the first, shorter round warms up and does not count. */
async function measure(
  scenario: Scenario,
  targets: Target[],
  backendPort: number,
  options: { rounds: number; scale: number },
): Promise<Rounds> {
  const rounds: Rounds = {};
  for (let round = scenario.fresh ? 0 : -1; round < options.rounds; round++) {
    for (const target of targets) {
      const figures = await once(scenario, target, backendPort, round < 0 ? options.scale / 4 : options.scale);
      // The backend is no proxy: its own CPU and memory would be read as figures of one.
      if (round >= 0) rounds[target.name] = [...(rounds[target.name] ?? []), target.peer ? figures : ratesOf(figures)];
    }
  }
  return rounds;
}

async function once(
  scenario: Scenario,
  { name, peer, running }: Target,
  backendPort: number,
  scale: number,
): Promise<Figures | undefined> {
  if (!scenario.fresh) {
    return scenario.run(running, places, scale).catch((error: Error) => report(scenario, name, error));
  }
  if (peer === undefined) return undefined;
  const own = await peer.start(places, backendPort);
  try {
    return await scenario.run(own, places, scale).catch((error: Error) => report(scenario, name, error));
  } finally {
    await own.stop();
  }
}

function report(scenario: Scenario, name: string, error: Error): undefined {
  console.error(`${scenario.name} against ${name} failed: ${error.message}`);
}

function ratesOf(figures: Figures | undefined): Figures | undefined {
  const kept = Object.entries(figures ?? {}).filter(([name]) => name === "rate" || name === "p50" || name === "p99");
  return Object.fromEntries(kept);
}

function list(versions: Record<string, string>): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: "string", default: "5" },
        only: { type: "string", default: scenarios.map(({ name }) => name).join(",") },
        peers: { type: "string", default: peerNames.join(",") },
        quick: { type: "boolean", default: false },
        check: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) throw new Error("help");
    const rounds = values.quick ? 1 : Number(values.rounds);
    if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`invalid --rounds "${values.rounds}"`);
    const chosen = values.only.split(",").map((name) => {
      const scenario = scenarios.find((other) => other.name === name);
      if (scenario === undefined) throw new Error(`unknown scenario "${name}"`);
      return scenario;
    });
    for (const name of values.peers.split(",")) {
      if (!peerNames.includes(name)) throw new Error(`unknown peer "${name}"`);
    }
    const scale = values.quick ? 0.2 : 1;
    return { rounds, scenarios: chosen, peers: values.peers.split(","), scale, check: values.check };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    return undefined;
  }
}

mkdirSync(cache, { recursive: true });
process.once("exit", stopAll);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exit(await main());
