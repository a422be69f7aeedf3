/** Request body: bytes that a stream tells of, pulled out by a handler, with credit as they are. */
import type { BodyRange } from "../http2/body.ts";

interface Puller {
  resolve(result: IteratorResult<Uint8Array>): void;
  reject(error: unknown): void;
}

export class RequestBody implements AsyncIterableIterator<Uint8Array> {
  readonly #onTaken: (bytes: number) => void;
  readonly #pieces: Uint8Array[] = [];
  readonly #pullers: Puller[] = [];
  #state: "open" | "ended" | "failed" = "open";
  #error: unknown;

  /** @param onTaken so many bytes have been pulled */
  constructor(onTaken: (bytes: number) => void) {
    this.#onTaken = onTaken;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  push({ bytes, start, stop }: BodyRange): void {
    if (this.#state !== "open" || start === stop) return;
    const piece = bytes.subarray(start, stop);
    const puller = this.#pullers.shift();
    if (puller === undefined) {
      this.#pieces.push(piece);
      return;
    }
    puller.resolve({ done: false, value: piece });
    this.#onTaken(piece.length);
  }

  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    for (const { resolve } of this.#pullers.splice(0)) resolve({ done: true, value: undefined });
  }

  /** What hasn't been pulled is dropped. */
  fail(error: unknown): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    this.#error = error;
    this.#pieces.length = 0;
    for (const { reject } of this.#pullers.splice(0)) reject(error);
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#onTaken(piece.length);
      return Promise.resolve({ done: false, value: piece });
    }
    if (this.#state === "ended") return Promise.resolve({ done: true, value: undefined });
    if (this.#state === "failed") return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#pullers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#pieces.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }
}
