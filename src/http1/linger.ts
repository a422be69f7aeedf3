/** Linger: the end of a connection in order, so that the peer gets to read what was sent last (RFC 9112 section 9.6). */
import type { ByteSocket } from "../http2/api.ts";
import { turn } from "../http2/turn.ts";
import { unwatch, type Watched, watch } from "../http2/watch.ts";

/** Milliseconds for the peer to read the last bytes and close. */
const lingerMs = 1_000;

/**
 * Ends our side of a socket and goes on to read the other, to no use: were it closed with bytes unread, the reset that follows could
 * overtake the response. Destroys it a moment after all has left, or when nothing leaves any more.
 */
export class Linger implements Watched {
  place = -1;
  #left: number;
  #leftSince = turn.now;
  readonly #socket: ByteSocket;
  readonly #stallMs: number;

  /** @param stallMs milliseconds in which a slow peer must take something of what is left */
  constructor(socket: ByteSocket, stallMs: number) {
    this.#socket = socket;
    this.#stallMs = stallMs;
    socket.end();
    socket.resume();
    this.#left = socket.writableLength;
    watch(this);
  }

  check(now: number): void {
    const left = this.#socket.writableLength;
    if (left !== this.#left) {
      this.#left = left;
      this.#leftSince = now;
    } else if (now - this.#leftSince > (left === 0 ? lingerMs : this.#stallMs)) {
      this.stop();
      this.#socket.destroy();
    }
  }

  stop(): void {
    unwatch(this);
  }
}
