/** Branch: one of several relays that a call is carried on by. To its relay it is the caller's stream; the reply is each kind's own. */
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import type { Field } from "./http2/field.ts";

/** Who is told before there is a relay. */
const nobody: StreamListener = { onHeaders() {}, onData() {}, onTrailers() {}, onSent() {}, onReset() {} };

export abstract class Branch implements HttpStream {
  /** The relay, or a layer under it. */
  listener: StreamListener = nobody;
  /** All of the request has been handed to it. */
  remoteEnded = false;
  localEnded = false;
  closed = false;
  /** Bytes of the request that have left for the endpoint. */
  consumed = 0;

  abstract sendHeaders(fields: readonly Field[], end: boolean): void;
  abstract sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean;
  abstract end(): void;
  abstract reset(code: ErrorCode): void;
  /** It has taken more of the request. */
  protected abstract onConsumed(): void;

  dropQueue(): void {}

  consume(bytes: number): void {
    this.consumed += bytes;
    this.onConsumed();
  }

  /** Hands a part of the request to the relay. */
  feed(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.closed) return;
    this.remoteEnded = end;
    this.listener.onData(bytes, start, stop, end);
  }

  /** Ends the request with trailers. */
  endWith(trailers: Field[]): void {
    if (this.closed) return;
    this.remoteEnded = true;
    this.listener.onTrailers(trailers);
  }

  /** Ends it as if its caller had gone. */
  cancel(): void {
    if (this.closed) return;
    this.closed = true;
    this.listener.onReset(ErrorCode.cancel, "peer");
  }
}
