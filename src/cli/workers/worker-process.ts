/** Worker process: a worker as its supervisor sees it, that can be asked and told. */
import cluster, { type Worker } from "node:cluster";
import type { Family } from "../../observe/exposition.ts";
import { errorOf, type FromWorker, type Question, type Questions, type ToWorker } from "./messages.ts";

/** Milliseconds for an answer; opening a port again may take its time, and so may a start on a busy machine. */
const answerTimeoutMs = 30_000;

interface Asked {
  resolve(value: unknown): void;
  reject(error: Error): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class WorkerProcess {
  /** When it was started, by `performance.now()`. */
  readonly startedAt = performance.now();
  /** It carries calls. */
  ready = false;
  /** It has been told to end. */
  leaving = false;
  /** What it had counted when it last told. */
  families: readonly Family[] = [];
  /** Resolves with how it ended: "exit code 1", "signal SIGKILL". */
  readonly exited: Promise<string>;
  readonly #worker: Worker;
  readonly #hello: Promise<void>;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;

  constructor() {
    const worker = cluster.fork();
    this.#worker = worker;
    this.exited = exitOf(worker);
    void this.exited.then(() => {
      for (const { reject, timer } of this.#asked.values()) {
        clearTimeout(timer);
        reject(new Error("the worker has ended"));
      }
      this.#asked.clear();
    });
    this.#hello = new Promise((resolve) => {
      worker.on("message", (message: FromWorker) => {
        if (message.type === "hello") resolve();
        else if (message.type === "last") this.families = message.families;
        else this.#answered(message);
      });
    });
    worker.on("error", () => {}); // a message that can't be sent any more: `exit` says the rest
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Rejects with the worker's error, or where it ends or doesn't answer. */
  async ask<Name extends Question>(type: Name, what: Questions[Name]): Promise<unknown> {
    await Promise.race([this.#hello, this.exited.then((how) => Promise.reject(new Error(`a worker ended: ${how}`)))]);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new Error(`a worker didn't answer within ${answerTimeoutMs} ms`));
      }, answerTimeoutMs);
      this.#asked.set(id, { resolve, reject, timer });
      this.#send({ type, id, ...what } as ToWorker);
    });
  }

  /** Tells it to end: with its open calls, or at once. */
  close(how: "drain" | "replaced" | "now"): void {
    this.leaving = true;
    void this.#hello.then(() =>
      this.#send(how === "now" ? { type: "closeNow" } : { type: "close", replaced: how === "replaced" }),
    );
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message);
  }

  #answered(message: Exclude<FromWorker, { type: "hello" | "last" }>): void {
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    clearTimeout(asked?.timer);
    if (message.type === "answer") asked?.resolve(message.value);
    else asked?.reject(errorOf(message.error));
  }
}

/** Milliseconds for the channel of a process that has ended to be closed. */
const disconnectMs = 1_000;

/** Only when its channel is closed, too, does node:cluster hand it no more connections. */
function exitOf(worker: Worker): Promise<string> {
  return new Promise((resolve) => {
    worker.once("exit", (code: number | null, signal: string | null) => {
      const how = signal ? `signal ${signal}` : `exit code ${code}`;
      if (!worker.isConnected()) return resolve(how);
      const timer = setTimeout(() => resolve(how), disconnectMs);
      worker.once("disconnect", () => {
        clearTimeout(timer);
        resolve(how);
      });
    });
  });
}
