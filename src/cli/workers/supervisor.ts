/** Supervisor: carries calls in worker processes that share the ports, and keeps as many of them alive as there should be. */
import { addUp, type Family } from "../../observe/exposition.ts";
import type { Log } from "../../observe/log.ts";
import { addUpStates, type UpstreamState } from "../../observe/upstream-state.ts";
import type { BoundAddress } from "../../serve/listener.ts";
import type { Carrier } from "../carrier.ts";
import type { Configuration } from "../configuration.ts";
import { fileList, type Questions } from "./messages.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Milliseconds before a worker that has crashed is replaced: doubled with each crash that follows soon, up to the most. */
const firstDelayMs = 100;
const maxDelayMs = 10_000;

/** Milliseconds after which a worker counts as one that works. */
const soundMs = 30_000;

/** Milliseconds that a worker has to end when it is told to end at once. */
const killAfterMs = 1_000;

export interface SupervisorOptions {
  readonly count: number;
  readonly configuration: Configuration;
  readonly log: Log;
}

/** Starts the workers. Rejects with the first error of any; then none is left. */
export async function carryInWorkers(options: SupervisorOptions): Promise<Carrier> {
  const supervisor = new Supervisor(options);
  await supervisor.start();
  return supervisor;
}

class Supervisor implements Carrier {
  addresses: readonly BoundAddress[] = [];
  readonly #count: number;
  readonly #log: Log;
  #configuration: Configuration;
  readonly #workers = new Set<WorkerProcess>();
  /** Endpoints that calls may not go to, for workers to come. */
  readonly #disabled = new Map<string, readonly [upstream: string, endpoint: string]>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** What workers that have ended had counted: a counter never goes back. */
  #past: readonly Family[] = [];
  #crashes = 0;
  #delayMs = firstDelayMs;
  #closing = false;
  /** Changes to the set of workers come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ count, configuration, log }: SupervisorOptions) {
    this.#count = count;
    this.#configuration = configuration;
    this.#log = log;
  }

  /** The first alone: what is wrong with a port would be wrong for all. */
  async start(): Promise<void> {
    try {
      await this.#add();
      await Promise.all(Array.from({ length: this.#count - 1 }, () => this.#add()));
    } catch (error) {
      this.closeNow();
      throw error;
    }
  }

  apply(configuration: Configuration): Promise<void> {
    return this.#inTurn(() => this.#apply(configuration));
  }

  readonly restart = (): Promise<void> =>
    this.#inTurn(async () => {
      for (const old of this.#ready) {
        if (this.#closing) return;
        await this.#add();
        old.close("replaced");
      }
    });

  async close(): Promise<void> {
    this.#stop();
    await this.#last.catch(() => {}); // a worker that is being started has to be told as well
    const workers = [...this.#workers];
    for (const worker of workers) if (!worker.leaving) worker.close("drain");
    await Promise.all(workers.map(({ exited }) => exited));
  }

  closeNow(): void {
    this.#stop();
    for (const worker of this.#workers) {
      worker.close("now");
      const timer = setTimeout(() => worker.kill(), killAfterMs);
      void worker.exited.then(() => clearTimeout(timer));
    }
  }

  async families(): Promise<readonly Family[]> {
    const working = [...this.#workers].filter(({ ready }) => ready);
    await Promise.allSettled(
      working.map(async (worker) => {
        worker.families = (await worker.ask("families", {})) as Family[];
      }),
    );
    const crashes: Family = {
      name: "manifold_worker_crashes_total",
      type: "counter",
      help: "Workers that ended without being told to.",
      samples: [{ labels: {}, value: this.#crashes }],
    };
    const told = working.filter((worker) => this.#workers.has(worker)); // what others had counted is in the past by now
    return [...addUp([this.#past, ...told.map(({ families }) => families)]), crashes];
  }

  async upstreams(): Promise<readonly UpstreamState[]> {
    return addUpStates((await this.#askAll("upstreams", {})) as UpstreamState[][]);
  }

  enable(upstream: string, endpoint: string, enabled: boolean): Promise<boolean> {
    return this.#inTurn(() => this.#enable(upstream, endpoint, enabled)); // a worker that is being started must hear of it
  }

  async #enable(upstream: string, endpoint: string, enabled: boolean): Promise<boolean> {
    const answers = await this.#askAll("enable", { upstream, endpoint, enabled });
    if (!answers.includes(true)) return false;
    const key = JSON.stringify([upstream, endpoint]);
    if (enabled) this.#disabled.delete(key);
    else this.#disabled.set(key, [upstream, endpoint]);
    return true;
  }

  get #ready(): WorkerProcess[] {
    return [...this.#workers].filter(({ ready, leaving }) => ready && !leaving);
  }

  /** The answers of those that haven't ended meanwhile. */
  async #askAll<Name extends "upstreams" | "enable">(type: Name, what: Questions[Name]): Promise<unknown[]> {
    const answers = await Promise.allSettled(this.#ready.map((worker) => worker.ask(type, what)));
    return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  }

  #inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const done = this.#last.catch(() => {}).then(change);
    this.#last = done;
    return done;
  }

  /** One worker more, that listens. */
  async #add(): Promise<void> {
    const worker = new WorkerProcess();
    this.#workers.add(worker);
    void worker.exited.then((how) => this.#exited(worker, how));
    try {
      const files = fileList(this.#configuration.contents);
      const disabled = [...this.#disabled.values()];
      this.addresses = (await worker.ask("start", { files, disabled })) as readonly BoundAddress[];
      worker.ready = true;
    } catch (error) {
      worker.leaving = true;
      worker.kill();
      throw error;
    }
  }

  /** All of them or none: what one can't do the others take back. One that has crashed meanwhile is replaced by another that can. */
  async #apply(configuration: Configuration): Promise<void> {
    const [before, workers] = [this.#configuration, this.#ready];
    const results = await Promise.allSettled(workers.map((worker) => this.#tellFiles(worker, configuration)));
    const done = workers.filter((_, index) => results[index]!.status === "fulfilled");
    const failed = results.find(
      (result, index) => result.status === "rejected" && (done.length === 0 || this.#workers.has(workers[index]!)),
    );
    if (failed?.status !== "rejected") {
      this.#configuration = configuration;
      return;
    }
    await Promise.allSettled(done.map((worker) => this.#tellFiles(worker, before)));
    throw failed.reason;
  }

  async #tellFiles(worker: WorkerProcess, { contents }: Configuration): Promise<void> {
    this.addresses = (await worker.ask("apply", { files: fileList(contents) })) as readonly BoundAddress[];
  }

  #exited(worker: WorkerProcess, how: string): void {
    this.#workers.delete(worker);
    this.#past = addUp([this.#past, worker.families.filter(({ type }) => type !== "gauge")]);
    if (worker.leaving || this.#closing) return;
    this.#crashes++;
    if (!worker.ready) return; // whoever starts it hears of it
    if (performance.now() - worker.startedAt > soundMs) this.#delayMs = firstDelayMs;
    this.#log.error({ worker: worker.pid, how, restart_in_ms: this.#delayMs }, "worker ended");
    this.#replaceLater();
  }

  #replaceLater(): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#inTurn(async () => {
        if (this.#closing || this.#ready.length >= this.#count) return;
        try {
          await this.#add();
        } catch (error) {
          this.#log.error({ error: (error as Error).message, again_in_ms: this.#delayMs }, "worker not started");
          this.#replaceLater();
        }
      });
    }, this.#delayMs);
    this.#timers.add(timer);
    this.#delayMs = Math.min(this.#delayMs * 2, maxDelayMs);
  }

  #stop(): void {
    this.#closing = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
