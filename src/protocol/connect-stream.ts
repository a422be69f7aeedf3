/** Connect streams: gRPC's envelopes, and an end of the stream in JSON instead of trailers. */

import { supportedEncodings } from "../compress/compress.ts";
import { Field, FieldKind, Indexing, valueOf } from "../http2/field.ts";
import { encodeConnectEnd, parseConnectEnd } from "../wire/connect-end.ts";
import { parseEncodings } from "../wire/encoding.ts";
import { EnvelopeFlag } from "../wire/envelope.ts";
import { isMetadata, isStatusHeader } from "../wire/metadata.ts";
import { formatConnectTimeout, parseGrpcTimeout } from "../wire/timeout.ts";
import { maxHeldMessage } from "./held-message.ts";
import { LastEnvelopeClient, LastEnvelopeServer } from "./last-envelope.ts";

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
export class ConnectStreamServer extends LastEnvelopeServer {
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
    const status = isHead ? fields.filter(({ name }) => isStatusHeader(name)) : fields;
    this.sendLast(EnvelopeFlag.connectEnd, encodeConnectEnd(status));
  }
}

const nothing = new Uint8Array(0);

/** A gRPC request's fields as those of a Connect stream. */
export function requestToConnectStream(fields: readonly Field[], codec: string): Field[] {
  const out = translate(fields, { names: toConnectNames, type: `application/connect+${codec}` }).flatMap(onlyReadable);
  out.push(new Field("connect-protocol-version", "1"));
  return withConnectTimeout(out, fields);
}

/** The end of the stream may be compressed as the messages are, and that is for us to read. */
function onlyReadable(field: Field): Field[] {
  if (field.name !== "connect-accept-encoding") return [field];
  const readable = parseEncodings(field.value).filter((name) => supportedEncodings.includes(name));
  return readable.length === 0 ? [] : [new Field(field.name, readable.join(","))];
}

/** grpc-timeout, which says the time that is left, in Connect's words. */
export function withConnectTimeout(out: Field[], fields: readonly Field[]): Field[] {
  const timeout = fields.find(({ name }) => name === "grpc-timeout");
  if (timeout !== undefined) {
    out.push(new Field("connect-timeout-ms", formatConnectTimeout(parseGrpcTimeout(timeout.value)!), Indexing.without));
  }
  return out;
}

/** Whether the upstream takes a method for one of the kind that it was called as. */
export interface KindListener {
  /** It has answered in the form of this kind. */
  onRightKind(): void;
  /**
   * HTTP 415: the method is of the other kind, and no work was done.
   *
   * @returns true if the call goes on without this stream; false: the 415 is its answer
   */
  onWrongKind(): boolean;
}

const connectStreamType = /^application\/connect\+([^;]+)/i;

/** The upstream's side: a Connect stream's response becomes one of gRPC. */
export class ConnectStreamClient extends LastEnvelopeClient {
  protected override readonly maxLast = maxHeldMessage;
  readonly #kinds: KindListener;

  constructor(kinds: KindListener) {
    super();
    this.#kinds = kinds;
  }

  override onHeaders(fields: Field[], end: boolean): void {
    const status = fields[0]!.value;
    if (status === "415" && this.#kinds.onWrongKind()) return;
    const type = valueOf(fields, "content-type") ?? "";
    const codec = connectStreamType.exec(type)?.[1];
    if (codec !== undefined) this.#kinds.onRightKind();
    this.encoding = valueOf(fields, "connect-content-encoding");
    this.listener.onHeaders(translate(fields, { names: toGrpcNames, type: grpcType(codec, type) }), end);
  }

  protected override isLast(flags: number): boolean {
    return (flags & EnvelopeFlag.connectEnd) !== 0;
  }

  protected override readLast(flags: number, payload: Uint8Array): Field[] {
    return parseConnectEnd(this.plain(flags, payload));
  }
}

/** What isn't Connect's must not look like gRPC's. */
function grpcType(codec: string | undefined, type: string): string {
  if (codec !== undefined) return `application/grpc+${codec}`;
  return type.startsWith("application/grpc") ? "application/octet-stream" : type;
}
