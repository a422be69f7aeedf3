/** Ending: how a connection comes to its end, in order with GOAWAY, at once, or because the socket is gone (RFC 9113 section 6.8). */
import type { ByteSocket, ConnectionListener } from "./api.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import * as frame from "./frame.ts";
import type { Sender } from "./sender.ts";
import type { Http2Settings } from "./settings.ts";
import type { StreamTable } from "./stream-table.ts";
import { turn } from "./turn.ts";
import { unwatch, type Watched, watch } from "./watch.ts";

/** What ends. */
export interface EndingOwner {
  readonly isServer: boolean;
  readonly listener: ConnectionListener;
  readonly streams: StreamTable;
  readonly sender: Sender;
  readonly settings: Http2Settings;
  /** Streams of the peer above this id come too late: GOAWAY has been sent. */
  acceptUpTo: number;
  /** Nothing is read, sent or waited for any more. Streams are still open. */
  stop(): void;
  /** Closes every stream that is left, and tells it. */
  loseStreams(): void;
}

/** Milliseconds at least for the last GOAWAY to be read by the peer before the socket is destroyed. */
const lingerMs = 1_000;

/** Bytes of frames that no window holds back, which may be on their way all the same. */
const spareBytes = 256 << 10;

/** Payload of the PING that goes with a server's first GOAWAY. */
const drainPing = Buffer.from("draining", "latin1");

export class Ending implements Watched {
  place = -1;
  /** Draining: no new streams, closed with the last one. */
  state: "open" | "draining" | "closed" = "open";
  /** When our side did, and the peer's hasn't yet. */
  #endedAt = 0;
  /** Bytes that came after the end. */
  #dropped = 0;
  readonly #socket: ByteSocket;
  readonly #owner: EndingOwner;

  constructor(socket: ByteSocket, owner: EndingOwner) {
    this.#socket = socket;
    this.#owner = owner;
    socket.on("error", (error) => this.lost(error));
    socket.on("end", () => this.lost(undefined));
    socket.on("close", () => this.lost(undefined));
  }

  /** No new streams from now on. A server first names no last stream, for requests may be on their way. */
  drain(): void {
    if (this.state !== "open") return;
    this.state = "draining";
    const { sender, isServer } = this.#owner;
    sender.goaway(isServer ? frame.maxInt31 : 0, ErrorCode.noError, "");
    if (isServer) sender.ping(drainPing, false);
    else this.closeIfDrained();
  }

  /** The ack of a server's PING tells that no request is on its way that was sent before it knew. */
  pingAcked(payload: Uint8Array): void {
    const owner = this.#owner;
    if (!drainPing.equals(payload) || this.state !== "draining" || !owner.isServer) return;
    if (owner.acceptUpTo !== frame.maxInt31) return; // acked before: the last id may not grow (section 6.8)
    owner.acceptUpTo = owner.streams.lastPeerId;
    owner.sender.goaway(owner.acceptUpTo, ErrorCode.noError, "");
    this.closeIfDrained();
  }

  /** The peer takes no new streams: closed with the last one. */
  peerDrains(): void {
    if (this.state === "open") this.state = "draining";
  }

  /** A server waits for the second GOAWAY, a client that has streams for their end. */
  closeIfDrained(): void {
    const { isServer, streams, acceptUpTo } = this.#owner;
    if (this.state !== "draining" || streams.size > 0) return;
    if (isServer && acceptUpTo === frame.maxInt31) return;
    this.end(undefined, "", undefined);
  }

  fail(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    const known = cause instanceof ConnectionError;
    this.end(known ? cause.code : ErrorCode.internalError, known ? cause.message : "", cause);
  }

  /** Says GOAWAY (where there is a code), ends our side and gives the peer a moment to read it. */
  end(code: ErrorCode | undefined, why: string, error: Error | undefined): void {
    if (this.state === "closed") return;
    const { sender, streams, acceptUpTo } = this.#owner;
    if (code !== undefined) sender.goaway(Math.min(streams.lastPeerId, acceptUpTo), code, why);
    this.#conclude(error, () => {
      sender.output.flush();
      this.#socket.end();
      this.#socket.resume(); // what the peer still sends is read and dropped: a reset by unread bytes could overtake the GOAWAY
      this.#endedAt = turn.now;
      watch(this);
    });
  }

  /** The peer has had its moment; see `watch`. */
  check(now: number): void {
    if (now - this.#endedAt <= lingerMs) return;
    unwatch(this);
    this.#socket.destroy();
  }

  /** What comes after the end. More than a peer can have had on its way when it was told: it doesn't listen, so it is cut off. */
  drop(bytes: number): void {
    this.#dropped += bytes;
    if (this.#dropped > this.#owner.settings.connectionWindowSize + spareBytes) this.#socket.destroy();
  }

  /** The socket has ended or failed. */
  lost(error: Error | undefined): void {
    unwatch(this);
    this.#conclude(error, () => undefined);
    this.#socket.destroy();
  }

  /** The one place where a connection becomes closed: streams are told, then the owner. */
  #conclude(error: Error | undefined, lastWords: () => void): void {
    if (this.state === "closed") return;
    this.state = "closed";
    const owner = this.#owner;
    owner.stop();
    lastWords();
    owner.sender.output.close();
    owner.loseStreams();
    owner.listener.onClose(error);
  }
}
