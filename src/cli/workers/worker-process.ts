/** Worker process: a worker as its supervisor sees it, that can be asked and told. */
import cluster, { type Worker } from "node:cluster";
import type { Socket } from "node:net";
import type { Family } from "../../observe/exposition.ts";
import { awaitWorker, receive, send } from "./channel.ts";
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
  readonly #channel: Promise<Socket>;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;
  /** Settles when the worker has said all it had to say. */
  #lastWords: Promise<unknown> = Promise.resolve();

  constructor() {
    const waiting = awaitWorker();
    const worker = cluster.fork(waiting.env);
    worker.on("error", () => {}); // of node:cluster's own channel: `exit` says the rest
    this.#worker = worker;
    this.#channel = waiting.socket;
    this.exited = exitOf(worker).then(async (how) => {
      waiting.end();
      await this.#lastWords;
      return how;
    });
    void this.exited.then(() => {
      for (const { reject, timer } of this.#asked.values()) {
        clearTimeout(timer);
        reject(new Error("the worker has ended"));
      }
      this.#asked.clear();
    });
    const listen = (channel: Socket) => {
      this.#lastWords = new Promise((resolve) => channel.once("close", resolve));
      receive<FromWorker>(channel, (message) => {
        if (message.type === "last") this.families = message.families;
        else this.#answered(message);
      });
    };
    this.#channel.then(listen, () => this.kill()); // `exit` says the rest
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Rejects with the worker's error, or where it ends or doesn't answer. */
  async ask<Name extends Question>(type: Name, what: Questions[Name]): Promise<unknown> {
    const ended = this.exited.then((how) => Promise.reject(new Error(`a worker ended: ${how}`)));
    const channel = await Promise.race([this.#channel, ended]);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new Error(`a worker didn't answer within ${answerTimeoutMs} ms`));
      }, answerTimeoutMs);
      this.#asked.set(id, { resolve, reject, timer });
      void send(channel, { type, id, ...what } satisfies { type: Question; id: number });
    });
  }

  /** Tells it to end: with its open calls, or at once. */
  close(how: "drain" | "replaced" | "now"): void {
    this.leaving = true;
    const message: ToWorker = how === "now" ? { type: "closeNow" } : { type: "close", replaced: how === "replaced" };
    this.#channel.then((channel) => send(channel, message)).catch(() => {});
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  #answered(message: Exclude<FromWorker, { type: "last" }>): void {
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
