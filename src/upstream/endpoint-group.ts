/** Endpoint group: the one kind of upstream there is: its endpoints, and what decides which of them a call goes to. */
import type { Call, Protocol } from "../call.ts";
import type { Schema } from "../schema/schema.ts";
import { roundRobin } from "./balance.ts";
import { Breaker, type UpstreamStats } from "./breaker.ts";
import { HealthChecks } from "./check/checks.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint-parts.ts";
import { EndpointSet } from "./endpoint-set.ts";
import { checkOptions, endpointFactory, type UpstreamOptions } from "./options.ts";
import { maxEjected } from "./outlier.ts";
import { Placement } from "./placement.ts";
import { Pool } from "./pool.ts";
import { Subsets } from "./subsets.ts";
import type { Upstream, UpstreamParts } from "./upstream.ts";
import type { CancelWait, Pending, Reached, Waiter } from "./waiter.ts";

export class EndpointGroup implements Upstream, EndpointOwner {
  readonly name: string;
  readonly protocols: readonly Protocol[];
  readonly codecs: readonly string[];
  readonly schema: Schema | "reflection" | undefined;
  readonly http: "2" | "1.1";
  readonly breaker: Breaker;
  readonly #maxEjectedPercent: number;
  /** All endpoints. */
  readonly #pool: Pool;
  readonly #subsets: Subsets | undefined;
  readonly #checks: HealthChecks | undefined;
  readonly #set: EndpointSet;
  /** Endpoints that failed and may be connected to again. */
  readonly #due = new Set<Endpoint>();
  readonly #placement: Placement;
  /** Those who wait for the first answer of a resolver and make no call. */
  readonly #awaiting: (() => void)[] = [];
  /** The next call finds something to do first: endpoints are due, or names aren't being watched. */
  #chores = false;
  #closed = false;

  constructor(options: UpstreamOptions, parts: UpstreamParts) {
    const checked = checkOptions(options);
    this.name = options.name;
    this.protocols = options.protocols ?? ["grpc"];
    this.codecs = options.codecs ?? ["proto"];
    this.schema = options.schema;
    this.http = options.http ?? "2";
    this.breaker = new Breaker(checked.breaker, options.name);
    this.#maxEjectedPercent = checked.outlier?.maxPercent ?? 0;
    const createPool = () => new Pool(options.balance ?? roundRobin(), checked.panicPercent);
    this.#pool = createPool();
    this.#subsets = options.subset && new Subsets(options.subset, createPool);
    const { health } = checked;
    const { name: upstream, log } = options;
    this.#checks = health && new HealthChecks({ ...parts, health, upstream, log, onCheck: () => this.#set.markUsed() });
    this.#set = new EndpointSet({
      upstream: options.name,
      targets: checked.targets,
      create: endpointFactory(checked, parts.dial, this),
      discovery: typeof options.endpoints === "function" ? options.endpoints : undefined,
      lookup: parts.lookup,
      lookupService: parts.lookupService,
      timeoutMs: checked.limits.connectTimeoutMs,
      log: options.log,
      onChange: () => this.#changed(),
    });
    this.#placement = new Placement({
      breaker: this.breaker,
      set: this.#set,
      poolOf: (call) => this.#poolOf(call),
    });
    this.#changed();
  }

  get endpoints(): readonly Endpoint[] {
    return this.#set.endpoints;
  }

  get stats(): UpstreamStats {
    return this.breaker.stats;
  }

  // The path of nearly every call: no promise, no closure, nothing allocated.
  acquire(call: Call, waiter: Waiter, avoid?: Reached): CancelWait | undefined {
    this.#set.markUsed();
    if (this.#chores) this.#doChores();
    if (this.breaker.full) return this.#rejectBusy(waiter);
    const endpoint = this.#poolOf(call).pick(call);
    if (endpoint === undefined || endpoint === avoid) return this.#placement.wait({ call, waiter, avoid });
    const connection = endpoint.connection();
    if (connection === undefined) return this.#placement.wait({ call, waiter, avoid, chosen: endpoint });
    waiter.onConnection(connection, endpoint);
    return undefined;
  }

  acquireAt(endpoint: Endpoint, call: Call, waiter: Waiter): CancelWait | undefined {
    this.#set.markUsed();
    if (this.#chores) this.#doChores();
    if (endpoint.activeCalls >= this.breaker.limits.requests) return this.#rejectBusy(waiter);
    const connection = endpoint.enabled ? endpoint.connection() : undefined;
    if (connection === undefined) return this.#placement.wait({ call, waiter, only: endpoint });
    waiter.onConnection(connection, endpoint);
    return undefined;
  }

  resolved(): Promise<void> | undefined {
    this.#set.markUsed();
    if (this.#chores) this.#doChores();
    if (this.#set.endpoints.length > 0 || !this.#set.resolving) return undefined;
    return new Promise((resolve) => this.#awaiting.push(resolve));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#placement.close();
    this.#checks?.close();
    this.#set.close();
    this.#changed();
  }

  mayEject(): boolean {
    const { endpoints } = this.#set;
    const ejected = endpoints.filter((endpoint) => endpoint.ejected).length;
    return ejected < maxEjected(endpoints.length, this.#maxEjectedPercent);
  }

  onAvailable(): void {
    this.#pool.update(this.#set.endpoints);
    this.stats.panic = this.#pool.panic;
    this.#subsets?.update(this.#set.endpoints);
  }

  onDue(endpoint: Endpoint): void {
    if (!this.#set.endpoints.includes(endpoint)) return;
    this.#due.add(endpoint);
    this.#chores = true;
  }

  onReturned(endpoint: Endpoint, pending: readonly Pending[], error: Error): void {
    this.#set.refresh(); // its address may be out of date
    this.#placement.moveOn(endpoint, pending, error);
  }

  #rejectBusy(waiter: Waiter): undefined {
    waiter.onUnavailable(this.breaker.reject("requests"));
  }

  #poolOf(call: Call): Pool {
    return this.#subsets === undefined ? this.#pool : this.#subsets.poolOf(call, this.#pool);
  }

  #doChores(): void {
    this.#chores = false;
    this.#set.watch();
    for (const endpoint of this.#due) endpoint.connect();
    this.#due.clear();
  }

  /** Endpoints came or went, or a resolver has answered. */
  #changed(): void {
    this.onAvailable();
    this.#checks?.update(this.#set.endpoints);
    if (this.#set.dormant) {
      if (this.#checks === undefined) this.#chores = true;
      else this.#set.watch(); // who is checked has to be known
    }
    for (const resolve of this.#awaiting.splice(0)) resolve();
    this.#placement.placeParked();
  }
}
