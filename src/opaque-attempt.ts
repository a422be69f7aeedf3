/** Opaque attempt: a response that passes in the caller's own protocol, which isn't gRPC's; its bytes are not changed. */
import { Attempt, outcomeOfHttp, outcomeOfStatus, withoutHop } from "./attempt.ts";
import { decompress } from "./compress/compress.ts";
import { type Field, valueOf } from "./http2/field.ts";
import type { Outcome } from "./upstream/outlier.ts";
import { type BodyStatus, bodyStatus, statusOfHead } from "./wire/body-status.ts";
import { EnvelopeBoundary } from "./wire/envelope-boundary.ts";

/** Responses that are messages with a prefix each, in which an end of ours could follow. */
const enveloped = /^application\/(grpc-web(?!-text)|connect\+)/;

export class OpaqueAttempt extends Attempt {
  #head: readonly Field[] = [];
  /** What the head says of the endpoint; nothing behind it is looked into. */
  #outcome: Outcome = "success";
  #boundary: EnvelopeBoundary | undefined;
  /** Where somebody wants to know the status, and it is in the body. */
  #inBody: BodyStatus | undefined;

  override get told(): readonly Field[] | undefined {
    return this.#inBody?.told;
  }

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
    this.#head = fields;
    const status = valueOf(fields, "grpc-status");
    this.#outcome = status === undefined ? outcomeOfHttp(http) : outcomeOfStatus(status, false);
    const plain = http === 200 && valueOf(fields, "content-encoding") === undefined;
    if (plain && enveloped.test(valueOf(fields, "content-type") ?? "")) this.#boundary = new EnvelopeBoundary();
    if (owner.recorded && !end) this.#inBody = bodyStatus(fields, decompress);
    owner.downstream.sendHeaders(withoutHop(fields), end);
    if (end) this.#complete(fields);
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const { owner } = this;
    owner.responseBytes += stop - start;
    this.#boundary?.push(bytes, start, stop);
    this.#inBody?.push(bytes, start, stop);
    if (owner.downstream.sendData(bytes, start, stop, end)) this.stream.consume(stop - start);
    if (end) this.#complete([]);
  }

  /** An empty block of trailers is more than WebKit understands. */
  override onTrailers(fields: Field[]): void {
    if (fields.length === 0) this.owner.downstream.end();
    else this.owner.downstream.sendHeaders(fields, true);
    this.#complete(fields);
  }

  /** gRPC-Web without messages says the status in its head. Where it is said nowhere, it is what HTTP's says. */
  #complete(trailers: readonly Field[]): void {
    const { owner } = this;
    this.report(this.#outcome);
    if (!owner.recorded || isStatus(trailers)) return owner.complete(trailers);
    if (isStatus(this.#head)) return owner.complete(this.#head);
    owner.complete(this.#inBody?.end() ?? statusOfHead(this.#head));
  }
}

function isStatus(fields: readonly Field[]): boolean {
  return valueOf(fields, "grpc-status") !== undefined;
}
