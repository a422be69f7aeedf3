/** Worker: a process that carries calls, and does what its supervisor says. */
import process from "node:process";
import { readFrom } from "../../config/files.ts";
import type { ServeCommand } from "../args.ts";
import type { LocalCarrier } from "../carrier.ts";
import { sourceOf } from "../configuration.ts";
import { outputOf, start } from "../start.ts";
import { contentsOf, errorFields, type FileList, type FromWorker, type ToWorker } from "./messages.ts";

/** Signals that reach all processes of a terminal: the supervisor decides what they mean. */
const supervised = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;

/**
 * Runs until the supervisor says so, or is gone.
 *
 * @returns the exit code
 */
export function runWorker(command: ServeCommand): Promise<number> {
  for (const signal of supervised) process.on(signal, () => {});
  return new Promise((resolve) => {
    const worker = new Worker(command, resolve);
    process.on("message", (message: ToWorker) => void worker.receive(message));
    process.on("disconnect", () => void worker.close(false));
    tell({ type: "hello" });
  });
}

class Worker {
  readonly #command: ServeCommand;
  readonly #ended: (code: number) => void;
  #carrier: LocalCarrier | undefined;

  constructor(command: ServeCommand, ended: (code: number) => void) {
    this.#command = command;
    this.#ended = ended;
  }

  async receive(message: ToWorker): Promise<void> {
    if (message.type === "close") return this.close(message.replaced);
    if (message.type === "closeNow") return this.#closeNow();
    const { id } = message;
    try {
      tell({ type: "answer", id, value: await this.#answer(message) });
    } catch (error) {
      tell({ type: "failure", id, error: errorFields(error) });
    }
  }

  async close(replaced: boolean): Promise<void> {
    await (replaced ? this.#carrier?.leave() : this.#carrier?.close());
    await this.#tellLast();
    this.#ended(0);
  }

  async #tellLast(): Promise<void> {
    if (this.#carrier === undefined || !process.connected) return;
    const message: FromWorker = { type: "last", families: await this.#carrier.families() };
    await new Promise((resolve) => process.send?.(message, undefined, undefined, resolve));
  }

  #closeNow(): void {
    this.#carrier?.closeNow();
    this.#ended(1);
  }

  async #answer(message: Exclude<ToWorker, { type: "close" | "closeNow" }>): Promise<unknown> {
    if (message.type === "start") return this.#start(message.files, message.disabled);
    const carrier = this.#carrier!;
    switch (message.type) {
      case "apply":
        await carrier.apply(await this.#load(message.files));
        return carrier.addresses;
      case "families":
        return carrier.families();
      case "upstreams":
        return carrier.upstreams();
      case "enable":
        return carrier.enable(message.upstream, message.endpoint, message.enabled);
    }
  }

  async #start(files: FileList, disabled: readonly (readonly [string, string])[]): Promise<unknown> {
    const configuration = await this.#load(files);
    const output = outputOf(this.#command, configuration.config, { shared: true });
    this.#carrier = await start(configuration, output);
    for (const [upstream, endpoint] of disabled) await this.#carrier.enable(upstream, endpoint, false);
    return this.#carrier.addresses;
  }

  /** What the supervisor has read, and not what the files have become since. */
  #load(files: FileList) {
    return sourceOf(this.#command).load(readFrom(contentsOf(files)));
  }
}

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}
