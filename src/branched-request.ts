/** Branched request: what has come of a request that several branches get, kept for those that begin later. */
import type { Branch } from "./branch.ts";
import { type BodyRange, keepRange } from "./http2/body.ts";
import type { Field } from "./http2/field.ts";

export class BranchedRequest {
  /** All of it has come. */
  ended: boolean;
  /** Bytes that have come. */
  bytes = 0;
  #trailers: Field[] | undefined;
  #body: BodyRange[] | undefined = [];

  /** @param ended it has no body */
  constructor(ended: boolean) {
    this.ended = ended;
  }

  /** All that has come is here, so that another branch can begin. */
  get kept(): boolean {
    return this.#body !== undefined;
  }

  /** Takes a part of its body. */
  add(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.ended = end;
    this.bytes += stop - start;
    if (this.#body !== undefined) keepRange(this.#body, bytes, start, stop);
  }

  endWith(trailers: Field[]): void {
    this.ended = true;
    this.#trailers = trailers;
  }

  /** No branch will begin any more. */
  forget(): void {
    this.#body = undefined;
  }

  /** To be said before the branch has a relay, which asks whether there is a body. */
  announceTo(branch: Branch): void {
    branch.remoteEnded = this.ended && this.bytes === 0 && this.#trailers === undefined;
  }

  /** Hands on what has come so far. */
  catchUp(branch: Branch): void {
    const body = this.#body ?? [];
    const trailers = this.#trailers;
    const last = this.ended && trailers === undefined ? body.length - 1 : -1;
    for (const [at, { bytes, start, stop }] of body.entries()) branch.feed(bytes, start, stop, at === last);
    if (trailers !== undefined) branch.endWith(trailers);
  }
}
