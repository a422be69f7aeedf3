/** Keepalive: PINGs while streams are open; a peer from which nothing at all comes back in time is gone (fault E3). */

export interface KeepaliveOptions {
  /** Milliseconds from one ack, or from the beginning, to the next PING. */
  readonly intervalMs: number;
  /** Milliseconds for anything to come back. */
  readonly timeoutMs: number;
  /** Whether streams are open: without, there is no PING. */
  needed(): boolean;
  ping(): void;
  /** A number that changes with all that comes from the peer. */
  heard(): number;
  onDead(): void;
}

export class Keepalive {
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #options: KeepaliveOptions;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    this.#wait();
  }

  /** A PING has come back: the next one is due in an interval, not only once this one's time is over. */
  acked(): void {
    clearTimeout(this.#timer);
    this.#wait();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#ping(), this.#options.intervalMs);
  }

  #ping(): void {
    const { needed, ping, heard, onDead, timeoutMs } = this.#options;
    if (!needed()) return this.#wait();
    const before = heard();
    ping();
    this.#timer = setTimeout(() => (heard() === before ? onDead() : this.#wait()), timeoutMs);
  }
}
