/** Health call: one call of gRPC's health service, Check or Watch, on a connection to an endpoint. */
import { Code } from "@connectrpc/connect";
import type { HttpStream, StreamListener } from "../../http2/api.ts";
import { ErrorCode } from "../../http2/errors.ts";
import { Field, FieldKind, valueOf } from "../../http2/field.ts";
import { startTurn } from "../../http2/turn.ts";
import { EnvelopeReader, Handling } from "../../wire/envelope.ts";
import { parseStatus, statusOfHttp } from "../../wire/status.ts";
import type { UpstreamConnection } from "../connection.ts";
import { healthRequest, readServing } from "./messages.ts";

export interface HealthCallListener {
  /** A message came: it serves, or doesn't. */
  onWord(serving: boolean): void;
  /** Nothing comes after this. @param status of gRPC; undefined where none came */
  onEnd(status: number | undefined): void;
}

export interface HealthCallOptions {
  readonly method: "Check" | "Watch";
  readonly service: string;
  readonly authority: string;
  readonly secure: boolean;
}

/** A response has two bytes; no server has reason to send more than this. */
const maxMessage = 1 << 10;

/** Makes the call; returns what ends it without another word. Call only while the connection has room. */
export function callHealth(
  connection: UpstreamConnection,
  options: HealthCallOptions,
  listener: HealthCallListener,
): () => void {
  startTurn();
  const call = new HealthCall(listener);
  call.stream = connection.request(requestFields(options), false, call);
  const request = healthRequest(options.service);
  call.stream.sendData(request, 0, request.length, true);
  return () => call.cancel();
}

function requestFields({ method, authority, secure }: HealthCallOptions): Field[] {
  return [
    new Field(":method", "POST"),
    new Field(":scheme", secure ? "https" : "http"),
    new Field(":authority", authority),
    new Field(":path", `/grpc.health.v1.Health/${method}`),
    new Field("content-type", "application/grpc"),
    new Field("te", "trailers"),
  ];
}

class HealthCall implements StreamListener {
  stream!: HttpStream;
  readonly #listener: HealthCallListener;
  readonly #reader: EnvelopeReader;
  #over = false;

  constructor(listener: HealthCallListener) {
    this.#listener = listener;
    this.#reader = new EnvelopeReader({
      // compressed, although we don't say that we read that, or no such message: what it says can't be known
      handlingOf: (flags, length) => (flags === 0 && length <= maxMessage ? Handling.gather : Handling.refuse),
      onMessage: (_flags, payload) => {
        const serving = readServing(payload);
        if (serving === undefined) this.#fail();
        else if (!this.#over) this.#listener.onWord(serving);
      },
      onRefuse: () => this.#fail(),
    });
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.stream.reset(ErrorCode.cancel);
  }

  onHeaders(fields: Field[], end: boolean): void {
    const http = fields[0]?.kind === FieldKind.status ? Number(fields[0].value) : 0;
    if (http < 200) return;
    const status = valueOf(fields, "grpc-status");
    if (status !== undefined && end) return this.#end(parseStatus(status));
    // a server that knows nothing of gRPC: 404 is what it says to a path that it doesn't have, and that of "unimplemented"
    if (http !== 200) this.#end(statusOfHttp(http));
    else if (end) this.#end(undefined);
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return;
    this.#reader.push(bytes, start, stop);
    this.stream.consume(stop - start);
    if (end) this.#end(undefined);
  }

  onTrailers(fields: Field[]): void {
    const status = valueOf(fields, "grpc-status");
    this.#end(status === undefined ? undefined : parseStatus(status));
  }

  onSent(): void {}

  onReset(): void {
    this.#end(undefined);
  }

  #fail(): void {
    this.#end(Code.Internal);
  }

  #end(status: number | undefined): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.stream.closed) this.stream.reset(ErrorCode.cancel);
    this.#listener.onEnd(status);
  }
}
