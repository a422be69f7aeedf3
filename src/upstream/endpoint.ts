/** Endpoint: one address of an upstream, its few connections, and the calls that wait for room on them. */

import { Alone } from "./alone.ts";
import { Backoff } from "./backoff.ts";
import type { UpstreamConnection } from "./connection.ts";
import type { EndpointParts, EndpointStats } from "./endpoint-parts.ts";
import { LimitedConnection } from "./limited-connection.ts";
import type { Outcome } from "./outlier.ts";
import { Standing } from "./standing.ts";
import { hostPort } from "./target.ts";
import type { DialListener, DialOptions } from "./transport.ts";
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
  readonly #maxResets: number;
  /** Connections that take calls, oldest first: the first is filled first, so that writes coalesce. */
  readonly #open: UpstreamConnection[] = [];
  readonly #dials = new Set<{ cancel: () => void }>();
  readonly #waiting = new Set<Pending>();
  #roomOfNew: number;
  #failing = false;
  #closed = false;
  #alone: Alone | undefined;
  readonly #backoff: Backoff;
  readonly #standing: Standing;
  /** Some connection wasn't opened for the upstream's limit. */
  #capped = false;
  /** What every line of the log says. */
  readonly #labels: { upstream: string; endpoint: string; address: string };

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
    this.#roomOfNew = parts.roomOfNew;
    this.#maxResets = parts.limits.maxResetsPerConnection;
    this.#backoff = new Backoff(() => parts.owner.onDue(this));
    this.#labels = { upstream: parts.upstream, endpoint: name, address: parts.address };
    const { outlier, checked, log, owner } = parts;
    this.#standing = new Standing({
      outlier,
      checked,
      log,
      labels: this.#labels,
      mayEject: () => owner.mayEject(),
      onEjected: () => {
        this.stats.ejections++;
        owner.breaker.stats.ejections++;
      },
      onChange: () => owner.onAvailable(this),
    });
  }

  get state(): EndpointState {
    if (this.#closed) return "closed";
    if (this.#open.length > 0) return "ready";
    if (this.#backoff.failures > 0) return "failing";
    return this.#dials.size > 0 ? "connecting" : "idle";
  }

  /**
   * Whether calls should come here while there is a choice. Not after a failed attempt or the loss of the last connection, until
   * it has been connected to again: no call should find out at its own cost that a host is gone.
   */
  get available(): boolean {
    return !this.#failing && !this.#closed;
  }

  /** Whether calls may come here at all. Set to false it gets no new ones, while streams that are open go on; true undoes that. */
  get enabled(): boolean {
    return this.#standing.enabled && !this.#closed;
  }

  set enabled(enabled: boolean) {
    if (this.#closed || enabled === this.#standing.enabled) return;
    this.#standing.enabled = enabled;
    if (!enabled) this.#returnWaiting(new Error(`endpoint ${this.address} was disabled`));
    else if (this.#failing) this.#parts.owner.onDue(this);
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
    return this.#failing && this.#backoff.active;
  }

  get connecting(): boolean {
    return this.#dials.size > 0;
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
    return this.#open.reduce((sum, connection) => sum + connection.streamCount, 0);
  }

  /** Calls waiting for room. */
  get pendingCount(): number {
    return this.#waiting.size;
  }

  /** Connections that take calls. */
  get connectionCount(): number {
    return this.#open.length;
  }

  /** An open connection with room for a stream, or undefined. Every call comes through here. */
  connection(): UpstreamConnection | undefined {
    const open = this.#open;
    for (let at = 0; at < open.length; at++) {
      const connection = open[at]!;
      if (connection.room <= 0) continue;
      if (connection.resetsSent + connection.streamCount < this.#maxResets) return connection;
      if (this.#mayStillUse(connection)) return connection;
      if (open[at] !== connection) at--; // it has just been taken out
    }
    return undefined;
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
    if (this.#waiting.size >= this.#parts.limits.maxPending) return false;
    this.#waiting.add(pending);
    this.#countPending(pending, 1);
    pending.endpoint = this;
    this.#dialForWaiting();
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
    if (this.#waiting.delete(pending)) this.#countPending(pending, -1);
  }

  #countPending({ only }: Pending, change: 1 | -1): void {
    const { stats, alone } = this.#parts.owner.breaker;
    stats.pending += change;
    if (only !== undefined) alone.pending += change;
  }

  /** Connects, if it isn't connected or connecting: what an endpoint that failed needs to get calls again. */
  connect(): void {
    if (this.enabled && this.#open.length === 0 && this.#dials.size === 0) this.#dial();
  }

  /** Takes no more calls; streams that are open may end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#backoff.reset();
    this.#standing.close();
    for (const dial of this.#dials) dial.cancel();
    this.#parts.owner.breaker.stats.connections -= this.#dials.size;
    this.#dials.clear();
    for (const connection of this.#open.splice(0)) connection.shutdown();
    this.#parts.owner.onAvailable(this);
    this.#returnWaiting(new Error(`endpoint ${this.address} was closed`));
  }

  /**
   * A peer counts the resets of a connection and ends it at its limit (nghttp2: 1,000, then 33/s; CVE-2023-44487). All callers
   * share that connection, so one who cancels much would end the calls of the others. At half of that limit we connect anew
   * and move over; if no new connection comes in time, the calls wait for it. Streams that are open count as well, for each may be
   * cancelled yet, also behind the move: a connection carries no more of them than it could still reset.
   */
  #mayStillUse(connection: UpstreamConnection): boolean {
    const atMost = connection.resetsSent + connection.streamCount < this.#maxResets * 2;
    if (!this.#isWorn(connection)) return atMost;
    if (atMost && connection.resetsSent < this.#maxResets * 1.5) {
      if (this.#dials.size === 0 && !this.#backoff.active && this.#mayConnect()) this.#dial();
      return true;
    }
    this.#retire(connection);
    return false;
  }

  /** It has sent so many resets, or so many with those that may come, that another should take its place. */
  #isWorn({ resetsSent, streamCount }: UpstreamConnection): boolean {
    const limit = this.#maxResets;
    return resetsSent >= limit || (resetsSent * 2 >= limit && resetsSent + streamCount >= limit * 1.5);
  }

  #retire(connection: UpstreamConnection): void {
    this.#take(connection);
    connection.shutdown();
    this.#parts.log?.debug({ ...this.#labels, resets: connection.resetsSent }, "connection rotated");
  }

  /** Opens as many connections as the queue needs, counting on those that are being opened. */
  #dialForWaiting(): void {
    while (this.#waiting.size > this.#dials.size * this.#roomOfNew) {
      if (this.#open.length + this.#dials.size >= this.#parts.limits.maxConnections) return;
      if (this.#open.length > 0 && this.#backoff.active) return;
      if (!this.#mayConnect()) return;
      this.#dial();
    }
  }

  #mayConnect(): boolean {
    const { owner, log } = this.#parts;
    const { breaker } = owner;
    const may = breaker.mayConnect(this.#open.length + this.#dials.size === 0);
    if (!may && !this.#capped) log?.warn({ ...this.#labels, detail: breaker.describe("connections") }, "not connected");
    this.#capped = !may;
    return may;
  }

  #dial(): void {
    const dial = { cancel: () => {} };
    const { stats } = this.#parts.owner.breaker;
    this.#dials.add(dial);
    stats.connections++;
    let connection: UpstreamConnection | undefined;
    const listener: DialListener = {
      onOpen: (opened) => {
        const { messages } = this.#parts;
        connection = messages === undefined ? opened : new LimitedConnection(opened, messages);
        this.#dials.delete(dial);
        this.#opened(connection);
      },
      onFailed: (error) => {
        this.#dials.delete(dial);
        stats.connections--;
        this.#failed(error);
      },
      onRoom: () => this.#serve(),
      onGoaway: (code) => this.#gone(connection, `goaway ${code}`, false),
      onClose: (error) => {
        stats.connections--;
        this.#gone(connection, error?.message ?? "closed", true);
      },
    };
    dial.cancel = this.#parts.dial(this.#parts.dialOptions, listener);
  }

  #opened(connection: UpstreamConnection): void {
    if (this.#backoff.failures > 0) this.#parts.log?.info(this.#labels, "endpoint is back");
    else this.#parts.log?.debug({ ...this.#labels, room: connection.room }, "connected");
    this.#backoff.reset();
    this.#roomOfNew = Math.max(Math.min(connection.room, this.#maxResets * 2), 1);
    for (const old of this.#open.filter((one) => this.#isWorn(one))) this.#retire(old);
    this.#open.push(connection);
    this.#setFailing(false);
    this.#serve();
  }

  #failed(error: Error): void {
    this.stats.connectFailures++;
    const fields = { ...this.#labels, error: error.message };
    if (this.#backoff.failures === 0) this.#parts.log?.warn(fields, "endpoint can't be reached");
    else this.#parts.log?.debug(fields, "endpoint still can't be reached");
    this.#backoff.fail();
    if (this.#open.length > 0) return; // those who wait get room there
    this.#setFailing(true);
    if (this.#dials.size === 0) this.#returnWaiting(error);
  }

  /** The connection takes no more calls. Without GOAWAY before, nobody knows whether the peer is still there. */
  #gone(connection: UpstreamConnection | undefined, reason: string, lost: boolean): void {
    if (connection === undefined || !this.#take(connection) || this.#closed) return;
    this.#parts.log?.debug({ ...this.#labels, reason }, "connection gone");
    if (lost && this.#open.length === 0) {
      this.#setFailing(true);
      this.#parts.owner.onDue(this);
    }
    this.#dialForWaiting();
  }

  #take(connection: UpstreamConnection): boolean {
    const at = this.#open.indexOf(connection);
    if (at === -1) return false;
    this.#open.splice(at, 1);
    return true;
  }

  #serve(): void {
    if (this.#waiting.size === 0) return; // after every stream that ends
    for (const pending of this.#waiting) {
      const connection = this.connection();
      if (connection === undefined) break;
      this.remove(pending);
      this.give(pending, connection);
    }
    this.#dialForWaiting();
  }

  #setFailing(failing: boolean): void {
    if (this.#failing === failing) return;
    this.#failing = failing;
    this.#parts.owner.onAvailable(this);
  }

  #returnWaiting(error: Error): void {
    const pending = [...this.#waiting];
    for (const one of pending) this.remove(one);
    if (pending.length > 0) this.#parts.owner.onReturned(this, pending, error);
  }
}
