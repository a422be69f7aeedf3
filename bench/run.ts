/** `npm run bench`: starts the backend and every proxy, measures them in interleaved rounds, prints the tables. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fanOutScenarios } from "./fan-out.ts";
import { startNodes } from "./nodes.ts";
import { basePeers, goProgram, type Peer, type Places, peers } from "./peers.ts";
import { freePort, type Running, start, stopAll } from "./process.ts";
import { type Budget, checkBudgets, type Rounds, table } from "./report.ts";
import { type Figures, type Scenario, scenarios as toOneScenarios } from "./scenarios.ts";

const scenarios = [...toOneScenarios, ...fanOutScenarios];
const peerNames = ["direct", ...new Set(peers.map(({ name }) => name))];

const usage = `usage: npm run bench -- [options]
  --rounds N      rounds to measure, each of them every proxy once (default 5)
  --only A,B      these scenarios only: ${scenarios.map(({ name }) => name).join(", ")}
  --peers A,B     these proxies only: ${peerNames.join(", ")}
  --base DIR      beside those, Manifold of another checkout, built there: base-node, base-bun, base-deno as --peers has manifold-*
  --quick         one round, a fifth of the calls
  --check         compare with bench/budgets.json; exit 1 where one is not kept`;

// This file runs as bench/.cache/js/run.js.
const cache = dirname(dirname(fileURLToPath(import.meta.url)));
const places: Places = { root: dirname(dirname(cache)), cache };

/** A peer in front of the backends of some scenarios. */
interface Target {
  readonly name: string;
  /** Undefined: the backend itself. */
  readonly peer: Peer | undefined;
  /** Undefined where every measurement starts its own. */
  readonly running: Running | undefined;
  start(): Promise<Running>;
}

type Options = NonNullable<ReturnType<typeof readOptions>>;

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) return 2;
  execFileSync(join(places.root, "test/go/build"), { stdio: "inherit" });
  const { able, versions } = ablePeers(options);
  const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
  const facts = [new Date().toISOString().slice(0, 10), machine, `load ${loadavg()[0]!.toFixed(1)} at the start`];
  console.log(`${facts.join("; ")}\n${list(versions)}; ${options.rounds} rounds\n`);

  const results: Record<string, Rounds> = {};
  const note = (scenario: Scenario, rounds: Rounds) => {
    results[scenario.name] = rounds;
    console.log(`${table(scenario, rounds)}\n`);
    writeFileSync(join(cache, "results.json"), JSON.stringify({ facts, versions, options, results }, undefined, 2));
  };
  const toOne = options.scenarios.filter(({ backends }) => backends === undefined);
  if (toOne.length > 0) {
    const targets = await targetsToOne(able, toOne, options);
    for (const scenario of toOne) {
      // The backend takes nothing but gRPC, so there is no direct way for the rest.
      const chosen = targets.filter(({ peer }) => (peer?.takes ?? ["grpc"]).includes(scenario.wire));
      note(scenario, await measure(scenario, chosen, options));
    }
    for (const { running } of targets) await running?.stop();
  }
  for (const scenario of options.scenarios) {
    if (scenario.backends === undefined) continue;
    const nodes = await startNodes(places, scenario.backends);
    const targets = await targetsToMany(able, scenario, nodes.ports);
    note(scenario, await measure(scenario, targets, options));
    for (const { running } of targets) await running?.stop();
    nodes.stop();
  }
  if (!options.check) return 0;
  const budgets = JSON.parse(readFileSync(join(places.root, "bench/budgets.json"), "utf8")) as Budget[];
  const mainFigure = (name: string) => Object.keys(scenarios.find((scenario) => scenario.name === name)!.figures)[0]!;
  const { lines, ok } = checkBudgets(budgets, results, mainFigure);
  console.log(lines.join("\n"));
  return ok ? 0 : 1;
}

/** Those that are chosen, there, and of use to a scenario. */
function ablePeers(options: Options): { able: Peer[]; versions: Record<string, string> } {
  const versions: Record<string, string> = {};
  const able = [...options.base, ...peers].filter((peer) => {
    const isOfUse = ({ backends, wire }: Scenario) =>
      backends === undefined ? peer.takes.includes(wire) : peer.startFanOut !== undefined;
    const isChosen = options.peers.includes(peer.name.replace(/^base-/, "manifold-"));
    if (!isChosen || !options.scenarios.some(isOfUse)) return false;
    const found = peer.version(places);
    if ("missing" in found) console.log(`${peer.name} is left out: ${found.missing}`);
    else versions[peer.name] = found.version;
    return "version" in found;
  });
  return { able, versions };
}

/** The proxies in front of one backend, and the backend; all of them run all the time. */
async function targetsToOne(able: Peer[], chosen: Scenario[], options: Options): Promise<Target[]> {
  const port = await freePort();
  const args = ["--listen", `127.0.0.1:${port}`];
  const command = goProgram(places.root, "backend");
  const backend = await start({ name: "backend", command, args, port, cacheDir: cache });
  const targets: Target[] = [];
  if (options.peers.includes("direct")) {
    targets.push({ name: "direct", peer: undefined, running: backend, start: async () => backend });
  }
  for (const peer of able) {
    if (!chosen.some(({ wire }) => peer.takes.includes(wire))) continue;
    const running = await peer.start(places, port);
    if (peer.takes.includes("grpc")) {
      execFileSync(goProgram(places.root, "load"), ["check", "--addr", `127.0.0.1:${running.port}`]);
    }
    targets.push({ name: peer.name, peer, running, start: () => peer.start(places, port) });
  }
  return targets;
}

/** The proxies that can, in front of many backends. */
async function targetsToMany(able: Peer[], { fresh }: Scenario, ports: readonly number[]): Promise<Target[]> {
  const targets: Target[] = [];
  for (const peer of able) {
    if (peer.startFanOut === undefined) continue;
    const start = () => peer.startFanOut!(places, ports);
    targets.push({ name: peer.name, peer, running: fresh ? undefined : await start(), start });
  }
  return targets;
}

/** Runs a scenario against all targets, round by round; the first, shorter round warms up and does not count. */
async function measure(scenario: Scenario, targets: Target[], options: Options): Promise<Rounds> {
  const rounds: Rounds = {};
  for (let round = scenario.fresh ? 0 : -1; round < options.rounds; round++) {
    for (const target of targets) {
      const figures = await once(scenario, target, round < 0 ? options.scale / 4 : options.scale);
      // The backend is no proxy: its own CPU and memory would be read as figures of one.
      if (round >= 0) rounds[target.name] = [...(rounds[target.name] ?? []), target.peer ? figures : ratesOf(figures)];
    }
  }
  return rounds;
}

async function once(scenario: Scenario, target: Target, scale: number): Promise<Figures | undefined> {
  const failed = (error: Error) => report(scenario, target.name, error);
  if (!scenario.fresh) return scenario.run(target.running!, places, scale).catch(failed);
  if (target.peer === undefined) return undefined;
  const own = await target.start();
  try {
    return await scenario.run(own, places, scale).catch(failed);
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
        base: { type: "string" },
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
    const base = values.base === undefined ? [] : basePeers(resolve(values.base));
    return { rounds, scenarios: chosen, peers: values.peers.split(","), base, scale, check: values.check };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    return undefined;
  }
}

mkdirSync(cache, { recursive: true });
process.once("exit", stopAll);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exit(await main());
