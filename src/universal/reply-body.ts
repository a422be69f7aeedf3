/** Reply body: bytes pushed in by events, pulled out by whoever iterates. */
import type { BodyRange } from "../http2/body.ts";

/** Bytes that wait without anybody being told: a turn's worth of small messages, or one window of HTTP/2. */
const maxWaiting = 64 << 10;

/** Bytes of small pieces that are handed out as one: each pull costs a few turns of the event loop. */
const maxGathered = 64 << 10;

/** A slice that is less than this part of its chunk is copied when it has to wait, so that it doesn't pin the chunk. */
const pinFactor = 8;

const nothing = new Uint8Array(0);

/** What the source of a body is told. */
export interface ReplyBodyOwner {
  /** So many bytes for which `push` said false have been pulled. */
  onPulled(bytes: number): void;
  /** All has been pulled, the end included. */
  onFinished(): void;
  /** Who pulled has stopped to. */
  onAbandoned(): void;
}

interface Piece {
  readonly bytes: Uint8Array;
  /** `push` said false for it. */
  readonly held: boolean;
}

interface Puller {
  resolve(result: IteratorResult<Uint8Array>): void;
  reject(error: unknown): void;
}

/** An iterator and not a generator: `return` and `throw` must work while a `next` is pending. */
export class ReplyBody implements AsyncIterableIterator<Uint8Array> {
  readonly #owner: ReplyBodyOwner;
  #pieces: Piece[] = [];
  #waiting = 0;
  readonly #pullers: Puller[] = [];
  #state: "open" | "ended" | "finished" | "failed" = "open";
  #error: unknown;
  #announceHead: boolean;

  /**
   * @param announceHead hand out an empty piece if the first pull finds nothing: for hosts that hold back the response's head until
   * then
   */
  constructor(owner: ReplyBodyOwner, announceHead: boolean) {
    this.#owner = owner;
    this.#announceHead = announceHead;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Adds bytes. True: they are gone, or need no waiting for; false: `onPulled` tells. */
  push({ bytes, start, stop }: BodyRange): boolean {
    const view = start === 0 && stop === bytes.length ? bytes : bytes.subarray(start, stop);
    const puller = this.#pullers.shift();
    if (puller !== undefined) {
      puller.resolve({ done: false, value: view });
      return true;
    }
    const held = this.#waiting + view.length > maxWaiting;
    const pins = view.length * pinFactor < bytes.buffer.byteLength;
    this.#pieces.push({ bytes: pins ? new Uint8Array(view) : view, held });
    this.#waiting += view.length;
    return !held;
  }

  /** Nothing comes behind what waits. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    if (this.#pullers.length > 0) this.#finish();
  }

  /** What waits is dropped; who pulls gets the error. */
  fail(error: unknown): void {
    if (this.#state === "finished" || this.#state === "failed") return;
    this.#state = "failed";
    this.#error = error;
    this.#pieces = [];
    for (const { reject } of this.#pullers.splice(0)) reject(error);
  }

  /** Drops what `push` said false for. */
  dropHeld(): void {
    this.#pieces = this.#pieces.filter(({ held }) => !held);
    this.#waiting = this.#pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#pieces.length > 0) return Promise.resolve({ done: false, value: this.#take() });
    if (this.#state === "ended") this.#finish();
    if (this.#state === "finished") return Promise.resolve({ done: true, value: undefined });
    if (this.#state === "failed") return Promise.reject(this.#error);
    if (this.#announceHead) {
      this.#announceHead = false;
      return Promise.resolve({ done: false, value: nothing });
    }
    return new Promise((resolve, reject) => this.#pullers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#abandon();
    return Promise.resolve({ done: true, value: undefined });
  }

  throw(): Promise<IteratorResult<Uint8Array>> {
    return this.return();
  }

  #take(): Uint8Array {
    let count = 0;
    let length = 0;
    let held = 0;
    for (const piece of this.#pieces) {
      if (count > 0 && length + piece.bytes.length > maxGathered) break;
      count++;
      length += piece.bytes.length;
      if (piece.held) held += piece.bytes.length;
    }
    const taken = this.#pieces.splice(0, count);
    this.#waiting -= length;
    this.#announceHead = false;
    const bytes = taken.length === 1 ? taken[0]!.bytes : join(taken, length);
    if (held > 0) this.#owner.onPulled(held);
    return bytes;
  }

  #finish(): void {
    this.#state = "finished";
    for (const { resolve } of this.#pullers.splice(0)) resolve({ done: true, value: undefined });
    this.#owner.onFinished();
  }

  #abandon(): void {
    if (this.#state === "finished" || this.#state === "failed") return;
    this.#state = "finished";
    this.#pieces = [];
    for (const { resolve } of this.#pullers.splice(0)) resolve({ done: true, value: undefined });
    this.#owner.onAbandoned();
  }
}

function join(pieces: readonly Piece[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const { bytes } of pieces) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}
