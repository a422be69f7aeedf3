/** Discovery: the addresses behind a host name, kept up to date. */
import { lookup } from "node:dns";

/** Resolves a host name to every address it has; rejects where there is none. */
export type Lookup = (host: string) => Promise<string[]>;

/** The system's resolver (hosts file, then DNS), A and AAAA, in its order. */
export const lookupAddresses: Lookup = (host) =>
  new Promise((resolve, reject) => {
    lookup(host, { all: true, order: "verbatim" } as { all: true }, (error, found) => {
      if (error) reject(error);
      else if (found.length === 0) reject(new Error(`${host} has no address`));
      else resolve(found.map(({ address }) => address));
    });
  });

/** Milliseconds between two lookups of one name, at least: many connections may fail at once, and each asks for one. */
const restMs = 1_000;

export interface NameOptions {
  readonly host: string;
  readonly lookup: Lookup;
  /** Milliseconds after which those who wait for a first answer wait no longer. The answer still counts when it comes. */
  readonly timeoutMs: number;
  /** The addresses have changed. */
  onAddresses(addresses: readonly string[]): void;
  /** A lookup failed. Addresses known before stay in use. */
  onFailed(error: Error): void;
}

/** One host name and its last good addresses. */
export class ResolvedName {
  readonly #options: NameOptions;
  #addresses: readonly string[] = [];
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: NameOptions) {
    this.#options = options;
  }

  /** A lookup is running that somebody may wait for. */
  get resolving(): boolean {
    return this.#timer !== undefined;
  }

  /** Asks anew, unless that is being done or was done within the last second. */
  refresh(): void {
    if (this.#closed || this.#running || performance.now() - this.#lastAt < restMs) return;
    const { host, timeoutMs } = this.#options;
    this.#running = true;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#options.onFailed(new Error(`no answer for ${host} within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#options.lookup(host).then(
      (addresses) => this.#answered(addresses, undefined),
      (error: Error) => this.#answered(undefined, error),
    );
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #answered(addresses: string[] | undefined, error: Error | undefined): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = false;
    this.#lastAt = performance.now();
    if (addresses === undefined || addresses.length === 0) {
      this.#options.onFailed(error ?? new Error(`${this.#options.host} has no address`));
      return;
    }
    const unique = [...new Set(addresses)];
    const same = unique.length === this.#addresses.length && unique.every((one) => this.#addresses.includes(one));
    if (same) return; // resolvers shuffle; the order says nothing
    this.#addresses = unique;
    this.#options.onAddresses(unique);
  }
}
