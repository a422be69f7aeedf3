/** Endpoint file: a list of endpoints in a file of its own, which is looked at again and again. */
import { readFile, stat } from "node:fs/promises";
import type { Discovery, EndpointListener } from "../upstream/endpoint-source.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import { type EndpointList, type EndpointRules, listProblems } from "./check-endpoints.ts";
import { byPlace, ConfigError } from "./problem.ts";
import { parseSource } from "./source.ts";
import { endpointList } from "./upstream-schema.ts";
import { schemaProblems } from "./validate.ts";

/**
 * Reads a list of endpoints, written as in `upstreams: endpoints:`. An empty list is one; an empty file is a fault, for it may have
 * been cut off.
 *
 * @throws ConfigError with every problem and its place
 */
export function parseEndpoints(name: string, text: string, rules: EndpointRules): EndpointList {
  const source = parseSource(name, text);
  if (source.problems.length > 0) throw new ConfigError([...source.problems].sort(byPlace), text);
  if (source.value === null)
    throw new ConfigError([source.problem([], "the file is empty: no endpoints are []")], text);
  const problems = schemaProblems(source, endpointList);
  if (problems.length > 0) throw new ConfigError(problems.sort(byPlace), text);
  const list = endpointList.parse(source.value);
  const unfit = listProblems(source, { path: [], value: list }, rules);
  if (unfit.length > 0) throw new ConfigError(unfit.sort(byPlace), text);
  return list;
}

export interface EndpointFileOptions {
  /** What problems are told by. */
  readonly name: string;
  readonly rules: EndpointRules;
  /** Makes what an upstream takes of what the file says. */
  readonly optionsOf: (endpoint: EndpointList[number]) => EndpointOptions;
  /** Milliseconds between two looks. Default 1 s. */
  readonly intervalMs?: number;
}

/** Milliseconds in which a file mustn't have changed any more: one that is written in place is cut off for a moment. */
const settleMs = 100;

/**
 * Watches a file. By looking, which sees an editor's exchange of the file, Kubernetes' exchange of a link above it, and a network's
 * file systems alike, on every runtime.
 */
export function endpointFile(path: string, options: EndpointFileOptions): Discovery {
  return (listener) => {
    const watch = new FileWatch(path, options, listener);
    void watch.look();
    return { close: () => watch.close() };
  };
}

class FileWatch {
  readonly #path: string;
  readonly #options: EndpointFileOptions;
  readonly #listener: EndpointListener;
  #state = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(path: string, options: EndpointFileOptions, listener: EndpointListener) {
    this.#path = path;
    this.#options = options;
    this.#listener = listener;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async look(): Promise<void> {
    const first = this.#state === "";
    const state = await stateOf(this.#path);
    if (state !== this.#state) {
      if (!first) await new Promise((resolve) => setTimeout(resolve, settleMs));
      const settled = first ? state : await stateOf(this.#path);
      if (settled === state) {
        this.#state = state;
        await this.#read();
      }
    }
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.look(), this.#options.intervalMs ?? 1_000);
    this.#timer.unref();
  }

  async #read(): Promise<void> {
    const { name, rules, optionsOf } = this.#options;
    try {
      const text = await readFile(this.#path, "utf8");
      if (!this.#closed) this.#listener.onEndpoints(parseEndpoints(name, text, rules).map(optionsOf));
    } catch (error) {
      if (!this.#closed) this.#listener.onFailed(describe(error, name));
    }
  }
}

/** Which file there is by this name, links followed, and when it was written. */
async function stateOf(path: string): Promise<string> {
  return stat(path).then(
    ({ ino, size, mtimeMs, ctimeMs }) => `${ino} ${size} ${mtimeMs} ${ctimeMs}`,
    (error) => `not there: ${(error as { code?: string }).code}`,
  );
}

function describe(error: unknown, name: string): Error {
  if (error instanceof ConfigError) return error;
  const { code } = error as { code?: string };
  return new Error(`${name}: ${code === "ENOENT" ? "no such file" : `can't be read (${code})`}`, { cause: error });
}
