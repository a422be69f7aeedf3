/** Opaque attempt: a response that passes in the caller's own protocol, which isn't gRPC's and isn't looked into. */
import { Attempt, outcomeOfHttp, outcomeOfStatus } from "./attempt.ts";
import { type Field, valueOf } from "./http2/field.ts";
import type { Outcome } from "./upstream/outlier.ts";
import { EnvelopeBoundary } from "./wire/envelope-boundary.ts";
import { parseStatus, statusOfHttp } from "./wire/status.ts";

/** Responses that are messages with a prefix each, in which an end of ours could follow. */
const enveloped = /^application\/(grpc-web(?!-text)|connect\+)/;

export class OpaqueAttempt extends Attempt {
  #status = 0;
  /** What the head says of the endpoint; nothing behind it is looked into. */
  #outcome: Outcome = "success";
  #boundary: EnvelopeBoundary | undefined;

  /** The response has come to the end of a message. */
  get atBoundary(): boolean {
    return this.#boundary?.reached === true;
  }

  override onHeaders(fields: Field[], end: boolean): void {
    const { owner } = this;
    const http = Number(fields[0]!.value);
    if (http < 200) return owner.downstream.sendHeaders(fields, false);
    owner.commit();
    this.answered = true;
    // gRPC-Web says the status here where there are no messages; in a body it isn't looked for.
    const status = valueOf(fields, "grpc-status");
    if (status !== undefined) this.#status = parseStatus(status);
    else this.#status = http === 200 ? 0 : statusOfHttp(http);
    this.#outcome = status === undefined ? outcomeOfHttp(http) : outcomeOfStatus(status, false);
    const plain = http === 200 && valueOf(fields, "content-encoding") === undefined;
    if (plain && enveloped.test(valueOf(fields, "content-type") ?? "")) this.#boundary = new EnvelopeBoundary();
    owner.downstream.sendHeaders(fields, end);
    if (end) this.#complete();
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const { owner } = this;
    owner.responseBytes += stop - start;
    this.#boundary?.push(bytes, start, stop);
    if (owner.downstream.sendData(bytes, start, stop, end)) this.stream.consume(stop - start);
    if (end) this.#complete();
  }

  /** An empty block of trailers is more than WebKit understands. */
  override onTrailers(fields: Field[]): void {
    if (fields.length === 0) this.owner.downstream.end();
    else this.owner.downstream.sendHeaders(fields, true);
    this.#complete();
  }

  #complete(): void {
    this.report(this.#outcome);
    this.owner.completeOpaque(this.#status);
  }
}
