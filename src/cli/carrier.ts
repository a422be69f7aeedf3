/** Carrier: what carries the calls that a configuration speaks of; here this process itself. */
import { type Built, build, type Observers, type Parts } from "../config/build.ts";
import type { BoundAddress } from "../serve/listener.ts";
import { type Server, serve } from "../serve/serve.ts";
import type { Configuration } from "./configuration.ts";

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
}

/** Listens, in this process. */
export async function carryHere(parts: Parts, observers: Observers): Promise<LocalCarrier> {
  const built = build(parts, observers);
  const { listen, drainTimeoutMs } = built;
  return new LocalCarrier(built, await serve(built.proxy, { listen, drainTimeoutMs, log: observers.log }));
}

export class LocalCarrier implements Carrier {
  readonly built: Built;
  readonly server: Server;
  #drainDelayMs: number;
  /** Ends the time in which calls are still taken. */
  #hurry = () => {};

  constructor(built: Built, server: Server) {
    this.built = built;
    this.server = server;
    this.#drainDelayMs = built.drainDelayMs;
  }

  get addresses(): readonly BoundAddress[] {
    return this.server.addresses;
  }

  async apply(parts: Parts): Promise<void> {
    const prepared = this.built.prepare(parts);
    try {
      await this.server.update(prepared);
    } catch (error) {
      prepared.discard();
      throw error;
    }
    prepared.apply();
    this.#drainDelayMs = prepared.drainDelayMs;
  }

  async close(): Promise<void> {
    this.built.health.drain();
    if (this.#drainDelayMs > 0) await this.#delay();
    await this.server.close();
    this.built.close();
  }

  closeNow(): void {
    this.#hurry();
    this.server.closeNow();
    this.built.close();
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
