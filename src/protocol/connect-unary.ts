/** Connect unary: one bare message each way, the status in HTTP's own, trailers among the headers. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type BodyRange, keepRange } from "../http2/body.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { encodeConnectError, parseConnectError } from "../wire/connect-error.ts";
import { type ConnectGet, messageOfGet } from "../wire/connect-get.ts";
import {
  EnvelopeFlag,
  EnvelopeReader,
  type EnvelopeSink,
  envelopePrefix,
  Handling,
  prefixLength,
} from "../wire/envelope.ts";
import { isMetadata, prefixTrailers, splitTrailers } from "../wire/metadata.ts";
import { fieldsOfStatus, type RpcStatus, statusOfFields } from "../wire/rpc-status.ts";
import { httpOfStatus } from "../wire/status.ts";
import { withConnectTimeout } from "./connect-stream.ts";
import { Layer, maxHeldMessage } from "./layer.ts";

/** A unary Connect request's fields as a gRPC request's. */
export function requestFromConnectUnary(fields: readonly Field[], codec: string, get: ConnectGet | undefined): Field[] {
  const out = [...pseudo(fields), new Field("content-type", `application/grpc+${codec}`)];
  for (const field of fields) {
    if (field.name === "content-encoding" && get === undefined) out.push(new Field("grpc-encoding", field.value));
    else if (field.name === "accept-encoding") out.push(new Field("grpc-accept-encoding", encodings(field.value)));
    else if (isMetadata(field)) out.push(field);
  }
  if (get !== undefined && get.compression !== "identity") out.push(new Field("grpc-encoding", get.compression));
  return out;
}

function pseudo(fields: readonly Field[]): Field[] {
  return fields.filter(({ kind }) => kind !== FieldKind.regular && kind <= FieldKind.status);
}

/** "gzip;q=1.0, br" to "gzip,br": gRPC has no weights. Those of weight 0 are not wanted. */
function encodings(accept: string): string {
  return accept
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "" && one !== "*" && !/;\s*q=0(\.0*)?\s*$/i.test(one))
    .map((one) => one.split(";", 1)[0]!.trim())
    .join(",");
}

export interface UnaryRequest {
  readonly codec: string;
  readonly get: ConnectGet | undefined;
  /** Value of content-length, or -1. */
  readonly contentLength: number;
  /** The body is compressed, in the encoding that the headers name. */
  readonly compressed: boolean;
}

/** The caller's side: a bare message becomes an envelope, and one envelope a bare message. */
export class ConnectUnaryServer extends Layer {
  readonly #request: UnaryRequest;
  /** The prefix of a message whose length is known has gone up, so that the body can follow as it comes. */
  #prefixed = false;
  /** Bytes that we have made, for which the caller gets no credit. */
  #made = 0;
  #body: BodyRange[] = [];
  #bodyLength = 0;
  #head: readonly Field[] | undefined;
  #reply: BodyRange[] = [];
  #replyLength = 0;
  #over = false;

  constructor(request: UnaryRequest) {
    super();
    this.#request = request;
  }

