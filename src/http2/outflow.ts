/** Outflow: sends what waits in streams when there is room for it, and stops to listen to a peer that doesn't read. */
import type { ByteSocket } from "./api.ts";
import type { Sender } from "./sender.ts";
import { startTurn } from "./turn.ts";

/** So many times `maxSocketBuffer` may wait for a client before nothing more is read from it. */
const unreadFactor = 4;

export interface OutflowOptions {
  readonly socket: ByteSocket;
  readonly sender: Sender;
  /** Bytes that may wait in the socket before DATA is held back. */
  readonly maxSocketBuffer: number;
  /** Servers only stop to listen: their peers are strangers. */
  readonly isServer: boolean;
  /** Told of what sending throws. */
  fail(error: unknown): void;
}

export class Outflow {
  #pumping = false;
  /** The socket is paused, until the peer has read. */
  #holding = false;
  #stopped = false;
  readonly #options: OutflowOptions;

  constructor(options: OutflowOptions) {
    this.#options = options;
    options.socket.on("drain", () => this.#drained());
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Not within the call that queued: whoever sends isn't told that it was sent before it knows that it had to wait. */
  pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  /**
   * A client that asks and doesn't read is not listened to until it does: DATA waits in its streams, but the header blocks
   * of answers, which no window holds back, would pile up (CVE-2019-9517).
   */
  holdReading(): void {
    const { isServer, sender, socket, maxSocketBuffer } = this.#options;
    if (!isServer || this.#holding || sender.output.buffered < maxSocketBuffer * unreadFactor) return;
    this.#holding = true;
    socket.pause();
  }

  #drained(): void {
    startTurn();
    this.#options.sender.output.drained();
    if (this.#holding) this.#options.socket.resume();
    this.#holding = false;
    this.#pump();
  }

  #pump(): void {
    try {
      if (!this.#stopped) this.#options.sender.pump();
    } catch (error) {
      this.#options.fail(error);
    }
  }
}
