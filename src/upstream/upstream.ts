/** Upstream: a named group of endpoints that calls are spread over. */
import type { Call, Protocol } from "../call.ts";
import type { Schema } from "../schema/schema.ts";
import { type Balance, roundRobin } from "./balance.ts";
import { createLookups, type Lookup, type LookupService } from "./discovery.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint-parts.ts";
import { EndpointSet } from "./endpoint-set.ts";
import { dialHttp1 } from "./http1-transport.ts";
import { checkOptions, endpointFactory, type UpstreamOptions } from "./options.ts";
import { type Dial, dial } from "./transport.ts";
import { type CancelWait, type Pending, unavailable, type Waiter } from "./waiter.ts";

export type { UpstreamOptions } from "./options.ts";

export interface Upstream {
  readonly name: string;
  /** What its endpoints speak, at least one. */
  readonly protocols: readonly Protocol[];
  /** Codecs that its handlers read. */
  readonly codecs: readonly string[];
  readonly schema: Schema | "reflection" | undefined;
  /** The HTTP version that they are spoken to in. */
  readonly http: "2" | "1.1";
  /** All of them, whatever their state; names that were never resolved have none yet. */
  readonly endpoints: readonly Endpoint[];
  /**
   * Finds a connection with room for one more stream and tells the waiter: at once, before this returns, where an endpoint
   * has one; else when there is one. An endpoint that can't be reached is replaced by another, each at most once per call.
   *
   * @param avoid an endpoint that has just turned this call away; taken only if there is no other
   * @returns what takes the waiter out again, or undefined if it has already been told
   */
  acquire(call: Call, waiter: Waiter, avoid?: Endpoint): CancelWait | undefined;
  /** Takes no more calls; streams that are open may end. */
  close(): void;
}

/** What reaches the outside world: replaced in tests. */
export interface UpstreamParts {
  readonly dial: Dial;
  readonly lookup: Lookup;
  readonly lookupService: LookupService;
}

/**
 * Creates an upstream. Nothing is connected to or resolved before the first call.
 *
 * @throws TypeError naming the value, if an endpoint isn't a URL, a limit isn't a positive number, TLS settings don't fit, or a
 * protocol isn't known or isn't one that the HTTP version carries
 */
export function createUpstream(options: UpstreamOptions, parts: Partial<UpstreamParts> = {}): Upstream {
  return new EndpointGroup(options, {
    dial: options.http === "1.1" ? dialHttp1 : dial,
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
  readonly #balance: Balance;
  readonly #set: EndpointSet;
  /** Those that calls should go to. Made anew only when one of them comes or goes. */
  #ready: readonly Endpoint[] = [];
  /** Endpoints that failed and may be connected to again. */
  readonly #due = new Set<Endpoint>();
  /** Calls that wait for the first answer of a resolver. */
  readonly #parked = new Set<Pending>();
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
    this.#balance = options.balance ?? roundRobin();
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

  // The path of nearly every call: no promise, no closure, nothing allocated.
  acquire(call: Call, waiter: Waiter, avoid?: Endpoint): CancelWait | undefined {
    this.#set.markUsed();
    if (this.#chores) this.#doChores();
    const ready = this.#ready;
    if (ready.length === 0) return this.#wait(call, waiter, avoid, undefined);
    const endpoint = ready[this.#balance.pick(ready, call)]!;
    if (endpoint === avoid) return this.#wait(call, waiter, avoid, undefined);
    const connection = endpoint.connection();
    if (connection === undefined) return this.#wait(call, waiter, avoid, endpoint);
    waiter.onConnection(connection, endpoint);
    return undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#set.close();
    this.#changed();
  }

  onAvailable(): void {
    this.#ready = this.#set.endpoints.filter((endpoint) => endpoint.available);
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

  #doChores(): void {
    this.#chores = false;
    this.#set.watch();
    for (const endpoint of this.#due) endpoint.connect();
    this.#due.clear();
  }

  /** Endpoints came or went, or a resolver has answered. */
  #changed(): void {
    this.onAvailable();
    if (this.#set.dormant) this.#chores = true;
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const pending of parked) if (!pending.done) this.#place(pending, this.#choose(pending), undefined);
  }

  #wait(call: Call, waiter: Waiter, avoid: Endpoint | undefined, chosen: Endpoint | undefined): CancelWait | undefined {
    const pending: Pending = { call, waiter, avoid, tried: [], endpoint: undefined, done: false };
    this.#place(pending, chosen ?? this.#choose(pending), undefined);
    if (pending.done) return undefined;
    return () => {
      pending.done = true;
      pending.endpoint?.remove(pending);
      this.#parked.delete(pending);
    };
  }

  #place(pending: Pending, endpoint: Endpoint | undefined, error: Error | undefined): void {
    if (endpoint === undefined) {
      this.#placeNowhere(pending, error);
      return;
    }
    const connection = endpoint.connection();
    if (connection !== undefined) {
      pending.done = true;
      pending.waiter.onConnection(connection, endpoint);
    } else if (!endpoint.enqueue(pending)) {
      const cause = new Error(`${endpoint.pendingCount} calls wait for ${endpoint.address}`);
      refuse(pending, "too many calls waiting", cause);
    }
  }

  #placeNowhere(pending: Pending, error: Error | undefined): void {
    if (this.#closed) {
      refuse(pending, "closed", error);
    } else if (pending.tried.length > 0) {
      refuse(pending, "connection failed", error);
    } else {
      this.#set.refresh();
      if (this.#set.resolving) this.#parked.add(pending);
      else refuse(pending, "no endpoint", this.#set.error);
    }
  }

  /**
   * Where a call goes that found no room at once, or whose endpoint failed: to one that is well; else to one that isn't in
   * backoff or is being connected to. Only a call that hasn't tried any goes to one in backoff: a single attempt, at once,
   * which all calls of that moment share.
   */
  #choose(pending: Pending): Endpoint | undefined {
    if (this.#closed) return undefined;
    const { call, avoid, tried } = pending;
    const left = this.#set.endpoints.filter((endpoint) => endpoint.state !== "closed" && !tried.includes(endpoint));
    const well = left.filter((endpoint) => endpoint.available);
    const others = well.filter((endpoint) => endpoint !== avoid);
    const first = tried.length === 0;
    const worthIt = left.filter((endpoint) => !endpoint.inBackoff || (first && endpoint.connecting));
    const among = [others, well, worthIt, first ? left : []].find((some) => some.length > 0);
    return among?.[this.#balance.pick(among, call)];
  }
}

function refuse(pending: Pending, reason: string, cause: Error | undefined): void {
  pending.done = true;
  pending.waiter.onUnavailable(unavailable(reason, cause));
}
