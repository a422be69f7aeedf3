/** Deadlines of a connection and its streams: what is counted in seconds, and PINGs. */
import type { Ending } from "./ending.ts";
import { ErrorCode } from "./errors.ts";
import { Keepalive } from "./keepalive.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import type { Http2Settings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";
import { turn } from "./turn.ts";
import { unwatch, type Watched, watch } from "./watch.ts";

/** What deadlines need of the connection. */
export interface DeadlineOwner {
  readonly settings: Http2Settings;
  readonly streams: StreamTable;
  readonly sender: Sender;
  resetStream(stream: Http2Stream, code: ErrorCode): void;
}

/** Payload of our PINGs, which says what their acks are for. */
const keepalivePing = Buffer.from("keepaliv", "latin1");

export class ConnectionDeadlines implements Watched {
  /** Since when there has been no stream. Counts while there is none. */
  idleSince = turn.now;
  readonly #openedAt = turn.now;
  place = -1;
  #sweptAt = turn.now;
  readonly #keepalive: Keepalive | undefined;
  readonly #owner: DeadlineOwner;
  readonly #receiver: Receiver;
  readonly #ending: Ending;

  constructor(owner: DeadlineOwner, receiver: Receiver, ending: Ending) {
    this.#owner = owner;
    this.#receiver = receiver;
    this.#ending = ending;
    watch(this);
    if (owner.settings.keepaliveIntervalMs > 0) this.#keepalive = this.#startKeepalive();
  }

  stop(): void {
    unwatch(this);
    this.#keepalive?.stop();
  }

  /** @returns false for a PING that wasn't of this kind */
  pingAcked(payload: Uint8Array): boolean {
    if (!keepalivePing.equals(payload)) return false;
    this.#keepalive?.acked();
    return true;
  }

  /** Looks at them all; see `watch`. */
  check(now: number): void {
    const owner = this.#owner;
    const { settings, streams } = owner;
    const { waitsSince, greeted } = this.#receiver;
    if (!greeted && now - this.#openedAt > settings.prefaceTimeoutMs) {
      return this.#ending.end(ErrorCode.protocolError, "no SETTINGS in time", undefined);
    }
    if (waitsSince !== undefined && now - waitsSince > settings.headerBlockTimeoutMs) {
      return this.#ending.end(ErrorCode.protocolError, "frame or header block not whole in time", undefined);
    }
    if (streams.size === 0) {
      if (now - this.idleSince > settings.connectionIdleTimeoutMs) {
        this.#ending.end(ErrorCode.noError, "idle", undefined);
      }
      return;
    }
    if (settings.streamIdleTimeoutMs === 0 || (now - this.#sweptAt) * 10 < settings.streamIdleTimeoutMs) return;
    this.#sweptAt = now;
    for (const stream of streams.all()) {
      if (stream.closed || now - stream.lastActive <= settings.streamIdleTimeoutMs) continue;
      owner.resetStream(stream, ErrorCode.cancel);
      stream.listener.onReset(ErrorCode.cancel, "idle");
    }
  }

  #startKeepalive(): Keepalive {
    const owner = this.#owner;
    const { keepaliveIntervalMs: intervalMs, keepaliveTimeoutMs: timeoutMs } = owner.settings;
    return new Keepalive({
      intervalMs,
      timeoutMs,
      needed: () => owner.streams.size > 0,
      ping: () => owner.sender.ping(keepalivePing, false),
      heard: () => this.#receiver.chunks,
      onDead: () => this.#ending.lost(new Error(`no answer to a PING within ${timeoutMs} ms`)),
    });
  }
}
