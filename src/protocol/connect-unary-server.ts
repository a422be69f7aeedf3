/** Connect unary, the caller's side: one bare message each way, the status in HTTP's own, trailers among the headers. */
import { Code, ConnectError } from "@connectrpc/connect";
import { decompress } from "../compress/compress.ts";
import { type BodyRange, joinRanges, keepRange } from "../http2/body.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { Layer } from "../http2/layer.ts";
import { encodeConnectError } from "../wire/connect-error.ts";
import { type ConnectGet, messageOfGet } from "../wire/connect-get.ts";
import { isCompressed, parseEncodings } from "../wire/encoding.ts";
import { EnvelopeFlag, envelopePrefix, payloadLength, prefixLength } from "../wire/envelope.ts";
import { errorTrailers, isMetadata, prefixTrailers } from "../wire/metadata.ts";
import { type RpcStatus, statusOfFields } from "../wire/rpc-status.ts";
import { httpOfStatus } from "../wire/status.ts";
import { maxHeldMessage } from "./held-message.ts";

/** A unary Connect request's fields as a gRPC request's. */
export function requestFromConnectUnary(fields: readonly Field[], codec: string, get: ConnectGet | undefined): Field[] {
  const out: Field[] = [];
  for (const field of fields) {
    if (isMetadata(field) || (field.kind <= FieldKind.status && field.kind !== FieldKind.regular)) out.push(field);
  }
  out.push(new Field("content-type", `application/grpc+${codec}`));
  const encoding = get === undefined ? valueOf(fields, "content-encoding") : get.compression;
  if (isCompressed(encoding)) out.push(new Field("grpc-encoding", encoding));
  // without weights, which gRPC has none of
  const accepted = parseEncodings(valueOf(fields, "accept-encoding")).filter((name) => name !== "*");
  if (accepted.length > 0) out.push(new Field("grpc-accept-encoding", accepted.join(",")));
  return out;
}

/** What a request's headers say of its body, and of the answer's. */
export interface UnaryRequest {
  readonly codec: string;
  readonly get: ConnectGet | undefined;
  /** Value of content-length, or -1. */
  readonly contentLength: number;
  /** The body is compressed. */
  readonly compressed: boolean;
  readonly acceptEncoding: string | undefined;
}

/** A bare message becomes an envelope, and one envelope a bare message. */
export class ConnectUnaryServer extends Layer {
  readonly #request: UnaryRequest;
  /** The prefix of a message whose length is known has gone up, so that the body can follow as it comes. */
  #prefixed = false;
  /** Bytes on their way up for which the caller gets no credit any more: we made them, or they have had it. */
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

