/** Reloader: reads the configuration anew, says what has changed, and has it carried out; or says what is wrong with it. */
import process from "node:process";
import { changesOf } from "../config/changes.ts";
import { FileRecord } from "../config/files.ts";
import { ConfigError } from "../config/problem.ts";
import type { Family } from "../observe/exposition.ts";
import type { BoundAddress } from "../serve/listener.ts";
import type { Admin } from "./admin.ts";
import type { Carrier } from "./carrier.ts";
import type { Configuration, ConfigurationSource } from "./configuration.ts";
import { announceAddresses, type Output } from "./output.ts";

/** What came of it; `report` is ready to print, and nothing has changed then. */
export type ReloadOutcome =
  | { readonly ok: true; readonly changes: readonly string[] }
  | { readonly ok: false; readonly report: string };

export interface ReloaderOptions {
  readonly source: ConfigurationSource;
  /** What is carried out now. */
  readonly current: Configuration;
  readonly carrier: Carrier;
  readonly output: Output;
  readonly admin: Admin;
  /** Told after each try which files were read for it. */
  readonly onFiles: (paths: Iterable<string>) => Promise<void>;
}

/** Settings that are read once, when the command starts. */
const fixed = ["log_level", "access_log", "workers"] as const;

export class Reloader {
  readonly #options: ReloaderOptions;
  #current: Configuration;
  #stopped = false;
  #done = 0;
  #failed = 0;
  /** Of the last reload that was asked for. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#current = options.current;
  }

  /** What is carried out now. */
  get current(): Configuration {
    return this.#current;
  }

  /** Reloads after all that were asked for before. @param cause for the log: "file", "SIGHUP" */
  reload(cause: string): Promise<ReloadOutcome> {
    const outcome = this.#last.then(() => this.#reload(cause));
    this.#last = outcome;
    return outcome;
  }

  families(): Family[] {
    const samples = [
      { labels: { result: "done" }, value: this.#done },
      { labels: { result: "failed" }, value: this.#failed },
    ];
    return [{ name: "manifold_reloads_total", type: "counter", help: "Reloads of the configuration.", samples }];
  }

  /** The end is near: what is asked for from now on is not done. */
  stop(): void {
    this.#stopped = true;
  }

  async #reload(cause: string): Promise<ReloadOutcome> {
    const { source, output, onFiles } = this.#options;
    if (this.#stopped) return { ok: false, report: "not reloaded: the process is ending" };
    if (source.file === undefined) return { ok: false, report: "there is no file to reload" };
    const record = new FileRecord(source.file);
    try {
      const next = await source.load(undefined, record);
      await onFiles(record.contents.keys());
      const changes = await this.#change(next);
      if (next.warnings !== "" && changes.length > 0) process.stderr.write(`${next.warnings}\n\n`);
      if (changes.length > 0 || cause !== "file") tell(changes, cause, output);
      this.#done++;
      return { ok: true, changes };
    } catch (error) {
      await onFiles(record.contents.keys());
      const report = reportOf(error);
      process.stderr.write(`${report}\n\n`);
      output.log.error({ file: source.file, cause }, "not reloaded, nothing has changed");
      this.#failed++;
      return { ok: false, report };
    }
  }

  /** Also where nothing is to be told: a new process of this configuration must find the newest one here. */
  async #change(next: Configuration): Promise<string[]> {
    const changes = changesOf(this.#current, next);
    if (changes.length > 0) await this.#apply(next);
    const needsRestart = fixed.filter((key) => next.config[key] !== this.#current.config[key]);
    this.#current = next;
    return changes.map((change) =>
      needsRestart.some((key) => change === `~ ${key}`) ? `${change} (needs a restart)` : change,
    );
  }

  /** Says where it listens now and didn't before. */
  async #apply(next: Configuration): Promise<void> {
    const { admin, carrier, output } = this.#options;
    const before = carrier.addresses;
    const prepared = await admin.prepare(next);
    try {
      await carrier.apply(next);
    } catch (error) {
      prepared.discard();
      throw error;
    }
    prepared.apply();
    const isNew = ({ address, port, secure }: BoundAddress) =>
      !before.some((one) => one.address === address && one.port === port && one.secure === secure);
    announceAddresses(carrier.addresses.filter(isNew), output);
  }
}

function tell(changes: readonly string[], cause: string, { format, announce }: Output): void {
  if (format === "json") announce("reloaded", { cause, changes });
  else if (changes.length === 0) announce("reloaded: nothing has changed");
  else announce(["reloaded", ...changes].join("\n  "));
}

function reportOf(error: unknown): string {
  if (error instanceof ConfigError) {
    const count = error.problems.length;
    return `${error.message}\n\n${count} problem${count === 1 ? "" : "s"}`;
  }
  return error instanceof Error ? error.message : String(error);
}
