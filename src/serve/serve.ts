/** Serve: gives a proxy its listeners, and ends them in order. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Log } from "../observe/log.ts";
import type { Proxy } from "../proxy.ts";
import { type BoundAddress, type Listener, type ListenerOptions, listen } from "./listener.ts";

export type { BoundAddress, ListenerOptions } from "./listener.ts";

export interface ServeOptions {
  /** Addresses, or addresses with TLS and limits. */
  readonly listen: readonly (string | ListenerOptions)[];
  /** Milliseconds that calls in flight may take after `close`. Default 30 s, as Kubernetes gives a pod. */
  readonly drainTimeoutMs?: number;
  readonly log?: Log;
}

export interface Server {
  /** Where it listens, in the order of `listen`. */
  readonly addresses: readonly BoundAddress[];
  /** Stops to accept, says GOAWAY, lets calls finish within the bound; those left then get `unavailable`. */
  close(): Promise<void>;
  /** Ends everything now. */
  closeNow(): void;
}

const defaultDrainTimeoutMs = 30_000;

/**
 * Listens for calls.
 *
 * @throws TypeError naming the address if one isn't host:port; the system's error (EADDRINUSE...) if a port can't be had. Then
 * nothing listens.
 */
export async function serve(proxy: Proxy, options: ServeOptions): Promise<Server> {
  const { drainTimeoutMs = defaultDrainTimeoutMs, log } = options;
  const listeners: Listener[] = [];
  const closeNow = () => {
    for (const listener of listeners) {
      void listener.drain();
      listener.abort(new ConnectError("server is shutting down", Code.Unavailable));
    }
  };
  try {
    for (const one of options.listen) {
      listeners.push(await listen(proxy, typeof one === "string" ? { address: one } : one, log));
    }
  } catch (error) {
    closeNow();
    throw error;
  }
  return {
    addresses: listeners.map(({ bound }) => bound),
    closeNow,
    async close() {
      const timer = setTimeout(closeNow, drainTimeoutMs);
      await Promise.all(listeners.map((listener) => listener.drain()));
      clearTimeout(timer);
    },
  };
}
