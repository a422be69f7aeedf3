/** A listener of one stream that writes down what it is told, and an owner of a connection that does the same. */
import type { ConnectionListener, ResetCause, StreamListener } from "../../src/http2/api.ts";
import { Field } from "../../src/http2/field.ts";
import type { Http2Stream } from "../../src/http2/stream.ts";

export type Pairs = readonly (readonly [name: string, value: string])[];

export const request: Pairs = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/a.S/M"],
  [":authority", "a.example"],
];

export const ok: Pairs = [[":status", "200"]];

export function fieldsOf(pairs: Pairs): Field[] {
  return pairs.map(([name, value]) => new Field(name, value));
}

function text(fields: readonly Field[]): string {
  return fields.map(({ name, value }) => `${name}=${value}`).join(" ");
}

export class StreamRecorder implements StreamListener {
  /** One line for each event; bodies are in `body`. */
  readonly events: string[] = [];
  readonly body: Buffer[] = [];
  sent = 0;
  /** Takes the bytes of the body as they come, as a reader that keeps up does. */
  consumes = true;
  stream!: Http2Stream;

  onHeaders(fields: Field[], end: boolean): void {
    this.events.push(`headers ${text(fields)}${end ? " end" : ""}`);
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.body.push(Buffer.from(bytes.subarray(start, stop)));
    if (end) this.events.push("end");
    if (this.consumes) this.stream.consume(stop - start);
  }

  onTrailers(fields: Field[]): void {
    this.events.push(`trailers ${text(fields)}`);
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  onReset(code: number, cause: ResetCause): void {
    this.events.push(`reset ${code} ${cause}`);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.body);
  }
}

/** A server that keeps every stream it is given, and answers none. */
export class ConnectionRecorder implements ConnectionListener {
  /** Recorders of the streams that the peer has opened, by id. */
  readonly streams = new Map<number, StreamRecorder>();
  readonly events: string[] = [];
  error: Error | undefined;
  /** What streams do as they come. */
  onStream: ((recorder: StreamRecorder) => void) | undefined;

  onRequest(stream: Http2Stream, fields: Field[], end: boolean): StreamListener {
    const recorder = new StreamRecorder();
    recorder.stream = stream;
    recorder.onHeaders(fields, end);
    this.streams.set(stream.id, recorder);
    this.onStream?.(recorder);
    return recorder;
  }

  onReady(): void {
    this.events.push("ready");
  }

  onRoom(): void {
    this.events.push("room");
  }

  onGoaway(code: number): void {
    this.events.push(`goaway ${code}`);
  }

  onClose(error: Error | undefined): void {
    this.error = error;
    this.events.push("close");
  }

  get closed(): boolean {
    return this.events.includes("close");
  }
}
