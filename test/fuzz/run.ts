/**
 * Runs targets one after another, guided by the branches that their inputs reach: `npm run test:fuzz -- hpack config`. By environment:
 * FUZZ_SECONDS of each (60), FUZZ_SEED, FUZZ_PAUSE (a file: it rests while there is one), FUZZ_KEEP=1 (keeps what reaches something new),
 * FUZZ_MERGE=1 (takes of that into the corpus what is worth it).
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { rolldown } from "rolldown";
import { type Instrumented, instrument, maxBranches } from "./instrument.ts";
import { type LoopOptions, type Outcome, save, sharedHeader } from "./loop.ts";

const { env } = process;
const root = process.cwd();
const folder = join(root, "test/fuzz");
const cache = join(root, "test/.cache/fuzz");
/** Milliseconds without the end of a run: it never ends. */
const hangMs = 60_000;

function targets(): string[] {
  return readdirSync(join(folder, "targets")).map((name) => name.slice(0, -3));
}

/** Writes a worker that runs a target, the sources under test instrumented. */
async function bundle(target: string): Promise<{ file: string; found: Instrumented }> {
  const found: Instrumented = { branches: 0, words: new Set() };
  const entry = join(cache, `${target}.entry.ts`);
  const file = join(cache, `${target}.mjs`);
  mkdirSync(cache, { recursive: true });
  const from = (name: string) => JSON.stringify(join(folder, `${name}.ts`));
  writeFileSync(
    entry,
    `import { runTarget } from ${from("loop")};\nimport * as target from ${from(`targets/${target}`)};\nawait runTarget(target);\n`,
  );
  const build = await rolldown({
    input: entry,
    platform: "node",
    logLevel: "silent",
    external: (id) => !id.startsWith(".") && !id.startsWith("/"),
    plugins: [instrument(join(root, "src"), found)],
  });
  const intro = `globalThis.fuzzHits = new Uint32Array(${maxBranches});`;
  await build.write({ file, format: "esm", codeSplitting: false, intro });
  await build.close();
  return { file, found };
}

async function run(target: string): Promise<Outcome & { readonly all: number }> {
  const { file, found } = await bundle(target);
  const findings = join(folder, "findings", target);
  const shared = new SharedArrayBuffer(sharedHeader + (1 << 20));
  const kept = join(cache, "corpus", target);
  const options: LoopOptions = {
    seconds: Number(env.FUZZ_SECONDS ?? 60),
    seed: Number(env.FUZZ_SEED ?? Date.now() % 1_000_000_007),
    branches: Math.min(found.branches, maxBranches),
    words: [...found.words],
    corpus: [join(folder, "corpus", target), findings, kept],
    findings,
    keep: env.FUZZ_KEEP === "1" ? kept : undefined,
    merge: env.FUZZ_MERGE === "1",
    pause: env.FUZZ_PAUSE ?? "/nowhere",
    shared,
  };
  const worker = new Worker(file, { workerData: options });
  const outcome = await outcomeOf(worker, shared, findings);
  return { ...outcome, all: options.branches };
}

/** Waits, and looks whether it goes on. */
function outcomeOf(worker: Worker, shared: SharedArrayBuffer, findings: string): Promise<Outcome> {
  const state = new Int32Array(shared, 0, sharedHeader / 4);
  return new Promise((resolve, reject) => {
    let [runs, since] = [0, performance.now()];
    const watch = setInterval(() => {
      if (state[0] !== runs || state[1] === 1) [runs, since] = [state[0]!, performance.now()];
      if (performance.now() - since < hangMs) return;
      const input = new Uint8Array(shared, sharedHeader, state[2]);
      reject(new Error(`never ends: ${save(findings, Uint8Array.from(input))}`));
      clearInterval(watch);
      void worker.terminate();
    }, 1_000);
    worker.on("message", ({ finding, outcome }: { finding?: string; outcome?: Outcome }) => {
      if (finding !== undefined) console.log(`  finding: ${finding}`);
      if (outcome === undefined) return;
      clearInterval(watch);
      resolve(outcome);
    });
    worker.on("error", (error) => {
      clearInterval(watch);
      reject(error);
    });
  });
}

const wanted = process.argv.slice(2);
for (const target of wanted.length > 0 ? wanted : targets()) {
  try {
    const { executions, seconds, branches, all, features, inputs, findings } = await run(target);
    const rate = Math.round(executions / Math.max(seconds, 1));
    console.log(
      `${target}: ${executions} runs in ${Math.round(seconds)} s (${rate}/s), ${branches} of ${all} branches, ${features} features, ` +
        `${inputs} inputs, ${findings.length} findings`,
    );
    if (findings.length > 0) process.exitCode = 1;
  } catch (error) {
    process.exitCode = 1;
    console.log(`${target}: ${error instanceof Error ? error.stack : error}`);
  }
}
