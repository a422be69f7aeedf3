/** Message limit: whether a message of a body that passes by is larger than it may be, known from its prefix. */
import { EnvelopeBoundary } from "./envelope-boundary.ts";

/** How messages lie in a body: each in an envelope, the whole body being one, or in a way that isn't looked into. */
export type BodyForm = "envelopes" | "whole" | "unknown";

/** By a content type of gRPC, gRPC-Web or Connect. Base64 hides where messages begin. */
export function bodyFormOf(contentType: string | undefined): BodyForm {
  if (contentType === undefined || contentType.startsWith("application/grpc-web-text")) return "unknown";
  return /^application\/(grpc|connect\+)/.test(contentType) ? "envelopes" : "whole";
}

/** Bytes of one message, as it is on the wire; undefined: any. */
export interface MessageLimits {
  readonly request: number | undefined;
  readonly response: number | undefined;
}

export class MessageLimit {
  readonly #max: number;
  readonly #form: BodyForm;
  readonly #envelopes: EnvelopeBoundary;
  /** Bytes of a body that is one message. */
  #length = 0;

  /** @param max bytes of payload, prefixes not counted */
  constructor(max: number, form: BodyForm) {
    this.#max = max;
    this.#form = form;
    this.#envelopes = new EnvelopeBoundary(max);
  }

  /** Where in the piece that was pushed last the last message began, or the piece itself if that was before it. */
  get begin(): number {
    return this.#envelopes.begin;
  }

  /** @returns bytes of the message that is too large, as far as they are known; 0 where none is */
  push(bytes: Uint8Array, start: number, stop: number): number {
    if (this.#form === "unknown") return 0;
    if (this.#form === "envelopes") return this.#envelopes.push(bytes, start, stop);
    this.#length += stop - start;
    return this.#length > this.#max ? this.#length : 0;
  }
}
