/** Limited connection: a connection to an upstream, or what looks like one, on whose streams no message may be larger than it says. */
import type { HttpStream, ResetCause, StreamListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import { type Field, FieldKind, valueOf } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import { bodyFormOf, MessageLimit, type MessageLimits } from "../wire/message-limit.ts";
import type { UpstreamConnection } from "./connection.ts";
import { checkPositive } from "./positive.ts";
import type { StreamOpener } from "./waiter.ts";

/** Of an upstream, or of the calls of a listener. */
export interface MessageLimitOptions {
  /** Bytes of one message of a request, as it is on the wire; a larger one is answered `resource_exhausted`. Default: any. */
  readonly maxRequestMessage?: number;
  /** The same of a response. */
  readonly maxResponseMessage?: number;
}

/**
 * @param where the options stand, for the error
 * @returns undefined where messages may have any size
 * @throws TypeError naming the limit that isn't more than 0
 */
export function messageLimits(where: string, options: MessageLimitOptions): MessageLimits | undefined {
  const { maxRequestMessage, maxResponseMessage } = options;
  if (maxRequestMessage === undefined && maxResponseMessage === undefined) return undefined;
  checkPositive(where, { maxRequestMessage, maxResponseMessage });
  return { request: maxRequestMessage, response: maxResponseMessage };
}

/** Opens a stream that passes no message that is too large. */
export function limited(inner: StreamOpener, limits: MessageLimits): StreamOpener {
  return {
    request(fields, end, listener) {
      const stream = new LimitedStream(limits, valueOf(fields, "content-type"), listener);
      stream.below = inner.request(fields, end, stream);
      return stream;
    },
  };
}

export class LimitedConnection implements UpstreamConnection {
  readonly #inner: UpstreamConnection;
  readonly #opener: StreamOpener;

  constructor(inner: UpstreamConnection, limits: MessageLimits) {
    this.#inner = inner;
    this.#opener = limited(inner, limits);
  }

  get room(): number {
    return this.#inner.room;
  }

  get streamCount(): number {
    return this.#inner.streamCount;
  }

  get resetsSent(): number {
    return this.#inner.resetsSent;
  }

  get closed(): boolean {
    return this.#inner.closed;
  }

  request(fields: readonly Field[], end: boolean, listener: StreamListener): HttpStream {
    return this.#opener.request(fields, end, listener);
  }

  shutdown(): void {
    this.#inner.shutdown();
  }

  destroy(error?: Error): void {
    this.#inner.destroy(error);
  }
}

/** Passes all both ways, up to the prefix of a message that is too large: that ends it on both sides. */
class LimitedStream extends Layer {
  readonly #request: MessageLimit | undefined;
  readonly #maxResponse: number | undefined;
  #response: MessageLimit | undefined;
  #over = false;

  constructor({ request, response }: MessageLimits, contentType: string | undefined, listener: StreamListener) {
    super();
    this.listener = listener;
    this.#maxResponse = response;
    if (request !== undefined) this.#request = new MessageLimit(request, bodyFormOf(contentType));
  }

  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.#over) return true;
    const length = this.#request?.push(bytes, start, stop) ?? 0;
    if (length === 0) return super.sendData(bytes, start, stop, end);
    this.#end();
    // later: whoever sends is in the middle of it, and may not even have this stream yet
    queueMicrotask(() => this.listener.onReset(ErrorCode.enhanceYourCalm, "request_too_large"));
    return true;
  }

  override reset(code: ErrorCode): void {
    this.#over = true;
    super.reset(code);
  }

  override onHeaders(fields: Field[], end: boolean): void {
    if (this.#over) return;
    const head = fields[0];
    const interim = head?.kind === FieldKind.status && head.value.startsWith("1");
    if (this.#maxResponse !== undefined && !interim && !end) {
      this.#response = new MessageLimit(this.#maxResponse, bodyFormOf(valueOf(fields, "content-type")));
    }
    super.onHeaders(fields, end);
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return;
    const length = this.#response?.push(bytes, start, stop) ?? 0;
    if (length === 0) return super.onData(bytes, start, stop, end);
    const { begin } = this.#response!; // the messages before it are the caller's
    if (begin > start) this.listener.onData(bytes, start, begin, false);
    if (this.#over) return;
    this.#end();
    this.listener.onReset(ErrorCode.enhanceYourCalm, "response_too_large");
  }

  override onTrailers(fields: Field[]): void {
    if (!this.#over) super.onTrailers(fields);
  }

  override onSent(bytes: number): void {
    if (!this.#over) super.onSent(bytes);
  }

  override onReset(code: ErrorCode, cause: ResetCause): void {
    if (!this.#over) super.onReset(code, cause);
  }

  #end(): void {
    this.#over = true;
    this.below.reset(ErrorCode.cancel);
  }
}
