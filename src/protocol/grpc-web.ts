/** gRPC-Web: gRPC's headers and envelopes, with the trailers as a last envelope of the body. */
import { ErrorCode } from "../http2/errors.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { Base64Decoder, Base64Encoder } from "../wire/base64-stream.ts";
import { mediaType } from "../wire/content-type.ts";
import { EnvelopeFlag } from "../wire/envelope.ts";
import { encodeWebTrailers, parseWebTrailers } from "../wire/web-trailers.ts";
import { LastEnvelopeClient, LastEnvelopeServer } from "./last-envelope.ts";

/** Headers that are about HTTP or about gRPC-Web, and nothing to a gRPC server. */
const dropped = new Set(["accept", "accept-encoding", "x-grpc-web", "x-user-agent", "content-length"]);

/** A gRPC-Web request's fields as a gRPC request's. */
export function requestFromGrpcWeb(fields: readonly Field[]): Field[] {
  const out: Field[] = [];
  for (const field of fields) {
    if (field.name === "content-type") out.push(new Field(field.name, grpcType(field.value)));
    else if (!dropped.has(field.name)) out.push(field);
  }
  return out;
}

/** "application/grpc-web-text+proto" to "application/grpc+proto". Parameters go: gRPC has none. */
function grpcType(value: string): string {
  return mediaType(value).replace(/^application\/grpc-web(-text)?/, "application/grpc");
}

function webType(value: string, form: "-web" | "-web-text"): string {
  return value.replace(/^application\/grpc/, `application/grpc${form}`);
}

/** The caller's side: a gRPC response becomes one of gRPC-Web. The request's body is the same in both. */
export class GrpcWebServer extends LastEnvelopeServer {
  /** What the content type of the answer says. */
  protected readonly form: "-web" | "-web-text" = "-web";

  /** Trailers of a request can't be sent from a browser, and nothing reads them. */
  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
  }

  /** A status that came with the headers stays there. Never an empty frame: WebKit takes it for the end of a broken body. */
  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (fields[0]?.kind === FieldKind.status) return this.below.sendHeaders(webHead(fields, this.form), end);
    const payload = encodeWebTrailers(fields);
    if (payload.length === 0) this.below.end();
    else this.sendLast(EnvelopeFlag.webTrailers, payload);
  }
}

function webHead(fields: readonly Field[], form: "-web" | "-web-text"): Field[] {
  return fields
    .filter(({ kind }) => kind !== FieldKind.contentLength)
    .map((field) => (field.name === "content-type" ? new Field(field.name, webType(field.value, form)) : field));
}

const nothing = new Uint8Array(0);

/** The same in base64, for callers that can read text only as it comes. */
export class GrpcWebTextServer extends GrpcWebServer {
  protected override readonly form: "-web" | "-web-text";
  readonly #decoder = new Base64Decoder();
  /** Bytes of text without credit, and of those that were made of them how many came out and how many are done with. */
  #text = 0;
  #decoded = 0;
  #consumed = 0;
  /** Bytes of text that are held back. */
  #heldText = 0;
  #answered = false;
  #bad = false;

  /** @param accept the request's Accept header: the answer is text unless it asks for binary alone */
  constructor(accept: string | undefined) {
    super();
    const binary = accept !== undefined && /application\/grpc-web(?!-text)/.test(accept) && !accept.includes("-text");
    this.form = binary ? "-web" : "-web-text";
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#bad) return;
    const decoded = this.#decoder.push(bytes, start, stop);
    this.#text += stop - start;
    if (decoded === undefined || (end && !this.#decoder.end())) return this.#refuse();
    this.#decoded += decoded.length;
    if (decoded.length > 0 || end) this.listener.onData(decoded, 0, decoded.length, end);
    this.#credit();
  }

  override consume(bytes: number): void {
    this.#consumed += bytes;
    this.#credit();
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.#bad) return;
    this.#answered ||= fields[0]?.value.startsWith("1") !== true;
    super.sendHeaders(fields, end);
  }

  /** Every piece is padded, so that what has come can be read at once; readers take padding in the middle. */
  protected override write(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.form === "-web") return super.write(bytes, start, stop, end);
    const text = new Base64Encoder().push(bytes, start, stop, true);
    if (super.write(text, 0, text.length, end)) return true;
    this.#heldText += text.length;
    return false;
  }

  override dropQueue(): void {
    this.#heldText = 0;
    super.dropQueue();
  }

  /** Text counts as sent when all of it has left: more than a window of it never waits. */
  override onSent(bytes: number): void {
    if (this.form === "-web") return super.onSent(bytes);
    this.#heldText -= bytes;
    if (this.#heldText <= 0) super.onSent(Number.POSITIVE_INFINITY);
  }

  /** Text is credited when all that was made of it has been taken: a window is more than a message's worth of both. */
  #credit(): void {
    if (this.#consumed < this.#decoded || this.#text === 0) return;
    this.below.consume(this.#text);
    this.#text = this.#decoded = this.#consumed = 0;
  }

  /** behaviours: bad base64 is HTTP 400, as there may be no gRPC-Web in it at all. */
  #refuse(): void {
    this.#bad = true;
    if (this.#answered) this.below.reset(ErrorCode.protocolError);
    else this.below.sendHeaders([new Field(":status", "400"), new Field("content-length", "0")], true);
    this.listener.onReset(ErrorCode.protocolError, "malformed");
  }
}

/** A gRPC request's fields as those of a gRPC-Web request. */
export function requestToGrpcWeb(fields: readonly Field[]): Field[] {
  const out: Field[] = [];
  for (const field of fields) {
    if (field.name === "content-type") out.push(new Field(field.name, webType(field.value, "-web")));
    else if (field.kind !== FieldKind.te && field.kind !== FieldKind.contentLength) out.push(field);
  }
  out.push(new Field("x-grpc-web", "1"));
  return out;
}

/** Bytes of a trailer frame, at most. */
const maxTrailers = 64 << 10;

/** The upstream's side: a gRPC-Web response becomes one of gRPC. */
export class GrpcWebClient extends LastEnvelopeClient {
  protected override readonly maxLast = maxTrailers;
  /** Headers with a status: the whole response, once its body turns out to be empty. */
  #trailersOnly: Field[] | undefined;

  override onHeaders(fields: Field[], end: boolean): void {
    const grpc = fields
      .filter(({ kind }) => kind !== FieldKind.contentLength)
      .map((field) => (field.name === "content-type" ? new Field(field.name, grpcType(field.value)) : field));
    this.encoding = valueOf(grpc, "grpc-encoding");
    if (end || valueOf(grpc, "grpc-status") === undefined) return this.listener.onHeaders(grpc, end);
    this.#trailersOnly = grpc;
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#trailersOnly === undefined) return super.onData(bytes, start, stop, end);
    if (stop > start) this.below.consume(stop - start);
    if (end) this.listener.onHeaders(this.#trailersOnly, true);
  }

  protected override isLast(flags: number): boolean {
    return (flags & EnvelopeFlag.webTrailers) !== 0;
  }

  protected override readLast(flags: number, payload: Uint8Array): Field[] | undefined {
    return parseWebTrailers(this.plain(flags, payload));
  }
}
