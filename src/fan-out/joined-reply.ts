/** Joined reply: one message of the replies of all legs, when enough of them have ended. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { RpcStatus } from "../wire/rpc-status.ts";
import type { Leg } from "./leg.ts";
import { Reply } from "./reply.ts";

/** Of a leg that was cancelled because the others are enough. */
export const notNeeded: RpcStatus = {
  code: Code.Canceled,
  message: "not waited for: enough others have answered",
  details: [],
};
export const noReply: RpcStatus = { code: Code.Unimplemented, message: "no reply to a unary call", details: [] };

export class JoinedReply extends Reply {
  readonly flows = false;
  /** By the legs' places: what goes into the message, or would if the leg ended now. */
  readonly #entries: (Uint8Array | undefined)[] = [];
  /** Places of the legs that have ended, as they ended. */
  readonly #order: number[] = [];

  take(leg: Leg, payload: Uint8Array): void {
    if (this.#entries[leg.index] !== undefined) {
      return leg.drop(new ConnectError("more than one reply to a unary call", Code.Unimplemented));
    }
    const entry = this.annotated(leg, payload);
    if (entry === undefined) return;
    this.#entries[leg.index] = entry;
    this.fanOut.room.hold(entry.length);
  }

  succeed(leg: Leg): void {
    if (this.#entries[leg.index] === undefined) return this.fanOut.fall(leg, noReply);
    this.fanOut.tally.succeeded++;
    this.#order.push(leg.index);
  }

  fall(leg: Leg, status: RpcStatus): boolean {
    const entry = this.failed(leg, status);
    if (entry === undefined) return false;
    this.fanOut.room.hold(-(this.#entries[leg.index]?.length ?? 0));
    this.#entries[leg.index] = entry;
    this.#order.push(leg.index);
    return true;
  }

  sent(): void {}

  /** The parts, one behind the other, are one message: protobuf's concatenation is merging. */
  finish(): void {
    if (this.#order.length < this.fanOut.endpoints.length) this.#addNotNeeded();
    if (this.options.policy.order === "endpoint") this.#order.sort((one, other) => one - other);
    const parts: Uint8Array[] = [];
    for (const index of this.#order) {
      const entry = this.#entries[index];
      if (entry !== undefined) parts.push(entry);
    }
    this.message(parts);
    this.trailers();
  }

  #addNotNeeded(): void {
    const ended = new Set(this.#order);
    this.fanOut.endpoints.forEach(({ name }, index) => {
      if (ended.has(index)) return;
      const elapsedMs = this.fanOut.legs[index]?.elapsedMs ?? 0;
      this.#entries[index] = this.options.layout.fail({ backend: name, elapsedMs }, notNeeded, false);
      this.#order.push(index);
    });
  }

  /** The leg's reply as a part of the message; undefined where it can't be one, which is the leg's failure. */
  protected annotated(leg: Leg, payload: Uint8Array): Uint8Array | undefined {
    try {
      const entry = this.options.layout.annotate(this.infoOf(leg), payload, this.options.stream);
      // what was read shouldn't be kept whole for a small part of it
      return entry.buffer === payload.buffer ? new Uint8Array(entry) : entry;
    } catch (error) {
      leg.drop(ConnectError.from(error));
      return undefined;
    }
  }
}
