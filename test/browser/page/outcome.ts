/** Outcome: gathers what a client in the page tells of a call. */
import type { PageFailure, PageResult } from "./call.ts";

type Pairs = Headers | Record<string, string> | undefined;

export class Outcome {
  readonly #replies: string[] = [];
  readonly #times: number[] = [];
  readonly #startedAt = performance.now();
  readonly #onReply: (count: number) => void;
  #header: Record<string, string> = {};
  #trailer: Record<string, string> = {};
  #failure: PageFailure | undefined;

  /** @param onReply told how many replies there are, with each */
  constructor(onReply: (count: number) => void) {
    this.#onReply = onReply;
  }

  head(header: Pairs): void {
    Object.assign(this.#header, asObject(header));
  }

  reply(value: Uint8Array): void {
    this.#replies.push(asText(value));
    this.#times.push(performance.now() - this.#startedAt);
    this.#onReply(this.#replies.length);
  }

  trailers(trailer: Pairs): void {
    Object.assign(this.#trailer, asObject(trailer));
  }

  /** The first one counts. */
  fail(failure: PageFailure, trailer: Pairs): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.trailers(trailer);
  }

  result(): PageResult {
    return {
      replies: this.#replies,
      times: this.#times,
      header: this.#header,
      trailer: this.#trailer,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
  }
}

function asObject(pairs: Pairs = {}): Record<string, string> {
  const entries = pairs instanceof Headers ? [...pairs] : Object.entries(pairs);
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value]));
}

/** Bytes as a binary string. */
export function asText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
