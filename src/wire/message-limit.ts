/** Message limit: whether a message of a body that passes by is larger than it may be, known from its prefix. */
import { prefixLength } from "./envelope.ts";

/** How messages lie in a body: each in an envelope, the whole body being one, or in a way that isn't looked into. */
export type BodyForm = "envelopes" | "whole" | "unknown";

/** By a content type of gRPC, gRPC-Web or Connect. Base64 hides where messages begin. */
export function bodyFormOf(contentType: string | undefined): BodyForm {
  if (contentType === undefined || contentType.startsWith("application/grpc-web-text")) return "unknown";
  return /^application\/(grpc|connect\+)/.test(contentType) ? "envelopes" : "whole";
}

export class MessageLimit {
  /** Where in the piece that was pushed last the last message began, or the piece itself if that was before it. */
  begin = 0;
  readonly #max: number;
  readonly #form: BodyForm;
  /** Bytes of this payload that haven't come by. */
  #left = 0;
  /** Bytes of a prefix that have, and the length that those of them say. */
  #prefix = 0;
  #length = 0;

  /** @param max bytes of payload, prefixes not counted */
  constructor(max: number, form: BodyForm) {
    this.#max = max;
    this.#form = form;
  }

  /** @returns bytes of the message that is too large, as far as they are known; 0 where none is */
  push(bytes: Uint8Array, start: number, stop: number): number {
    if (this.#form === "unknown") return 0;
    if (this.#form === "whole") {
      this.#length += stop - start;
      return this.#length > this.#max ? this.#length : 0;
    }
    let at = start;
    this.begin = start;
    while (at < stop) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, stop - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      if (this.#prefix === 0) this.begin = at;
      // the first byte is flags; four digits of base 256 are more than 32 bits of a shift can hold
      if (this.#prefix++ > 0) this.#length = this.#length * 256 + bytes[at]!;
      at++;
      if (this.#prefix < prefixLength) continue;
      if (this.#length > this.#max) return this.#length;
      this.#left = this.#length;
      this.#prefix = this.#length = 0;
    }
    return 0;
  }
}
