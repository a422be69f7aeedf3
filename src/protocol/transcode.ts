/** Transcode: a layer between a caller that speaks JSON and an upstream that speaks protobuf. Both sides of it are gRPC. */
import { Code, ConnectError } from "@connectrpc/connect";
import { decompress } from "../compress/compress.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import type { MethodSchema } from "../schema/schema.ts";
import { jsonToProto, protoToJson } from "../schema/transcode.ts";
import { isCompressed } from "../wire/encoding.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, envelope, Handling } from "../wire/envelope.ts";
import { maxHeldMessage } from "./held-message.ts";

/** Headers that say how the caller compresses: what goes on is written anew, and not compressed. */
const dropped = new Set(["grpc-encoding", "grpc-accept-encoding", "content-length"]);

/** A gRPC request in JSON, as one in protobuf. */
export function requestInProto(fields: readonly Field[]): Field[] {
  return inCodec(fields, "proto");
}

function inCodec(fields: readonly Field[], codec: string): Field[] {
  return fields
    .filter(({ name }) => !dropped.has(name))
    .map((field) => (field.name === "content-type" ? new Field(field.name, `application/grpc+${codec}`) : field));
}

/** Bytes made of the request that may wait for the upstream before the caller gets no more credit. */
const maxWaiting = 64 << 10;

type Direction = "request" | "response";

export class TranscodeLayer extends Layer {
  readonly #method: MethodSchema;
  readonly #encodings: Record<Direction, string>;
  readonly #request: EnvelopeReader;
  readonly #response: EnvelopeReader;
  /** Messages of the request that are ready, and those of the response. */
  #ready: Uint8Array[] = [];
  /** Bytes that came and have no credit yet, and how many of those that were made of them still wait. */
  #uncredited = 0;
  #waiting = 0;
  /** Bytes of the response that are held back: as they came, and as they will leave. */
  #heldFrom = 0;
  #heldAs = 0;
  #over = false;

  /** @param encoding the request's grpc-encoding */
  constructor(method: MethodSchema, encoding: string | undefined) {
    super();
    this.#method = method;
    this.#encodings = { request: encoding ?? "", response: "" };
    this.#request = new EnvelopeReader(this.#sink("request"));
    this.#response = new EnvelopeReader(this.#sink("response"));
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return this.listener.onData(bytes, start, stop, end);
    this.#uncredited += stop - start;
    this.#request.push(bytes, start, stop);
    if (this.#over) return;
    if (end && !this.#request.atBoundary)
      return this.#fail(new ConnectError("request ends inside a message", Code.InvalidArgument));
    const messages = this.#take();
    messages.forEach((message, at) => {
      this.#waiting += message.length;
      this.listener.onData(message, 0, message.length, end && at === messages.length - 1);
    });
    if (end && messages.length === 0) this.listener.onData(nothing, 0, 0, true);
    this.#credit();
  }

  override consume(bytes: number): void {
    const made = Math.min(bytes, this.#waiting);
    this.#waiting -= made;
    this.#credit();
    if (bytes > made) this.below.consume(bytes - made); // what came after a failure passes as it is
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.#over) return;
    if (fields[0]?.kind !== FieldKind.status) return super.sendHeaders(fields, end);
    this.#encodings.response = valueOf(fields, "grpc-encoding") ?? "";
    super.sendHeaders(inCodec(fields, "json"), end);
  }

  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.#over) return true;
    const held = this.#heldAs;
    this.#response.push(bytes, start, stop);
    if (end && !this.#over) this.below.end();
    if (this.#heldAs === held) return true;
    this.#heldFrom += stop - start;
    return false;
  }

  override onSent(bytes: number): void {
    this.#heldAs -= bytes;
    if (this.#heldAs > 0) return;
    const sent = this.#heldFrom;
    this.#heldFrom = 0;
    this.listener.onSent(sent);
  }

  #sink(direction: Direction): EnvelopeSink {
    return {
      handlingOf: (_flags, length) => (length <= maxHeldMessage ? Handling.gather : Handling.refuse),
      onMessage: (flags, payload) => {
        const message = this.#translate(direction, flags, payload);
        if (message === undefined) return;
        if (direction === "request") this.#ready.push(message);
        else if (!this.below.sendData(message, 0, message.length, false)) this.#heldAs += message.length;
      },
      onRefuse: (_flags, length) => {
        this.#fail(new ConnectError(`message of ${length} bytes, at most ${maxHeldMessage}`, Code.ResourceExhausted));
      },
    };
  }

  #translate(direction: Direction, flags: number, payload: Uint8Array): Uint8Array | undefined {
    const { input, output, types } = this.#method;
    const fault = direction === "request" ? Code.InvalidArgument : Code.Internal;
    try {
      const plain = this.#plain(direction, flags, payload);
      const turn = direction === "request" ? jsonToProto : protoToJson;
      return envelope(
        0,
        turn(direction === "request" ? input : output, plain, { types, limit: maxHeldMessage, fault }),
      );
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      // bytes of an upstream's that can't be read are no fault of the caller's
      this.#fail(
        new ConnectError(rawMessage, code === Code.InvalidArgument ? fault : code, undefined, undefined, error),
      );
      return undefined;
    }
  }

  #plain(direction: Direction, flags: number, payload: Uint8Array): Uint8Array {
    if (flags === 0) return payload;
    const encoding = this.#encodings[direction];
    if (flags === EnvelopeFlag.compressed && isCompressed(encoding))
      return decompress(encoding, payload, maxHeldMessage);
    throw new ConnectError(`${direction} message with flags ${flags}, in no encoding`, Code.Internal);
  }

  #take(): Uint8Array[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  #credit(): void {
    if (this.#waiting > maxWaiting || this.#uncredited === 0) return;
    this.below.consume(this.#uncredited);
    this.#uncredited = 0;
  }

  /** A message that can't be translated ends the call with our own status. */
  #fail(error: ConnectError): void {
    if (this.#over) return;
    this.#over = true;
    this.#request.stop();
    this.#response.stop();
    this.listener.onRefused?.(error);
  }
}

const nothing = new Uint8Array(0);
