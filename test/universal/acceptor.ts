/** An acceptor for tests: it keeps what it is given, and the test plays the proxy. */

import type { Origin } from "../../src/call.ts";
import type { HttpStream, ResetCause, StreamListener } from "../../src/http2/api.ts";
import { Field } from "../../src/http2/field.ts";
import type { Acceptor } from "../../src/universal/handler.ts";

/** One request that was accepted. */
export class Accepted implements StreamListener {
  readonly stream: HttpStream;
  readonly fields: [name: string, value: string][];
  readonly origin: Origin;
  /** `remoteEnded` when it came. */
  readonly endedAtOnce: boolean;
  readonly pieces: Buffer[] = [];
  ended = false;
  sent = 0;
  cause: ResetCause | undefined;

  constructor(request: { stream: HttpStream; fields: readonly Field[]; origin: Origin }) {
    this.stream = request.stream;
    this.fields = request.fields.map(({ name, value }) => [name, value]);
    this.origin = request.origin;
    this.endedAtOnce = request.stream.remoteEnded;
  }

  field(name: string): string | undefined {
    return this.fields.find(([one]) => one === name)?.[1];
  }

  get body(): string {
    return Buffer.concat(this.pieces).toString();
  }

  /** Sends a header block. */
  send(fields: Record<string, string>, end = false): void {
    this.stream.sendHeaders(
      Object.entries(fields).map(([name, value]) => new Field(name, value)),
      end,
    );
  }

  data(text: string | Uint8Array, end = false): boolean {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    return this.stream.sendData(bytes, 0, bytes.length, end);
  }

  onHeaders(): void {}

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (stop > start) this.pieces.push(Buffer.from(bytes.subarray(start, stop)));
    this.ended ||= end;
  }

  onTrailers(): void {
    this.ended = true;
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  onReset(_code: number, cause: ResetCause): void {
    this.cause = cause;
  }
}

/** Keeps requests; `onAccept` may answer them before `accept` returns. */
export function fakeAcceptor(onAccept: (accepted: Accepted) => void = () => {}): Acceptor & { calls: Accepted[] } {
  const calls: Accepted[] = [];
  return {
    calls,
    accept(request) {
      const accepted = new Accepted(request);
      calls.push(accepted);
      onAccept(accepted);
      return accepted;
    },
  };
}