  /** The request has no body to come: a GET, or an empty message. */
  begin(): void {
    const { get } = this.#request;
    try {
      const message = get === undefined ? nothing : messageOfGet(get);
      const compressed = get !== undefined && get.compression !== "identity";
      const prefix = envelopePrefix(compressed ? EnvelopeFlag.compressed : 0, message.length);
      this.#made = prefixLength + message.length;
      this.listener.onData(prefix, 0, prefixLength, message.length === 0);
      if (message.length > 0) this.listener.onData(message, 0, message.length, true);
    } catch (error) {
      this.#refuse(ConnectError.from(error));
    }
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const { contentLength } = this.#request;
    if (this.#over) return;
    if (contentLength >= 0) {
      if (!this.#prefixed) this.#sendPrefix(contentLength);
      return this.listener.onData(bytes, start, stop, end);
    }
    this.#bodyLength += stop - start;
    if (this.#bodyLength > maxHeldMessage) return this.#refuse(tooLarge(this.#bodyLength));
    this.below.consume(stop - start);
    keepRange(this.#body, bytes, start, stop);
    if (!end) return;
    this.#sendPrefix(this.#bodyLength);
    this.#made += this.#bodyLength;
    this.#body.forEach((piece, at) => {
      this.listener.onData(piece.bytes, piece.start, piece.stop, at === this.#body.length - 1);
    });
    this.#body = [];
  }

  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
  }

  #sendPrefix(length: number): void {
    this.#prefixed = true;
    this.#made += prefixLength;
    const compressed = this.#request.compressed && length > 0;
    this.listener.onData(envelopePrefix(compressed ? EnvelopeFlag.compressed : 0, length), 0, prefixLength, false);
  }

  override consume(bytes: number): void {
    const made = Math.min(bytes, this.#made);
    this.#made -= made;
    if (bytes > made) this.below.consume(bytes - made);
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.#over) return;
    if (fields[0]?.kind !== FieldKind.status) return this.#finish(this.#head ?? [], fields);
    if (end) return this.#finish([], fields);
    if (fields[0].value.startsWith("1")) return;
    this.#head = fields;
  }

  /** Held whole: only the trailers tell which HTTP status the answer has. */
  override sendData(bytes: Uint8Array, start: number, stop: number): boolean {
    if (this.#over) return true;
    this.#replyLength += stop - start;
    if (this.#replyLength > maxHeldMessage + prefixLength) this.#refuse(tooLarge(this.#replyLength));
    else keepRange(this.#reply, bytes, start, stop);
    return true;
  }

  override dropQueue(): void {
    this.#reply = [];
    this.below.dropQueue();
  }

  #finish(head: readonly Field[], trailers: readonly Field[]): void {
    const status = statusOfFields(trailers) ?? noStatus;
    if (status.code !== 0) return this.#sendError(status, [...head.filter(isMetadata), ...prefixTrailers(trailers)]);
    const reply = join(this.#reply, this.#replyLength);
    const length = messageLength(reply);
    if (length === undefined) return this.#sendError(notOneMessage, []);
    this.#over = true;
    const compressed = (reply[0]! & EnvelopeFlag.compressed) !== 0;
    const encoding = compressed ? valueOf(head, "grpc-encoding") : undefined;
    this.below.sendHeaders(
      [
        new Field(":status", "200"),
        new Field("content-type", `application/${this.#request.codec}`),
        ...(encoding === undefined ? [] : [new Field("content-encoding", encoding)]),
        new Field("content-length", String(length)),
        ...head.filter(isMetadata),
        ...prefixTrailers(trailers),
      ],
      false,
    );
    this.below.sendData(reply, prefixLength, reply.length, true);
  }

  #sendError(status: RpcStatus, metadata: readonly Field[]): void {
    this.#over = true;
    const body = encodeConnectError(status);
    this.below.sendHeaders(
      [
        new Field(":status", String(httpOfStatus(status.code))),
        new Field("content-type", "application/json"),
        new Field("content-length", String(body.length)),
        ...metadata,
      ],
      false,
    );
    this.below.sendData(body, 0, body.length, true);
  }

  /** Our own refusal, of which the relay hears as if the caller had gone. */
  #refuse(error: ConnectError): void {
    this.#sendError({ code: error.code, message: error.rawMessage, details: [] }, []);
    this.listener.onReset(ErrorCode.cancel, "peer");
  }
}

const nothing = new Uint8Array(0);
const noStatus: RpcStatus = { code: Code.Internal, message: "upstream ended the stream without a status", details: [] };
const notOneMessage: RpcStatus = {
  code: Code.Unimplemented,
  message: "upstream did not answer a unary call with one message",
  details: [],
};

function tooLarge(bytes: number): ConnectError {
  return new ConnectError(`message of ${bytes} bytes, at most ${maxHeldMessage}`, Code.ResourceExhausted);
}

function join(pieces: readonly BodyRange[], length: number): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only.bytes.subarray(only.start, only.stop);
  const all = new Uint8Array(length);
  let at = 0;
  for (const { bytes, start, stop } of pieces) {
    all.set(bytes.subarray(start, stop), at);
    at += stop - start;
  }
  return all;
}

/** Length of the message if the bytes are exactly one envelope. */
function messageLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < prefixLength) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  return length === bytes.length - prefixLength ? length : undefined;
}

