/** Connect unary, the upstream's side: one envelope becomes a bare message, and a bare message one envelope. */
import { Code } from "@connectrpc/connect";
import { decompress } from "../compress/compress.ts";
import type { ResetCause } from "../http2/api.ts";
import { type BodyRange, joinRanges, keepRange } from "../http2/body.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import { parseConnectError } from "../wire/connect-error.ts";
import { mediaType } from "../wire/content-type.ts";
import { isCompressed } from "../wire/encoding.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, envelopePrefix, Handling } from "../wire/envelope.ts";
import { isMetadata, splitTrailers } from "../wire/metadata.ts";
import { fieldsOfStatus, type RpcStatus } from "../wire/rpc-status.ts";
import { type KindListener, withConnectTimeout } from "./connect-stream.ts";
import { maxHeldMessage } from "./held-message.ts";

/** A gRPC request's fields as those of a unary Connect request. */
export function requestToConnectUnary(fields: readonly Field[], codec: string, compressed: boolean): Field[] {
  const out: Field[] = [];
  for (const field of fields) {
    if (field.name === "grpc-encoding" && compressed) out.push(new Field("content-encoding", field.value));
    else if (field.name === "grpc-accept-encoding") out.push(new Field("accept-encoding", field.value));
    else if (field.name === "content-type") out.push(new Field("content-type", `application/${codec}`));
    else if (isMetadata(field) || (field.kind <= FieldKind.status && field.kind !== FieldKind.regular)) out.push(field);
  }
  out.push(new Field("connect-protocol-version", "1"));
  return withConnectTimeout(out, fields);
}

export class ConnectUnaryClient extends Layer implements EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  readonly #codec: string;
  readonly #kinds: KindListener;
  /** Envelopes of the request: there is one. */
  #messages = 0;
  #ending = false;
  #ended = false;
  /** Of the bytes that are being sent, those that wait; and those that count as sent as soon as these have left. */
  #held = 0;
  #owed = 0;
  #head: Field[] = [];
  #http = 0;
  #reply: BodyRange[] = [];
  #replyLength = 0;
  #over = false;

  constructor(codec: string, kinds: KindListener) {
    super();
    this.#codec = codec;
    this.#kinds = kinds;
  }

  /** Connect's requests have no trailers. */
  override sendHeaders(): void {
    this.end();
  }

  /** The prefix doesn't leave, but counts as sent: what is above thinks in envelopes. */
  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    this.#held = 0;
    this.#ending = end;
    this.#reader.push(bytes, start, stop);
    if (end) this.end();
    if (this.#held === 0) return true;
    this.#owed += stop - start - this.#held;
    return false;
  }

  override end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.below.end();
  }

  override onSent(bytes: number): void {
    const sent = bytes + this.#owed;
    this.#owed = 0;
    this.listener.onSent(sent);
  }

  handlingOf(): Handling {
    return this.#messages++ === 0 ? Handling.stream : Handling.refuse;
  }

  onPiece(bytes: Uint8Array, start: number, stop: number, last: boolean): void {
    const end = last && this.#ending;
    if (end) this.#ended = true;
    if (!this.below.sendData(bytes, start, stop, end)) this.#held += stop - start;
  }

  override onHeaders(fields: Field[], end: boolean): void {
    this.#http = Number(fields[0]!.value);
    if (this.#http < 200) return;
    if (this.#http === 415 && this.#kinds.onWrongKind()) {
      this.#over = true;
      return;
    }
    const type = valueOf(fields, "content-type") ?? "";
    if (this.#http === 200 && mediaType(type) !== `application/${this.#codec}`) return this.#notConnect(type, end);
    if (this.#http === 200) this.#kinds.onRightKind();
    this.#head = fields;
    const length = Number(valueOf(fields, "content-length"));
    if (length > maxHeldMessage) this.#tooLarge(length);
    else if (end) this.#finish();
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return;
    this.#replyLength += stop - start;
    if (this.#replyLength > maxHeldMessage) return this.#tooLarge(this.#replyLength);
    if (stop > start) this.below.consume(stop - start);
    if (stop > start) keepRange(this.#reply, bytes, start, stop);
    if (end) this.#finish();
  }

  override onTrailers(): void {
    if (!this.#over) this.#finish();
  }

  override onReset(code: ErrorCode, cause: ResetCause): void {
    if (!this.#over) this.listener.onReset(code, cause);
  }

  /** Credit for the reply was given as it came. */
  override consume(): void {}

  #finish(): void {
    this.#over = true;
    const { headers, trailers } = splitTrailers(this.#head);
    const metadata = headers.filter(isMetadata);
    const encoding = valueOf(headers, "content-encoding");
    const body = joinRanges(this.#reply);
    if (this.#http !== 200) return this.#answer(this.#errorOf(body, encoding), metadata, trailers);
    const compressed = isCompressed(encoding) && body.length > 0;
    if (compressed) metadata.push(new Field("grpc-encoding", encoding));
    this.listener.onHeaders([...this.#grpcHead(), ...metadata], false);
    const prefix = envelopePrefix(compressed ? EnvelopeFlag.compressed : 0, body.length);
    this.listener.onData(prefix, 0, prefix.length, false);
    if (body.length > 0) this.listener.onData(body, 0, body.length, false);
    this.listener.onTrailers([new Field("grpc-status", "0"), ...trailers]);
  }

  /** Where its JSON can't be read, its HTTP status alone says what went wrong. */
  #errorOf(body: Uint8Array, encoding: string | undefined): RpcStatus {
    try {
      return parseConnectError(decompress(encoding ?? "", body, maxHeldMessage), this.#http);
    } catch {
      return parseConnectError(nothing, this.#http);
    }
  }

  #tooLarge(length: number): void {
    this.#over = true;
    this.below.reset(ErrorCode.cancel);
    const message = `message of ${length} bytes, at most ${maxHeldMessage}`;
    this.#answer({ code: Code.ResourceExhausted, message, details: [] }, [], []);
  }

  #answer(status: RpcStatus, metadata: readonly Field[], trailers: readonly Field[]): void {
    this.listener.onHeaders([...this.#grpcHead(), ...metadata, ...fieldsOfStatus(status), ...trailers], true);
  }

  #grpcHead(): Field[] {
    return [new Field(":status", "200"), new Field("content-type", `application/grpc+${this.#codec}`)];
  }

  /** Some other server's answer: the attempt says so. It must not look like gRPC's. */
  #notConnect(type: string, end: boolean): void {
    this.#over = true;
    const shown = type.startsWith("application/grpc") ? "application/octet-stream" : type;
    this.listener.onHeaders([new Field(":status", "200"), new Field("content-type", shown)], end);
  }
}

const nothing = new Uint8Array(0);
