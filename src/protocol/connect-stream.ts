/** Connect streams: gRPC's envelopes, and an end of the stream in JSON instead of trailers. */

import { decompress } from "../compress/compress.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Field, FieldKind, Indexing } from "../http2/field.ts";
import { encodeConnectEnd, parseConnectEnd } from "../wire/connect-end.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, envelope, Handling } from "../wire/envelope.ts";
import { isMetadata } from "../wire/metadata.ts";
import { formatConnectTimeout, parseGrpcTimeout } from "../wire/timeout.ts";
import { Layer, maxHeldMessage } from "./layer.ts";

/** What gRPC and Connect streams call the same two things. */
const toGrpcNames = new Map([
  ["connect-content-encoding", "grpc-encoding"],
  ["connect-accept-encoding", "grpc-accept-encoding"],
]);
const toConnectNames = new Map([...toGrpcNames].map(([connect, grpc]) => [grpc, connect]));

/** A Connect stream's request fields as a gRPC request's. */
export function requestFromConnectStream(fields: readonly Field[], codec: string): Field[] {
  return translate(fields, { names: toGrpcNames, type: `application/grpc+${codec}` });
}

/** Pseudo-fields and metadata pass, encodings get the other name, all else of the protocol goes. */
function translate(fields: readonly Field[], to: { names: Map<string, string>; type: string }): Field[] {
  const out: Field[] = [];
  for (const field of fields) {
    const name = to.names.get(field.name);
    if (name !== undefined) out.push(new Field(name, field.value));
    else if (field.name === "content-type") out.push(new Field("content-type", to.type));
    else if (isMetadata(field) || (field.kind <= FieldKind.status && field.kind !== FieldKind.regular)) out.push(field);
  }
  return out;
}

/** The caller's side: a gRPC response becomes a Connect stream. */
export class ConnectStreamServer extends Layer {
  readonly #type: string;

  constructor(codec: string) {
    super();
    this.#type = `application/connect+${codec}`;
  }

  /** Connect's requests have no trailers. */
  override onTrailers(): void {
    this.listener.onData(nothing, 0, 0, true);
  }

  /** Always HTTP 200: errors of a stream are at its end. */
  override sendHeaders(fields: readonly Field[], end: boolean): void {
    const isHead = fields[0]?.kind === FieldKind.status;
    if (isHead) this.below.sendHeaders(translate(fields, { names: toConnectNames, type: this.#type }), false);
    if (!end) return;
    // of a Trailers-Only response the metadata has gone out as headers
    const status = isHead ? fields.filter(({ name }) => name.startsWith("grpc-")) : fields;
    const last = envelope(EnvelopeFlag.connectEnd, encodeConnectEnd(status));
    this.below.sendData(last, 0, last.length, true);
  }
}

const nothing = new Uint8Array(0);

/** A gRPC request's fields as those of a Connect stream. */
export function requestToConnectStream(fields: readonly Field[], codec: string): Field[] {
  const out = translate(fields, { names: toConnectNames, type: `application/connect+${codec}` });
  out.push(new Field("connect-protocol-version", "1"));
  return withConnectTimeout(out, fields);
}

/** grpc-timeout, which says the time that is left, in Connect's words. */
export function withConnectTimeout(out: Field[], fields: readonly Field[]): Field[] {
  const timeout = fields.find(({ name }) => name === "grpc-timeout");
  if (timeout !== undefined) {
    out.push(new Field("connect-timeout-ms", formatConnectTimeout(parseGrpcTimeout(timeout.value)!), Indexing.without));
  }
  return out;
}

/** The upstream's side: a Connect stream's response becomes one of gRPC. */
export class ConnectStreamClient extends Layer implements EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  readonly #wrongKind: () => void;
  readonly #codec: string;
  #encoding: string | undefined;
  #trailers: Field[] | undefined;

  /** @param wrongKind called for 415: the method is a unary one, which has other content types */
  constructor(codec: string, wrongKind: () => void) {
    super();
    this.#codec = codec;
    this.#wrongKind = wrongKind;
  }

  /** Requests of Connect have no trailers. */
  override sendHeaders(): void {
    this.below.end();
  }

  override onHeaders(fields: Field[], end: boolean): void {
    const status = fields[0]!.value;
    if (status === "415") return this.#wrongKind();
    if (status === "200") this.#encoding = fields.find(({ name }) => name === "connect-content-encoding")?.value;
    const isConnect = fields.some(
      ({ name, value }) => name === "content-type" && value.startsWith("application/connect+"),
    );
    const type = isConnect ? `application/grpc+${this.#codec}` : "text/plain";
    this.listener.onHeaders(translate(fields, { names: toGrpcNames, type }), end);
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#reader.push(bytes, start, stop);
    if (!end || this.below.closed) return;
    if (this.#trailers !== undefined) this.listener.onTrailers(this.#trailers);
    else this.listener.onData(nothing, 0, 0, true); // cut off: the attempt says so
  }

  /** HTTP's own trailers are nothing here. */
  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
  }

  handlingOf(flags: number, length: number): Handling {
    if ((flags & EnvelopeFlag.connectEnd) === 0) return Handling.pass;
    return length <= maxHeldMessage ? Handling.gather : Handling.refuse;
  }

  onPass(bytes: Uint8Array, start: number, stop: number): void {
    this.listener.onData(bytes, start, stop, false);
  }

  onMessage(flags: number, payload: Uint8Array): void {
    this.below.consume(payload.length + 5);
    this.#reader.stop(); // it is the last envelope
    try {
      const compressed = (flags & EnvelopeFlag.compressed) !== 0 && payload.length > 0;
      this.#trailers = parseConnectEnd(
        compressed ? decompress(this.#encoding ?? "", payload, maxHeldMessage) : payload,
      );
    } catch {
      this.onRefuse();
    }
  }

  onRefuse(): void {
    this.below.reset(ErrorCode.cancel);
    this.listener.onReset(ErrorCode.internalError, "malformed");
  }
}