/** A gRPC request's fields as those of a unary Connect request. */
export function requestToConnectUnary(fields: readonly Field[], codec: string, compressed: boolean): Field[] {
  const out = [...pseudo(fields), new Field("content-type", `application/${codec}`)];
  for (const field of fields) {
    if (field.name === "grpc-encoding" && compressed) out.push(new Field("content-encoding", field.value));
    else if (field.name === "grpc-accept-encoding") out.push(new Field("accept-encoding", field.value));
    else if (isMetadata(field)) out.push(field);
  }
  out.push(new Field("connect-protocol-version", "1"));
  return withConnectTimeout(out, fields);
}

/** The upstream's side: one envelope becomes a bare message, and a bare message one envelope. */
export class ConnectUnaryClient extends Layer implements EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  readonly #codec: string;
  readonly #wrongKind: () => void;
  /** Bytes of prefixes, which don't leave. */
  #head: Field[] | undefined;
  #http = 0;
  #reply: BodyRange[] = [];
  #replyLength = 0;
  #sentEnd = false;

  /** @param wrongKind called for 415: the method is a streaming one, which has other content types */
  constructor(codec: string, wrongKind: () => void) {
    super();
    this.#codec = codec;
    this.#wrongKind = wrongKind;
  }

  override sendHeaders(): void {
    this.end();
  }

  /** Prefixes don't leave, but count as sent: what is above thinks in envelopes. */
  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    this.#held = false;
    this.#reader.push(bytes, start, stop);
    if (end) this.end();
    return !this.#held;
  }

  #held = false;

  override end(): void {
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    this.below.end();
  }

  handlingOf(): Handling {
    return Handling.stream;
  }

  onPiece(bytes: Uint8Array, start: number, stop: number): void {
    if (!this.below.sendData(bytes, start, stop, false)) this.#held = true;
  }

  override onHeaders(fields: Field[], end: boolean): void {
    this.#http = Number(fields[0]!.value);
    if (this.#http < 200) return;
    if (this.#http === 415) return this.#wrongKind();
    this.#head = fields;
    if (end) this.#finish();
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#replyLength += stop - start;
    this.below.consume(stop - start);
    if (this.#replyLength > maxHeldMessage) {
      this.below.reset(ErrorCode.cancel);
      return this.listener.onReset(ErrorCode.enhanceYourCalm, "peer");
    }
    keepRange(this.#reply, bytes, start, stop);
    if (end) this.#finish();
  }

  override onTrailers(): void {
    this.#finish();
  }

  #finish(): void {
    const body = join(this.#reply, this.#replyLength);
    const { headers, trailers } = splitTrailers(this.#head!);
    const metadata = headers.filter(isMetadata);
    const ok = new Field(":status", "200");
    const type = new Field("content-type", `application/grpc+${this.#codec}`);
    if (this.#http !== 200) {
      const status = parseConnectError(body, this.#http);
      return this.listener.onHeaders([ok, type, ...metadata, ...fieldsOfStatus(status), ...trailers], true);
    }
    const encoding = valueOf(headers, "content-encoding");
    const compressed = encoding !== undefined && encoding !== "identity" && body.length > 0;
    if (compressed) metadata.push(new Field("grpc-encoding", encoding));
    this.listener.onHeaders([ok, type, ...metadata], false);
    const prefix = envelopePrefix(compressed ? EnvelopeFlag.compressed : 0, body.length);
    this.listener.onData(prefix, 0, prefixLength, false);
    if (body.length > 0) this.listener.onData(body, 0, body.length, false);
    this.listener.onTrailers([new Field("grpc-status", "0"), ...trailers]);
  }

  /** Credit for the reply was given as it came. */
  override consume(): void {}
}
