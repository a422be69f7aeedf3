/** Endpoint set: the endpoints of an upstream as they are now; those of host names come and go with the resolver's answers. */
import type { Log } from "../observe/log.ts";
import { type Lookup, ResolvedName } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Target } from "./target.ts";

/** Milliseconds between lookups of names that are in use. */
const intervalMs = 30_000;

export interface EndpointSetOptions {
  readonly upstream: string;
  readonly targets: readonly Target[];
  /** Makes the endpoint for some addresses of a target: one, or those of "localhost", which are tried in turn. */
  readonly create: (target: Target, addresses: readonly string[]) => Endpoint;
  readonly lookup: Lookup;
  /** Milliseconds that a call waits for a first answer. */
  readonly timeoutMs: number;
  readonly log: Log | undefined;
  /** `endpoints` or `resolving` has changed. */
  onChange(): void;
}

/** One configured endpoint: an address, or a name and the addresses it has now. */
interface Source {
  readonly target: Target;
  readonly name: ResolvedName | undefined;
  endpoints: readonly (readonly [address: string, endpoint: Endpoint])[];
}

export class EndpointSet {
  readonly #options: EndpointSetOptions;
  readonly #sources: readonly Source[];
  #endpoints: readonly Endpoint[] = [];
  #error: Error | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #used = false;
  #closed = false;

  constructor(options: EndpointSetOptions) {
    this.#options = options;
    this.#sources = options.targets.map((target) => this.#source(target));
    this.#gather();
  }

  /** In the order of the configuration. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** An answer is on its way that a call may wait for. */
  get resolving(): boolean {
    return this.#sources.some(({ name }) => name?.resolving === true);
  }

  /** Why there may be no endpoints. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** There are names, and nobody asks for their addresses at the moment: `watch()` is due. */
  get dormant(): boolean {
    return !this.#closed && this.#timer === undefined && this.#sources.some(({ name }) => name !== undefined);
  }

  /** A call came: names are asked for as long as some do. */
  markUsed(): void {
    this.#used = true;
  }

  /** Asks for all names now, and every 30 s until an interval goes by without a call. */
  watch(): void {
    if (!this.dormant) return;
    this.#timer = setInterval(() => this.#tick(), intervalMs);
    this.#timer.unref();
    this.refresh();
  }

  /** Asks for all names now. */
  refresh(): void {
    for (const { name } of this.#sources) name?.refresh();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const { name } of this.#sources) name?.close();
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #tick(): void {
    if (this.#used) {
      this.#used = false;
      this.refresh();
      return;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#options.onChange();
  }

  #source(target: Target): Source {
    const { create, lookup, timeoutMs } = this.#options;
    if (target.addresses !== undefined) {
      return { target, name: undefined, endpoints: [[target.host, create(target, target.addresses)]] };
    }
    const name = new ResolvedName({
      host: target.host,
      lookup,
      timeoutMs,
      onAddresses: (addresses) => this.#resolved(source, addresses),
      onFailed: (error) => this.#failed(target, error),
    });
    const source: Source = { target, name, endpoints: [] };
    return source;
  }

  /** Endpoints whose address stays keep their connections; the others finish the streams they have. */
  #resolved(source: Source, addresses: readonly string[]): void {
    const { create, log, upstream } = this.#options;
    log?.debug({ upstream, host: source.target.host, addresses }, "name resolved");
    const known = new Map(source.endpoints);
    source.endpoints = addresses.map((address) => [address, known.get(address) ?? create(source.target, [address])]);
    for (const address of addresses) known.delete(address);
    this.#error = undefined;
    this.#gather();
    this.#options.onChange();
    // Only now, so that the calls which wait there find the new ones.
    for (const endpoint of known.values()) endpoint.close();
  }

  #failed(target: Target, error: Error): void {
    const { log, upstream } = this.#options;
    log?.warn({ upstream, host: target.host, error: error.message }, "name can't be resolved");
    this.#error = error;
    this.#options.onChange();
  }

  #gather(): void {
    this.#endpoints = this.#sources.flatMap(({ endpoints }) => endpoints.map(([, endpoint]) => endpoint));
  }
}