  /** The message is in the request's head: that of a GET, or an empty one. */
  begin(): void {
    const { get } = this.#request;
    try {
      this.#sendMessage(
        get === undefined ? nothing : messageOfGet(get),
        get !== undefined && isCompressed(get.compression),
      );
    } catch (error) {
      this.#refuse(ConnectError.from(error));
    }
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return this.listener.onData(bytes, start, stop, end);
    const { contentLength, get, compressed } = this.#request;
    if (contentLength > maxEnvelope) return this.#refuse(tooLarge(contentLength, maxEnvelope));
    if (get === undefined && contentLength >= 0) {
      if (!this.#prefixed) this.#sendPrefix(contentLength, compressed);
      return this.listener.onData(bytes, start, stop, end);
    }
    if (stop > start) this.below.consume(stop - start);
    if (get !== undefined) return; // its body means nothing
    this.#bodyLength += stop - start;
    if (this.#bodyLength > maxHeldMessage) return this.#refuse(tooLarge(this.#bodyLength, maxHeldMessage));
    if (stop > start) keepRange(this.#body, bytes, start, stop);
    if (end) this.#sendMessage(joinRanges(this.#body), compressed);
  }

  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
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
    if (!fields[0].value.startsWith("1")) this.#head = fields;
  }

  /** Held whole: only the trailers tell which HTTP status the answer has. */
  override sendData(bytes: Uint8Array, start: number, stop: number): boolean {
    if (this.#over) return true;
    const announced = this.#replyLength === 0 && stop - start >= prefixLength ? payloadLength(bytes, start) : 0;
    this.#replyLength += stop - start;
    const length = Math.max(announced, this.#replyLength - prefixLength);
    if (length > maxHeldMessage) this.#refuse(tooLarge(length, maxHeldMessage));
    else keepRange(this.#reply, bytes, start, stop);
    return true;
  }

  override dropQueue(): void {
    this.#reply = [];
    this.#replyLength = 0;
    this.below.dropQueue();
  }

  #sendMessage(message: Uint8Array, compressed: boolean): void {
    this.#body = [];
    this.#made += message.length;
    this.#sendPrefix(message.length, compressed);
    this.listener.onData(message, 0, message.length, true);
  }

  #sendPrefix(length: number, compressed: boolean): void {
    this.#prefixed = true;
    this.#made += prefixLength;
    const flags = compressed && length > 0 ? EnvelopeFlag.compressed : 0;
    this.listener.onData(envelopePrefix(flags, length), 0, prefixLength, false);
  }

  #finish(head: readonly Field[], trailers: readonly Field[]): void {
    const status = statusOfFields(trailers) ?? noStatus;
    if (status.code !== 0) return this.#sendError(status, [...head.filter(isMetadata), ...errorTrailers(trailers)]);
    try {
      const { message, encoding } = this.#messageOf(joinRanges(this.#reply), valueOf(head, "grpc-encoding"));
      const fields = [new Field("content-type", `application/${this.#request.codec}`)];
      if (encoding !== undefined) fields.push(new Field("content-encoding", encoding));
      fields.push(...head.filter(isMetadata), ...prefixTrailers(trailers));
      this.#send("200", fields, message);
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      this.#sendError({ code, message: rawMessage, details: [] }, []);
    }
  }

  /** The message of a reply, and how it is still compressed: not in an encoding that the caller didn't ask for. */
  #messageOf(reply: Uint8Array, encoding: string | undefined): { message: Uint8Array; encoding: string | undefined } {
    if (reply.length < prefixLength || payloadLength(reply, 0) !== reply.length - prefixLength) {
      throw new ConnectError("upstream did not answer a unary call with one message", Code.Unimplemented);
    }
    const flags = reply[0]!;
    const message = reply.subarray(prefixLength);
    if (flags > EnvelopeFlag.compressed || (flags > 0 && !isCompressed(encoding))) {
      throw new ConnectError(`upstream sent a message with flags ${flags}, in no encoding`, Code.Internal);
    }
    if (flags === 0 || message.length === 0) return { message, encoding: undefined };
    const accepted = parseEncodings(this.#request.acceptEncoding);
    if (accepted.includes(encoding!) || accepted.includes("*")) return { message, encoding };
    try {
      return { message: decompress(encoding!, message, maxHeldMessage), encoding: undefined };
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      throw new ConnectError(`upstream's reply: ${rawMessage}`, code === Code.ResourceExhausted ? code : Code.Internal);
    }
  }

  #sendError(status: RpcStatus, metadata: readonly Field[]): void {
    const fields = [new Field("content-type", "application/json"), ...metadata];
    this.#send(String(httpOfStatus(status.code)), fields, encodeConnectError(status));
  }

  #send(status: string, fields: readonly Field[], body: Uint8Array): void {
    this.#over = true;
    this.#reply = this.#body = [];
    const length = new Field("content-length", String(body.length));
    this.below.sendHeaders([new Field(":status", status), length, ...fields], false);
    this.below.sendData(body, 0, body.length, true);
  }

  /** The call is over, its status ours: it goes the way of all of these, and comes back as what is to be sent. */
  #refuse(error: ConnectError): void {
    this.listener.onRefused?.(error);
  }
}

const nothing = new Uint8Array(0);

/** What a prefix can say. */
const maxEnvelope = 2 ** 32 - 1;

const noStatus: RpcStatus = { code: Code.Internal, message: "upstream ended the stream without a status", details: [] };

function tooLarge(bytes: number, limit: number): ConnectError {
  return new ConnectError(`message of ${bytes} bytes, at most ${limit}`, Code.ResourceExhausted);
}
