/** Layer: what stands between a stream and who uses it. */
import type { HttpStream, ResetCause, StreamListener } from "./api.ts";
import type { ErrorCode } from "./errors.ts";
import type { Field } from "./field.ts";

/**
 * Passes everything both ways. A layer of a protocol, below which is what is on the wire and above which is gRPC over HTTP/2's form, overrides what it says otherwise: what goes down on its way to the wire
 * (`send...`, `consume`), what comes up from it (`on...`). On the caller's side the relay is above, on the upstream's an attempt.
 */
export class Layer implements HttpStream, StreamListener {
  listener!: StreamListener;
  below!: HttpStream;

  /** Stands between from now on. */
  stack(below: HttpStream, above: StreamListener): void {
    this.below = below;
    this.listener = above;
  }

  get remoteEnded(): boolean {
    return this.below.remoteEnded;
  }

  get localEnded(): boolean {
    return this.below.localEnded;
  }

  get closed(): boolean {
    return this.below.closed;
  }

  sendHeaders(fields: readonly Field[], end: boolean): void {
    this.below.sendHeaders(fields, end);
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    return this.below.sendData(bytes, start, stop, end);
  }

  end(): void {
    this.below.end();
  }

  consume(bytes: number): void {
    this.below.consume(bytes);
  }

  reset(code: ErrorCode): void {
    this.below.reset(code);
  }

  dropQueue(): void {
    this.below.dropQueue();
  }

  onHeaders(fields: Field[], end: boolean): void {
    this.listener.onHeaders(fields, end);
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.listener.onData(bytes, start, stop, end);
  }

  onTrailers(fields: Field[]): void {
    this.listener.onTrailers(fields);
  }

  onSent(bytes: number): void {
    this.listener.onSent(bytes);
  }

  onReset(code: ErrorCode, cause: ResetCause): void {
    this.listener.onReset(code, cause);
  }

  onRefused(error: Error): void {
    this.listener.onRefused?.(error);
  }
}
