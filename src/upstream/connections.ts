/** Connections: the few that an endpoint has: opened as calls need them, and left before their peer ends them. */
import { Backoff } from "./backoff.ts";
import type { UpstreamConnection } from "./connection.ts";
import type { EndpointState } from "./endpoint.ts";
import type { EndpointParts, EndpointStats } from "./endpoint-parts.ts";
import { LimitedConnection } from "./limited-connection.ts";
import type { Queue } from "./queue.ts";
import type { DialListener } from "./transport.ts";

export interface ConnectionsOptions {
  readonly parts: EndpointParts;
  /** Those whom connections are opened for. */
  readonly queue: Queue;
  readonly stats: EndpointStats;
  /** What every line of the log says. */
  readonly labels: object;
  /** A stream could be opened: for who waits. */
  onRoom(): void;
  /** `failing` has changed. */
  onAvailable(): void;
  /** The endpoint failed, and should be connected to again when it is needed. */
  onDue(): void;
  /** There is no connection, and none on its way any more: who waits has to go elsewhere. */
  onUnreachable(error: Error): void;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #parts: EndpointParts;
  readonly #maxResets: number;
  /** Those that take calls, oldest first: the first is filled first, so that writes coalesce. */
  readonly #open: UpstreamConnection[] = [];
  readonly #dials = new Set<{ cancel: () => void }>();
  readonly #backoff: Backoff;
  #roomOfNew: number;
  #failing = false;
  /** Some connection wasn't opened for the upstream's limit. */
  #capped = false;

  constructor(options: ConnectionsOptions) {
    const { parts } = options;
    this.#options = options;
    this.#parts = parts;
    this.#roomOfNew = parts.roomOfNew;
    this.#maxResets = parts.limits.maxResetsPerConnection;
    this.#backoff = new Backoff(() => options.onDue());
  }

  get state(): Exclude<EndpointState, "closed"> {
    if (this.#open.length > 0) return "ready";
    if (this.#backoff.failures > 0) return "failing";
    return this.connecting ? "connecting" : "idle";
  }

  /** The last attempt to connect failed, or the last connection was lost; until it has been connected to again. */
  get failing(): boolean {
    return this.#failing;
  }

  get inBackoff(): boolean {
    return this.#failing && this.#backoff.active;
  }

  get connecting(): boolean {
    return this.#dials.size > 0;
  }

  /** How many take calls. */
  get count(): number {
    return this.#open.length;
  }

  /** Streams that are open on them. */
  get streamCount(): number {
    return this.#open.reduce((sum, connection) => sum + connection.streamCount, 0);
  }

  /** One with room for a stream, or undefined. Every call comes through here. */
  withRoom(): UpstreamConnection | undefined {
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

  /** Opens one, if there is none and none is on its way. */
  connect(): void {
    if (this.#open.length === 0 && this.#dials.size === 0) this.#dial();
  }

  /** Opens as many as the queue needs, counting on those that are being opened. */
  connectForQueue(): void {
    while (this.#options.queue.size > this.#dials.size * this.#roomOfNew) {
      if (this.#open.length + this.#dials.size >= this.#parts.limits.maxConnections) return;
      if (this.#open.length > 0 && this.#backoff.active) return;
      if (!this.#mayConnect()) return;
      this.#dial();
    }
  }

  /** No more are opened; streams that are open may end. */
  close(): void {
    this.#backoff.reset();
    for (const dial of this.#dials) dial.cancel();
    this.#parts.owner.breaker.stats.connections -= this.#dials.size;
    this.#dials.clear();
    for (const connection of this.#open.splice(0)) connection.shutdown();
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
    this.#parts.log?.debug({ ...this.#options.labels, resets: connection.resetsSent }, "connection rotated");
  }

  #mayConnect(): boolean {
    const { owner, log } = this.#parts;
    const { breaker } = owner;
    const may = breaker.mayConnect(this.#open.length + this.#dials.size === 0);
    if (!may && !this.#capped) {
      log?.warn({ ...this.#options.labels, detail: breaker.describe("connections") }, "not connected");
    }
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
      onRoom: () => this.#options.onRoom(),
      onGoaway: (code) => this.#gone(connection, `goaway ${code}`, false),
      onClose: (error) => {
        stats.connections--;
        this.#gone(connection, error?.message ?? "closed", true);
      },
    };
    dial.cancel = this.#parts.dial(this.#parts.dialOptions, listener);
  }

  #opened(connection: UpstreamConnection): void {
    const { labels } = this.#options;
    if (this.#backoff.failures > 0) this.#parts.log?.info(labels, "endpoint is back");
    else this.#parts.log?.debug({ ...labels, room: connection.room }, "connected");
    this.#backoff.reset();
    this.#roomOfNew = Math.max(Math.min(connection.room, this.#maxResets * 2), 1);
    for (const old of this.#open.filter((one) => this.#isWorn(one))) this.#retire(old);
    this.#open.push(connection);
    this.#setFailing(false);
    this.#options.onRoom();
  }

  #failed(error: Error): void {
    this.#options.stats.connectFailures++;
    const fields = { ...this.#options.labels, error: error.message };
    if (this.#backoff.failures === 0) this.#parts.log?.warn(fields, "endpoint can't be reached");
    else this.#parts.log?.debug(fields, "endpoint still can't be reached");
    this.#backoff.fail();
    if (this.#open.length > 0) return; // those who wait get room there
    this.#setFailing(true);
    if (this.#dials.size === 0) this.#options.onUnreachable(error);
  }

  /** It takes no more calls. Without GOAWAY before, nobody knows whether the peer is still there. */
  #gone(connection: UpstreamConnection | undefined, reason: string, lost: boolean): void {
    if (connection === undefined || !this.#take(connection)) return;
    this.#parts.log?.debug({ ...this.#options.labels, reason }, "connection gone");
    if (lost && this.#open.length === 0) {
      this.#setFailing(true);
      this.#options.onDue();
    }
    this.connectForQueue();
  }

  #take(connection: UpstreamConnection): boolean {
    const at = this.#open.indexOf(connection);
    if (at === -1) return false;
    this.#open.splice(at, 1);
    return true;
  }

  #setFailing(failing: boolean): void {
    if (this.#failing === failing) return;
    this.#failing = failing;
    this.#options.onAvailable();
  }
}
