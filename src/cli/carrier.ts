/** Carrier: what carries the calls that a configuration speaks of; here this process itself. */
import { type Built, build, type Observers, type Parts } from "../config/build.ts";
import { CallMetrics } from "../observe/call-metrics.ts";
import { addUp, type Family } from "../observe/exposition.ts";
import {
  attemptFamilies,
  stateOf,
  switchEndpoints,
  type UpstreamState,
  upstreamFamilies,
} from "../observe/upstream-state.ts";
import type { BoundAddress } from "../serve/listener.ts";
import { type Server, serve } from "../serve/serve.ts";
import type { Configuration } from "./configuration.ts";
import { listenerFamilies, processFamilies } from "./figures.ts";

export interface Carrier {
  /** Where it listens, in the order of the configuration. */
  readonly addresses: readonly BoundAddress[];
  /**
   * Goes on as a new configuration says. One at a time.
   *
   * @throws the system's error for a port that can't be had, TypeError for what can't be used: then nothing has changed
   */
  apply(configuration: Configuration): Promise<void>;
  /** Takes no more calls, and resolves when those there are have ended, or their time has; then all is closed. */
  close(): Promise<void>;
  /** Ends all calls. */
  closeNow(): void;
  /** Figures of calls, connections and the processes that have them. */
  families(): Promise<readonly Family[]>;
  upstreams(): Promise<readonly UpstreamState[]>;
  /** Lets calls go to an endpoint, or not; streams that are open go on. Resolves with false where there is no such endpoint. */
  enable(upstream: string, endpoint: string, enabled: boolean): Promise<boolean>;
  /** Puts new processes in the place of those there are, one after the other. Undefined where there is one alone. */
  readonly restart: (() => Promise<void>) | undefined;
}

/** Listens, in this process. Calls are counted if there is somebody to ask for it: `admin`. */
export async function carryHere(parts: Parts, observers: Observers): Promise<LocalCarrier> {
  const metrics = parts.config.admin === undefined ? undefined : new CallMetrics();
  const onCall = both(observers.onCall, metrics?.record);
  const built = build(parts, onCall === undefined ? observers : { ...observers, onCall });
  const { listen, drainTimeoutMs } = built;
  const onLimit = metrics && ((limit: string) => metrics.reject(limit));
  const server = await serve(built.proxy, { listen, drainTimeoutMs, log: observers.log, onLimit });
  return new LocalCarrier(built, server, metrics);
}

type OnCall = NonNullable<Observers["onCall"]>;

function both(one: OnCall | undefined, other: OnCall | undefined): OnCall | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return (record) => {
    one(record);
    other(record);
  };
}

export class LocalCarrier implements Carrier {
  readonly built: Built;
  readonly server: Server;
  readonly restart = undefined;
  readonly #metrics: CallMetrics | undefined;
  /** Endpoints that calls may not go to, by upstream and name: what is made anew when the configuration changes is told again. */
  readonly #disabled = new Map<string, readonly [upstream: string, endpoint: string]>();
  /** What upstreams that have gone had counted: a counter never goes back. */
  #past: readonly Family[] = [];
  #drainDelayMs: number;
  /** Ends the time in which calls are still taken. */
  #hurry = () => {};

  constructor(built: Built, server: Server, metrics: CallMetrics | undefined) {
    this.built = built;
    this.server = server;
    this.#metrics = metrics;
    this.#drainDelayMs = built.drainDelayMs;
  }

  get addresses(): readonly BoundAddress[] {
    return this.server.addresses;
  }

  async apply(parts: Parts): Promise<void> {
    const prepared = this.built.prepare(parts);
    const before = [...this.built.upstreams.values()];
    try {
      await this.server.update(prepared);
    } catch (error) {
      prepared.discard();
      throw error;
    }
    prepared.apply();
    const kept = new Set(this.built.upstreams.values());
    const gone = before.filter((upstream) => !kept.has(upstream));
    this.#past = addUp([this.#past, attemptFamilies(gone.map(stateOf))]);
    this.#drainDelayMs = prepared.drainDelayMs;
    for (const [upstream, endpoint] of this.#disabled.values()) this.#switch(upstream, endpoint, false);
  }

  async close(): Promise<void> {
    this.built.health.drain();
    if (this.#drainDelayMs > 0) await this.#delay();
    await this.server.close();
    this.built.close();
  }

  /** The same, where another process takes calls on the same ports. */
  async leave(): Promise<void> {
    this.built.health.leave();
    await this.server.close();
    this.built.close();
  }

  closeNow(): void {
    this.#hurry();
    this.server.closeNow();
    this.built.close();
  }

  async families(): Promise<readonly Family[]> {
    const states = await this.upstreams();
    const { listeners } = this.server;
    return [
      ...(this.#metrics?.families() ?? []),
      ...listenerFamilies(listeners),
      ...addUp([this.#past, attemptFamilies(states)]),
      ...upstreamFamilies(states),
      ...processFamilies(),
    ];
  }

  async upstreams(): Promise<readonly UpstreamState[]> {
    return [...this.built.upstreams.values()].map(stateOf);
  }

  async enable(upstream: string, endpoint: string, enabled: boolean): Promise<boolean> {
    const key = JSON.stringify([upstream, endpoint]);
    if (!this.#switch(upstream, endpoint, enabled)) return false;
    if (enabled) this.#disabled.delete(key);
    else this.#disabled.set(key, [upstream, endpoint]);
    return true;
  }

  #switch(upstream: string, endpoint: string, enabled: boolean): boolean {
    return switchEndpoints(this.built.upstreams.get(upstream), endpoint, enabled);
  }

  #delay(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#drainDelayMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
