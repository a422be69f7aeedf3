/** Loop: runs a target on one input after another, keeps those that reach something new, and those that break it. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { random } from "./input.ts";
import { type Material, mutate, type OwnWay } from "./mutate.ts";

/** A file of `targets/`: throws, or rejects, where a property doesn't hold. */
export interface Target {
  fuzz(data: Uint8Array): void | Promise<void>;
  readonly mutate?: OwnWay;
  /** Default 4,096. */
  readonly maxLength?: number;
}

/** What the loop is told, as a worker's data. */
export interface LoopOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly branches: number;
  readonly words: readonly string[];
  /** Folders: inputs to begin with, and where what breaks the target is kept. */
  readonly corpus: readonly string[];
  readonly findings: string;
  /** Where inputs that reach something new are kept; undefined: nowhere. */
  readonly keep: string | undefined;
  /** No new inputs: those that there are become the corpus, as far as they are worth it. */
  readonly merge: boolean;
  /** While there is this file, it rests. */
  readonly pause: string;
  /** Runs so far, whether it rests, and the length of the input that is run; behind them the input. */
  readonly shared: SharedArrayBuffer;
}

export const sharedHeader = 12;
const slowMs = 2_000;
/** Of a target's corpus. */
const corpusBytes = 11_000;
/** Inputs that one merge takes over. */
const mostMerged = 30;
const eight = [0, 1, 2, 3, 4, 5, 6, 7];
const mostMemory = 1.5 * 2 ** 30;

/** What comes of a run: a line of the table. */
export interface Outcome {
  readonly executions: number;
  readonly seconds: number;
  readonly branches: number;
  readonly features: number;
  readonly inputs: number;
  readonly findings: readonly string[];
}

declare global {
  var fuzzHits: Uint32Array;
}

export class Loop {
  readonly #target: Target;
  readonly #options: LoopOptions;
  readonly #seen: Uint8Array;
  readonly #inputs: Buffer[] = [];
  readonly #findings = new Map<string, string>();
  readonly #state: Int32Array;
  readonly #shared: Uint8Array;
  #uncaught: unknown;

  constructor(target: Target, options: LoopOptions) {
    this.#target = target;
    this.#options = options;
    this.#seen = new Uint8Array(options.branches);
    this.#state = new Int32Array(options.shared, 0, sharedHeader / 4);
    this.#shared = new Uint8Array(options.shared, sharedHeader);
    const note = (error: unknown) => {
      this.#uncaught = error;
    };
    process.on("uncaughtException", note);
    process.on("unhandledRejection", note);
  }

