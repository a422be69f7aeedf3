/** Intake: bytes from the socket to the parser, as far as they may be read now; the rest waits, here and in the socket. */
import type { ByteSocket } from "../http2/api.ts";
import { type BodyRange, keepRange } from "../http2/body.ts";
import { turn } from "../http2/turn.ts";
import type { RequestParser } from "./parser.ts";
import type { Http1Settings } from "./settings.ts";

/** What the intake needs of the connection. */
export interface IntakeOwner {
  readonly settings: Http1Settings;
  /** Whether another request may be begun. */
  readonly mayBegin: boolean;
  /** Bytes of the body under way that were handed out and not consumed. */
  readonly unconsumed: number;
  /** The parser, or who was told by it, has thrown. */
  failed(error: unknown): void;
}

export class Intake {
  /** The socket isn't read, as there is enough that nobody has taken. */
  paused = false;
  /** When the header section that isn't whole began, or 0. */
  headSince = 0;
  /** When bytes last came, or could come again. */
  receivedAt = turn.now;
  /** What came behind the request that is being answered. */
  #held: BodyRange[] = [];
  #heldBytes = 0;
  #reading = false;
  #stopped = false;
  readonly #owner: IntakeOwner;
  readonly #parser: RequestParser;
  readonly #socket: ByteSocket;

  constructor(owner: IntakeOwner, parser: RequestParser, socket: ByteSocket) {
    this.#owner = owner;
    this.#parser = parser;
    this.#socket = socket;
  }

  receive(chunk: Uint8Array): void {
    this.receivedAt = turn.now;
    const stop = chunk.length;
    const start = this.#held.length === 0 ? this.#read(chunk, 0, stop) : 0;
    if (start < stop && !this.#stopped) {
      keepRange(this.#held, chunk, start, stop);
      this.#heldBytes += stop - start;
    }
    this.update();
  }

  /** Reads what waits, where a request is over or the peer reads again. */
  resume(): void {
    if (this.#reading) return; // whoever reads goes on by itself
    for (let range = this.#held[0]; range !== undefined; range = this.#held[0]) {
      const at = this.#read(range.bytes, range.start, range.stop);
      if (this.#stopped) return;
      this.#heldBytes -= at - range.start;
      range.start = at;
      if (at < range.stop) break;
      this.#held.shift();
    }
    this.update();
  }

  /** Pauses the socket, or resumes it once half of a window is free. */
  update(): void {
    if (this.#stopped) return;
    const { settings, unconsumed } = this.#owner;
    const window = this.paused ? settings.initialWindowSize / 2 : settings.initialWindowSize;
    const isFull = this.#heldBytes >= settings.maxPipelinedBytes || unconsumed >= window;
    if (isFull === this.paused) return;
    this.paused = isFull;
    if (isFull) {
      this.#socket.pause();
    } else {
      this.receivedAt = turn.now;
      this.#socket.resume();
    }
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#stopped = true;
    this.#held = [];
    this.#parser.stop();
  }

  /** Reads as far as requests may be begun; returns where it stopped. */
  #read(bytes: Uint8Array, start: number, stop: number): number {
    let at = start;
    this.#reading = true;
    try {
      while (at < stop && this.#mayRead()) at = this.#parser.receive(bytes, at, stop);
    } catch (error) {
      this.#owner.failed(error);
    }
    this.#reading = false;
    if (!this.#parser.inHead) this.headSince = 0;
    else if (this.headSince === 0) this.headSince = turn.now;
    return at;
  }

  #mayRead(): boolean {
    if (this.#stopped) return false;
    if (!this.#parser.isWhole) return true;
    if (!this.#owner.mayBegin) return false;
    this.#parser.next();
    this.headSince = 0;
    return true;
  }
}
