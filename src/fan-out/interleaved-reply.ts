/** Interleaved reply: a stream of what the legs say, each message as it comes; order within a leg is kept. */
import { Code, ConnectError } from "@connectrpc/connect";
import { prefixLength } from "../wire/envelope.ts";
import type { RpcStatus } from "../wire/rpc-status.ts";
import { Batch } from "./batch.ts";
import { noReply, notNeeded } from "./joined-reply.ts";
import type { Leg } from "./leg.ts";
import { Reply } from "./reply.ts";

/** Messages of one leg, one after the other, that the caller hasn't taken yet. */
interface Sent {
  readonly leg: Leg;
  left: number;
}

export class InterleavedReply extends Reply {
  readonly flows = true;
  /** Oldest first. */
  readonly #sent: Sent[] = [];
  readonly #batch = new Batch(this.fanOut);
  /** Places of the legs that have ended. */
  readonly #ended = new Set<number>();
  /** Of a unary method: each leg's reply, until the leg has ended well. */
  readonly #replies = new Map<Leg, Uint8Array>();

  take(leg: Leg, payload: Uint8Array): void {
    const whole = !this.options.stream && !this.isNested(leg);
    if (whole && this.#replies.has(leg)) {
      return leg.drop(new ConnectError("more than one reply to a unary call", Code.Unimplemented));
    }
    let message: Uint8Array;
    try {
      message = this.options.layout.annotate(this.infoOf(leg), payload, this.options.stream);
    } catch (error) {
      return leg.drop(ConnectError.from(error));
    }
    if (!whole) return this.#send(leg, message);
    this.#replies.set(leg, message.buffer === payload.buffer ? new Uint8Array(message) : message);
    this.fanOut.room.hold(message.length);
  }

  succeed(leg: Leg): void {
    if (!this.options.stream && !this.isNested(leg)) {
      const reply = this.#release(leg);
      if (reply === undefined) return this.fanOut.fall(leg, noReply);
      this.#send(leg, reply);
    }
    this.#ended.add(leg.index);
    this.fanOut.tally.succeeded++;
  }

  fall(leg: Leg, status: RpcStatus): boolean {
    this.#release(leg);
    const entry = this.failed(leg, status);
    if (entry === undefined) return false;
    this.#ended.add(leg.index);
    this.#send(leg, entry);
    return true;
  }

  sent(bytes: number): void {
    let left = bytes;
    for (let first = this.#sent[0]; first !== undefined && left > 0; first = this.#sent[0]) {
      const part = Math.min(left, first.left);
      first.left -= part;
      left -= part;
      this.fanOut.room.queued -= part;
      if (first.left > 0) return;
      this.#sent.shift();
      first.leg.onLeft();
    }
  }

  /** Of a unary method each leg has an entry, those too that weren't waited for. */
  finish(): void {
    if (!this.options.stream) this.#addNotNeeded();
    this.trailers();
  }

  protected override flush(): void {
    this.#batch.flush();
  }

  #addNotNeeded(): void {
    this.fanOut.endpoints.forEach(({ name }, index) => {
      if (this.#ended.has(index)) return;
      const elapsedMs = this.fanOut.legs[index]?.elapsedMs ?? 0;
      const entry = this.options.layout.fail({ backend: name, elapsedMs }, notNeeded, false);
      if (entry === undefined) return;
      this.head();
      this.#batch.add(entry);
    });
  }

  #send(leg: Leg, message: Uint8Array): void {
    this.head();
    const left = prefixLength + message.length;
    this.fanOut.room.queued += left;
    const last = this.#sent[this.#sent.length - 1];
    if (last?.leg === leg) {
      last.left += left;
    } else {
      this.#sent.push({ leg, left });
      leg.onHeld();
    }
    this.#batch.add(message);
  }

  #release(leg: Leg): Uint8Array | undefined {
    const reply = this.#replies.get(leg);
    if (reply === undefined) return undefined;
    this.#replies.delete(leg);
    this.fanOut.room.hold(-reply.length);
    return reply;
  }
}
