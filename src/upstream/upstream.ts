/** Upstream: a named group of endpoints that calls are spread over. */
import type { ConnectError } from "@connectrpc/connect";
import type { Call, Protocol } from "../call.ts";
import type { Schema } from "../schema/schema.ts";
import { LimitError } from "../wire/limit-error.ts";
import { roundRobin } from "./balance.ts";
import { Breaker, type UpstreamStats } from "./breaker.ts";
import { HealthChecks } from "./check/checks.ts";
import { createLookups, type Lookup, type LookupService } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint-parts.ts";
import { EndpointSet } from "./endpoint-set.ts";
import { dialHttp1 } from "./http1-transport.ts";
import { checkOptions, endpointFactory, type UpstreamOptions } from "./options.ts";
import { maxEjected } from "./outlier.ts";
import { Pool } from "./pool.ts";
import { Subsets } from "./subsets.ts";
import { type Dial, dial, dialSilently } from "./transport.ts";
import { type CallWaiter, type CancelWait, type Pending, type Reached, unavailable, type Waiter } from "./waiter.ts";

export type { UpstreamOptions } from "./options.ts";

/** Where a relay sends a call to: an upstream, or what looks like one. */
export interface CallTarget {
  readonly name: string;
  /** What its endpoints speak, at least one. */
  readonly protocols: readonly Protocol[];
  /** Codecs that its handlers read. */
  readonly codecs: readonly string[];
  readonly schema: Schema | "reflection" | undefined;
  /** All of them, whatever their state; names that were never resolved have none yet. */
  readonly endpoints: readonly Endpoint[];
  /**
   * Finds a connection with room for one more stream and tells the waiter: at once, before this returns, where an endpoint
   * has one; else when there is one. An endpoint that can't be reached is replaced by another, each at most once per call.
   *
   * @param avoid an endpoint that has just turned this call away; taken only if there is no other
   * @returns what takes the waiter out again, or undefined if it has already been told
   */
  acquire(call: Call, waiter: CallWaiter, avoid?: Reached): CancelWait | undefined;
}

export interface Upstream extends CallTarget {
  acquire(call: Call, waiter: Waiter, avoid?: Reached): CancelWait | undefined;
  /** The HTTP version that they are spoken to in. */
  readonly http: "2" | "1.1";
  /** How much of it may be in use at once; who retries a call asks here whether that may be. */
  readonly breaker: Breaker;
  /** How much is in use, and what became of calls. */
  readonly stats: Readonly<UpstreamStats>;
  /** The same for one of its endpoints: no other takes its place, and whether it is healthy or ejected doesn't matter. */
  acquireAt(endpoint: Endpoint, call: Call, waiter: Waiter): CancelWait | undefined;
  /** Undefined once `endpoints` is what there is; before the first answer of a resolver, what waits for it. Never rejects. */
  resolved(): Promise<void> | undefined;
  /** Takes no more calls; streams that are open may end. */
  close(): void;
}

/** What reaches the outside world: replaced in tests. */
export interface UpstreamParts {
  readonly dial: Dial;
  /** Connects and says nothing: for health checks that ask for no more. */
  readonly dialTcp: Dial;
  readonly lookup: Lookup;
  readonly lookupService: LookupService;
}

/**
 * Creates an upstream. Nothing is connected to or resolved before the first call, but for health checks.
 *
 * @throws TypeError naming the value, if an endpoint isn't a URL, a limit isn't a positive number, TLS settings don't fit, or a
 * protocol isn't known or isn't one that the HTTP version carries
 * @throws RangeError naming it, if a setting of HTTP/2 isn't one or can't have its value
 */
export function createUpstream(options: UpstreamOptions, parts: Partial<UpstreamParts> = {}): Upstream {
  return new EndpointGroup(options, {
    dial: options.http === "1.1" ? dialHttp1 : dial,
    dialTcp: dialSilently(options.http === "1.1" ? "http/1.1" : "h2"),
    ...createLookups(options.dns),
    ...parts,
  });
}

