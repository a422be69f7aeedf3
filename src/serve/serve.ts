/** Serve: gives a proxy its listeners, and ends them in order. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Log } from "../observe/log.ts";
import type { Proxy } from "../proxy.ts";
import { parseListenAddress } from "./address.ts";
import {
  type BoundAddress,
  kindOf,
  type ListenContext,
  type Listener,
  type ListenerOptions,
  listen,
} from "./listener.ts";

export type { BoundAddress, ListenerOptions } from "./listener.ts";

export interface ServeOptions {
  /** Addresses, or addresses with TLS and limits. */
  readonly listen: readonly (string | ListenerOptions)[];
  /** Milliseconds that calls in flight may take after `close`. Default 30 s, as Kubernetes gives a pod. */
  readonly drainTimeoutMs?: number;
  readonly log?: Log;
  /** Told the name of each limit of a listener that has turned something away before it was a call: "connections". */
  readonly onLimit?: ((limit: string) => void) | undefined;
}

export interface Server {
  /** Where it listens, in the order of `listen`. */
  readonly addresses: readonly BoundAddress[];
  /** What is open now, in the same order; then listeners that are being ended, as long as they have connections. */
  readonly listeners: readonly ListenerState[];
  /**
   * Goes on with other listeners. One whose address is the same keeps its port and its connections, and takes what else is new:
   * certificates for new connections, CORS for new calls; where limits or client authorities differ, its connections end with
   * their last call. Listeners that aren't named any more take no new calls, and those they have end when they like.
   * One update at a time.
   *
   * @throws what `serve` throws; then all is as before
   */
  update(options: Pick<ServeOptions, "listen" | "drainTimeoutMs">): Promise<void>;
  /** Stops to accept, says GOAWAY, lets calls finish within the bound; those left then get `unavailable`. */
  close(): Promise<void>;
  /** Ends everything now. */
  closeNow(): void;
}

export interface ListenerState extends BoundAddress {
  readonly connections: number;
  /** Calls. */
  readonly streams: number;
}

const defaultDrainTimeoutMs = 30_000;

/**
 * Listens for calls.
 *
 * @throws TypeError naming the address if one isn't host:port; the system's error (EADDRINUSE...) if a port can't be had. Then
 * nothing listens.
 */
export async function serve(proxy: Proxy, options: ServeOptions): Promise<Server> {
  const server = new PortGroup({ proxy, log: options.log, onLimit: options.onLimit });
  await server.update(options);
  return server;
}

class PortGroup implements Server {
  readonly #context: ListenContext;
  #listeners: readonly Listener[] = [];
  /** Not listened on any more, with calls still open. */
  readonly #leaving = new Set<Listener>();
  #drainTimeoutMs = defaultDrainTimeoutMs;
  #closed = false;

  constructor(context: ListenContext) {
    this.#context = context;
  }

  get addresses(): readonly BoundAddress[] {
    return this.#listeners.map(({ bound }) => bound);
  }

  get listeners(): readonly ListenerState[] {
    return this.#all.map(({ bound, connections, streams }) => ({ ...bound, connections, streams }));
  }

  async update({ listen, drainTimeoutMs = defaultDrainTimeoutMs }: Pick<ServeOptions, "listen" | "drainTimeoutMs">) {
    const wanted = listen.map((one) => (typeof one === "string" ? { address: one } : one));
    const { kept, gone } = pair(this.#listeners, wanted);
    const apply = [...kept].map(([options, listener]) => listener.prepare(options));
    const opened = await this.#open(
      wanted.filter((options) => !kept.has(options)),
      gone,
    );
    for (const go of apply) go();
    this.#listeners = wanted.map((options) => kept.get(options) ?? opened.get(options)!);
    this.#drainTimeoutMs = drainTimeoutMs;
    for (const listener of gone) {
      this.#leaving.add(listener);
      void listener.drain().then(() => this.#leaving.delete(listener));
    }
    if (this.#closed) this.closeNow(); // while ports were being opened
  }

  async close(): Promise<void> {
    this.#closed = true;
    const timer = setTimeout(() => this.closeNow(), this.#drainTimeoutMs);
    await Promise.all(this.#all.map((listener) => listener.drain()));
    clearTimeout(timer);
  }

  closeNow(): void {
    this.#closed = true;
    for (const listener of this.#all) end(listener);
  }

  get #all(): Listener[] {
    return [...this.#listeners, ...this.#leaving];
  }

  /** Opens them all or none. An address that differs from an old one in its host alone can't be had as long as that is open. */
  async #open(wanted: readonly ListenerOptions[], gone: readonly Listener[]): Promise<Map<ListenerOptions, Listener>> {
    const portOf = ({ address }: ListenerOptions) => parseListenAddress(address).port;
    const inTheWay = gone.filter(({ bound }) => wanted.some((options) => portOf(options) === bound.port));
    const freed = new Set(inTheWay.map(({ bound }) => bound.port));
    for (const listener of inTheWay) listener.closePort();
    const opened = new Map<ListenerOptions, Listener>();
    try {
      for (const options of wanted) {
        const tries = freed.has(portOf(options)) ? maxTries : 1;
        opened.set(options, await listenPatiently(options, this.#context, tries));
      }
    } catch (error) {
      for (const listener of opened.values()) end(listener);
      for (const listener of inTheWay) await listener.openPort();
      throw error;
    }
    return opened;
  }
}

/** Tries to open a port that was ours a moment ago: another worker may not have let go of it yet. */
const maxTries = 40;
const retryMs = 50;

async function listenPatiently(options: ListenerOptions, context: ListenContext, triesLeft: number): Promise<Listener> {
  try {
    return await listen(options, context);
  } catch (error) {
    if (triesLeft <= 1 || (error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    await new Promise((resolve) => setTimeout(resolve, retryMs));
    return listenPatiently(options, context, triesLeft - 1);
  }
}

/** Which listeners go on with which options: those of the same address and kind, in order where several have port 0. */
function pair(listeners: readonly Listener[], wanted: readonly ListenerOptions[]) {
  const left = new Set(listeners);
  const kept = new Map<ListenerOptions, Listener>();
  for (const options of wanted) {
    const listener = [...left].find(
      (one) => one.options.address === options.address && kindOf(one.options) === kindOf(options),
    );
    if (listener === undefined) continue;
    left.delete(listener);
    kept.set(options, listener);
  }
  return { kept, gone: [...left] };
}

function end(listener: Listener): void {
  void listener.drain();
  listener.abort(new ConnectError("server is shutting down", Code.Unavailable));
}
