/** Endpoint: one address of an upstream, its few connections, and the calls that wait for room on them. */
import { Alone } from "./alone.ts";
import type { UpstreamConnection } from "./connection.ts";
import { Connections } from "./connections.ts";
import type { EndpointParts, EndpointStats } from "./endpoint-parts.ts";
import type { Outcome } from "./outlier.ts";
import { Queue } from "./queue.ts";
import { Standing } from "./standing.ts";
import { hostPort } from "./target.ts";
import type { DialOptions } from "./transport.ts";
import type { Upstream } from "./upstream.ts";
import type { Pending, Reached } from "./waiter.ts";

/** `idle`: no connection, and none was refused. `failing`: the last attempt to connect failed. */
export type EndpointState = "idle" | "connecting" | "ready" | "failing" | "closed";

export class Endpoint {
  /** As configured, else host:port. */
  readonly name: string;
  /** "10.0.0.1:50051", or "localhost:50051". */
  readonly address: string;
  /** Host and port as configured: what it may call itself. */
  readonly authority: string;
  readonly dialOptions: DialOptions;
  /** Connections are TLS. */
  readonly secure: boolean;
  /** Its share of the calls, at least 1. */
  readonly weight: number;
  /** Its tier; 0 is the first. */
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly stats: EndpointStats = { active: 0, attempts: 0, failures: 0, connectFailures: 0, ejections: 0 };
  readonly #parts: EndpointParts;
  readonly #queue: Queue;
  readonly #connections: Connections;
  readonly #standing: Standing;
  #alone: Alone | undefined;
  #closed = false;

  constructor(parts: EndpointParts) {
    const { name, host, port, weight, priority, labels } = parts.target;
    this.name = name;
    this.weight = weight;
    this.priority = priority;
    this.labels = labels;
    this.address = parts.address;
    this.authority = hostPort(host, port);
    this.dialOptions = parts.dialOptions;
    this.secure = parts.dialOptions.tls !== undefined;
    this.#parts = parts;
    const { outlier, checked, limits, log, owner } = parts;
    const inLog = { upstream: parts.upstream, endpoint: name, address: parts.address };
    this.#queue = new Queue(limits.maxPending, owner.breaker);
    this.#connections = new Connections({
      parts,
      queue: this.#queue,
      stats: this.stats,
      labels: inLog,
      onRoom: () => this.#serve(),
      onAvailable: () => owner.onAvailable(this),
      onDue: () => owner.onDue(this),
      onUnreachable: (error) => this.#returnWaiting(error),
    });
    this.#standing = new Standing({
      outlier,
      checked,
      log,
      labels: inLog,
      mayEject: () => owner.mayEject(),
      onEjected: () => {
        this.stats.ejections++;
        owner.breaker.stats.ejections++;
      },
      onChange: () => owner.onAvailable(this),
    });
  }

  get state(): EndpointState {
    return this.#closed ? "closed" : this.#connections.state;
  }

  /**
   * Whether calls should come here while there is a choice. Not after a failed attempt or the loss of the last connection, until
   * it has been connected to again: no call should find out at its own cost that a host is gone.
   */
  get available(): boolean {
    return !this.#connections.failing && !this.#closed;
  }

  /** Whether calls may come here at all. Set to false it gets no new ones, while streams that are open go on; true undoes that. */
  get enabled(): boolean {
    return this.#standing.enabled && !this.#closed;
  }

  set enabled(enabled: boolean) {
    if (this.#closed || enabled === this.#standing.enabled) return;
    this.#standing.enabled = enabled;
    if (!enabled) this.#returnWaiting(new Error(`endpoint ${this.address} was disabled`));
    else if (this.#connections.failing) this.#parts.owner.onDue(this);
  }

  /** What its health checks say; true where there are none, false until the first answer. */
  get healthy(): boolean {
    return this.#standing.healthy;
  }

  set healthy(healthy: boolean) {
    this.#standing.healthy = healthy;
  }

  /** It gets no calls for a while, for it has failed too many. */
  get ejected(): boolean {
    return this.#standing.ejected;
  }

  /** Healthy, enabled and not ejected: calls should come here as soon as it is `available`, too. */
  get ready(): boolean {
    return this.#standing.ready && !this.#closed;
  }

  /** Whether it is to be left alone for now, unless nothing else is left. */
  get inBackoff(): boolean {
    return this.#connections.inBackoff;
  }

  get connecting(): boolean {
    return this.#connections.connecting;
  }

  /** The group that it is one of. */
  get upstream(): Upstream {
    return this.#parts.owner;
  }

  /** What calls that are meant for it alone have reached. */
  get alone(): Reached {
    this.#alone ??= new Alone(this, this.#parts.owner.breaker);
    return this.#alone;
  }

  /** Calls in flight here: what a balance goes by. */
  get activeCalls(): number {
    return this.stats.active;
  }

  /** Streams that are open here. */
  get streamCount(): number {
    return this.#connections.streamCount;
  }

  /** Calls waiting for room. */
  get pendingCount(): number {
    return this.#queue.size;
  }

  /** Connections that take calls. */
  get connectionCount(): number {
    return this.#connections.count;
  }

  /** An open connection with room for a stream, or undefined. Every call comes through here. */
  connection(): UpstreamConnection | undefined {
    return this.#connections.withRoom();
  }

  /** An attempt begins here; `report` has to follow, once. */
  begin(): void {
    const all = this.#parts.owner.breaker.stats;
    this.stats.active++;
    this.stats.attempts++;
    all.active++;
    all.attempts++;
  }

  /** An attempt is over. */
  report(outcome: Outcome): void {
    const all = this.#parts.owner.breaker.stats;
    this.stats.active--;
    all.active--;
    if (outcome === "success") this.#standing.succeed();
    if (outcome !== "failure") return;
    this.stats.failures++;
    all.failures++;
    if (!this.#closed) this.#standing.fail();
  }

  /** Puts a call into the queue and connects if need be. False: the queue is full. */
  enqueue(pending: Pending): boolean {
    if (!this.#queue.add(pending, this)) return false;
    this.#connections.connectForQueue();
    return true;
  }

  /** Gives a call that has waited its connection, unless by now there are as many calls as there may be. */
  give(pending: Pending, connection: UpstreamConnection): void {
    const { breaker } = this.#parts.owner;
    const full = pending.only === undefined ? breaker.full : this.activeCalls >= breaker.limits.requests;
    pending.done = true;
    if (full) pending.waiter.onUnavailable(breaker.reject("requests"));
    else pending.waiter.onConnection(connection, this);
  }

  /** Takes a call out of the queue. */
  remove(pending: Pending): void {
    this.#queue.remove(pending);
  }

  /** Connects, if it isn't connected or connecting: what an endpoint that failed needs to get calls again. */
  connect(): void {
    if (this.enabled) this.#connections.connect();
  }

  /** Takes no more calls; streams that are open may end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#standing.close();
    this.#connections.close();
    this.#parts.owner.onAvailable(this);
    this.#returnWaiting(new Error(`endpoint ${this.address} was closed`));
  }

  #serve(): void {
    if (this.#queue.size === 0) return; // after every stream that ends
    this.#queue.serve(this);
    this.#connections.connectForQueue();
  }

  #returnWaiting(error: Error): void {
    const pending = this.#queue.clear();
    if (pending.length > 0) this.#parts.owner.onReturned(this, pending, error);
  }
}