class EndpointGroup implements Upstream, EndpointOwner {
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
  /** Calls that wait for the first answer of a resolver. */
  readonly #parked = new Set<Pending>();
  /** Those who wait for the same and make no call. */
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
    if (endpoint === undefined || endpoint === avoid) return this.#wait({ call, waiter, avoid });
    const connection = endpoint.connection();
    if (connection === undefined) return this.#wait({ call, waiter, avoid, chosen: endpoint });
    waiter.onConnection(connection, endpoint);
    return undefined;
  }

  acquireAt(endpoint: Endpoint, call: Call, waiter: Waiter): CancelWait | undefined {
    this.#set.markUsed();
    if (this.#chores) this.#doChores();
    if (endpoint.activeCalls >= this.breaker.limits.requests) return this.#rejectBusy(waiter);
    const connection = endpoint.enabled ? endpoint.connection() : undefined;
    if (connection === undefined) return this.#wait({ call, waiter, only: endpoint });
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
    for (const one of pending) {
      if (one.done) continue;
      one.tried.push(endpoint);
      this.#place(one, this.#choose(one), error);
    }
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
    const parked = [...this.#parked];
    for (const pending of parked) this.#unpark(pending);
    for (const resolve of this.#awaiting.splice(0)) resolve();
    for (const pending of parked) if (!pending.done) this.#place(pending, this.#choose(pending), undefined);
  }

  #wait({ call, waiter, avoid, only, chosen }: Wanted): CancelWait | undefined {
    const pending: Pending = { call, waiter, avoid, only, tried: [], endpoint: undefined, done: false };
    this.#place(pending, chosen ?? this.#choose(pending), undefined);
    if (pending.done) return undefined;
    return () => {
      pending.done = true;
      pending.endpoint?.remove(pending);
      this.#unpark(pending);
    };
  }

  #unpark(pending: Pending): void {
    if (this.#parked.delete(pending)) this.breaker.stats.pending--;
  }

  #place(pending: Pending, endpoint: Endpoint | undefined, error: Error | undefined): void {
    if (endpoint === undefined) {
      this.#placeNowhere(pending, error);
      return;
    }
    const connection = endpoint.connection();
    if (connection !== undefined) {
      endpoint.give(pending, connection);
    } else if (pending.only === undefined && !this.breaker.mayWait) {
      turnAway(pending, this.breaker.reject("pending"));
    } else if (!endpoint.enqueue(pending)) {
      const cause = new LimitError("max_pending", `${endpoint.pendingCount} calls wait for ${endpoint.address}`);
      refuse(pending, "too many calls waiting", cause);
    }
  }

  #placeNowhere(pending: Pending, error: Error | undefined): void {
    if (this.#closed) return refuse(pending, "closed", error);
    if (pending.tried.length > 0) return refuse(pending, "connection failed", error);
    this.#set.refresh();
    if (!this.#set.resolving) return refuse(pending, "no endpoint", this.#set.error);
    if (!this.breaker.mayWait) return turnAway(pending, this.breaker.reject("pending"));
    this.#parked.add(pending);
    this.breaker.stats.pending++;
  }

  #choose({ call, tried, avoid, only }: Pending): Endpoint | undefined {
    if (this.#closed) return undefined;
    if (only !== undefined) return tried.length === 0 && only.enabled ? only : undefined;
    return this.#poolOf(call).pickOther(call, tried, avoid);
  }
}

/** What a call wants that found no room at once. */
interface Wanted {
  readonly call: Call;
  readonly waiter: Waiter;
  readonly avoid?: Reached | undefined;
  readonly only?: Endpoint;
  /** Where the balance would have it go. */
  readonly chosen?: Endpoint;
}

function refuse(pending: Pending, reason: string, cause: Error | undefined): void {
  turnAway(pending, unavailable(reason, cause));
}

function turnAway(pending: Pending, error: ConnectError): void {
  pending.done = true;
  pending.waiter.onUnavailable(error);
}