  async run(): Promise<Outcome> {
    const { seconds, seed, merge } = this.#options;
    if (merge) return this.#merge();
    for (const input of inputsOf(this.#options.corpus)) await this.#try(input, true);
    const next = random(seed);
    const material: Material = {
      others: this.#inputs,
      words: this.#options.words.map((word) => Buffer.from(word)),
      ownWay: this.#target.mutate,
      maxLength: this.#target.maxLength ?? 4_096,
    };
    let ran = 0;
    for (let begin = performance.now(); ran < seconds * 1_000; begin = performance.now()) {
      await this.#rest();
      const slice = performance.now();
      while (performance.now() - slice < 500) await this.#try(mutate(this.#pick(next), next, material), false);
      await new Promise((resolve) => setImmediate(resolve));
      if (process.memoryUsage().rss > mostMemory) throw new Error("the memory has grown beyond its bounds");
      ran += performance.now() - Math.max(begin, slice);
    }
    return this.#outcome(ran / 1_000);
  }

  /** Takes over what reaches most that the corpus doesn't, for its length, until that is full. */
  async #merge(): Promise<Outcome> {
    const [corpus, ...others] = this.#options.corpus;
    const own = inputsOf([corpus!]);
    const known = new Set<number>();
    for (const input of own) for (const feature of await this.#featuresOf(input)) known.add(feature);
    const candidates: { readonly input: Buffer; fresh: number[] }[] = [];
    for (const input of inputsOf(others)) candidates.push({ input, fresh: await this.#featuresOf(input) });
    let room = corpusBytes - own.reduce((sum, { length }) => sum + length, 0);
    for (let left = mostMerged; left > 0; left--) {
      for (const each of candidates) each.fresh = each.fresh.filter((feature) => !known.has(feature));
      const worthOf = ({ input, fresh }: (typeof candidates)[number]) =>
        input.length <= room ? fresh.length / (input.length + 50) : 0;
      const best = candidates.reduce((one, other) => (worthOf(other) > worthOf(one) ? other : one), candidates[0]!);
      if (best === undefined || worthOf(best) === 0) break;
      for (const feature of best.fresh) known.add(feature);
      room -= best.input.length;
      save(corpus!, best.input);
    }
    this.#seen.fill(0);
    for (const feature of known) this.#seen[feature >> 3]! |= 1 << (feature & 7);
    return this.#outcome(0);
  }

  async #featuresOf(input: Buffer): Promise<number[]> {
    this.#seen.fill(0);
    await this.#try(input, true);
    return [...this.#seen].flatMap((bits, branch) =>
      eight.filter((bit) => (bits >> bit) & 1).map((bit) => branch * 8 + bit),
    );
  }

  /** Those that were found last are mutated more often. */
  #pick(next: (below: number) => number): Buffer {
    const inputs = this.#inputs;
    const from = next(3) === 0 ? Math.max(0, inputs.length - 20) : 0;
    return inputs[from + next(inputs.length - from)] ?? Buffer.alloc(0);
  }

  async #rest(): Promise<void> {
    this.#state[1] = 1;
    while (existsSync(this.#options.pause)) await new Promise((resolve) => setTimeout(resolve, 500));
    this.#state[1] = 0;
  }

  async #try(input: Buffer, isSeed: boolean): Promise<void> {
    this.#shared.set(input);
    this.#state[2] = input.length;
    this.#state[0]!++;
    globalThis.fuzzHits.fill(0, 0, this.#options.branches);
    const begin = performance.now();
    try {
      const run = this.#target.fuzz(input);
      if (run !== undefined) await run;
      if (this.#uncaught !== undefined) throw this.#uncaught;
      if (performance.now() - begin > slowMs) await this.#again(input);
    } catch (error) {
      this.#uncaught = undefined;
      return this.#found(input, error);
    }
    const isNew = this.#isNew();
    if (isNew || isSeed) this.#add(input, isSeed);
  }

  /** What took long may have had to wait for others: only the second time does it count. */
  async #again(input: Buffer): Promise<void> {
    const before = process.cpuUsage();
    await this.#target.fuzz(input);
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1_000;
    if (ms > slowMs) throw new Error(`takes ${ms} ms`);
  }

  /** Whether a branch ran that never did, or more often than ever: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127 times, or more. */
  #isNew(): boolean {
    let isNew = false;
    for (let branch = 0; branch < this.#seen.length; branch++) {
      const hits = globalThis.fuzzHits[branch]!;
      if (hits === 0) continue;
      const log = 31 - Math.clz32(hits);
      const bucket = 1 << (hits < 4 ? hits - 1 : hits < 32 ? log + 1 : hits < 128 ? 6 : 7);
      if ((this.#seen[branch]! & bucket) !== 0) continue;
      this.#seen[branch]! |= bucket;
      isNew = true;
    }
    return isNew;
  }

  #add(input: Buffer, isSeed: boolean): void {
    const kept = Buffer.from(input);
    this.#inputs.push(kept);
    if (this.#options.keep !== undefined && !isSeed) save(this.#options.keep, kept);
  }

  #found(input: Buffer, error: unknown): void {
    const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    const place = stack.split("\n").find((line) => line.trim().startsWith("at ")) ?? "";
    const key = `${message.split("\n")[0]!.replace(/\d+/g, "0").slice(0, 60)} ${place.replace(/:\d+:\d+/, "")}`;
    if (this.#findings.has(key)) return;
    const file = save(this.#options.findings, input);
    this.#findings.set(key, `${file}: ${message.split("\n").slice(0, 12).join("\n")}\n${stack}`);
    parentPort?.postMessage({ finding: this.#findings.get(key) });
  }

  #outcome(seconds: number): Outcome {
    let features = 0;
    for (let bits of this.#seen) for (; bits > 0; bits &= bits - 1) features++;
    return {
      executions: this.#state[0]!,
      seconds,
      branches: this.#seen.filter((bits) => bits > 0).length,
      features,
      inputs: this.#inputs.length,
      findings: [...this.#findings.values()],
    };
  }
}

function inputsOf(folders: readonly string[]): Buffer[] {
  return folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => readFileSync(join(folder, name))));
}

/** @returns the file's path */
export function save(folder: string, input: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, createHash("sha256").update(input).digest("hex").slice(0, 12));
  writeFileSync(file, input);
  return file;
}

/** In a worker: runs a target until its time is over. */
export async function runTarget(target: Target): Promise<void> {
  const outcome = await new Loop(target, workerData as LoopOptions).run();
  parentPort!.postMessage({ outcome });
  process.exit();
}
