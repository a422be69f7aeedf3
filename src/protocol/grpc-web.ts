/** gRPC-Web: gRPC's headers and envelopes, with the trailers as a last envelope of the body. */
import { ErrorCode } from "../http2/errors.ts";
import { Field, FieldKind, valueOf } from "../http2/field.ts";
import { Base64Decoder, Base64Encoder } from "../wire/base64-stream.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, envelope, Handling } from "../wire/envelope.ts";
import { encodeWebTrailers, parseWebTrailers } from "../wire/web-trailers.ts";
import { Layer } from "./layer.ts";

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
  const media = value.split(";", 1)[0]!.trim().toLowerCase();
  return media.replace(/^application\/grpc-web(-text)?/, "application/grpc");
}

function webType(value: string, form: "-web" | "-web-text"): string {
  return value.replace(/^application\/grpc/, `application/grpc${form}`);
}

/** The caller's side: a gRPC response becomes one of gRPC-Web. The request's body is the same in both. */
export class GrpcWebServer extends Layer {
  /** Trailers of a request can't be sent from a browser, and nothing reads them. */
  override onTrailers(): void {
    this.listener.onData(nothing, 0, 0, true);
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (fields[0]?.kind !== FieldKind.status) return this.#sendTrailers(fields);
    this.below.sendHeaders(fields.filter(({ name }) => name !== "content-length").map(toWeb), end);
  }

  /** Never an empty frame: WebKit takes it for the end of a broken body. */
  #sendTrailers(fields: readonly Field[]): void {
    const payload = encodeWebTrailers(fields);
    const frame = payload.length === 0 ? nothing : envelope(EnvelopeFlag.webTrailers, payload);
    this.sendData(frame, 0, frame.length, true);
  }
}

function toWeb(field: Field): Field {
  return field.name === "content-type" ? new Field(field.name, webType(field.value, "-web")) : field;
}

const nothing = new Uint8Array(0);

/** The same in base64, for callers that can read text only as it comes. */
export class GrpcWebTextServer extends GrpcWebServer {
  readonly #decoder = new Base64Decoder();
  #decoded = 0;
  #consumed = 0;
  #text = 0;
  /** Bytes held back: as text, and as they came from the upstream. */
  #heldText = 0;
  #held = 0;
  readonly #answerText: boolean;
  #answered = false;

  /** @param accept the request's Accept header: the answer is text unless it asks for binary alone */
  constructor(accept: string | undefined) {
    super();
    this.#answerText =
      accept === undefined || !/application\/grpc-web(?!-text)/.test(accept) || accept.includes("-text");
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const decoded = this.#decoder.push(bytes, start, stop);
    this.#text += stop - start;
    if (decoded === undefined || (end && !this.#decoder.end())) return this.#badText();
    this.#decoded += decoded.length;
    if (decoded.length === 0 && !end) return this.#credit();
    this.listener.onData(decoded, 0, decoded.length, end);
  }

  override consume(bytes: number): void {
    this.#consumed += bytes;
    this.#credit();
  }

  override sendHeaders(fields: readonly Field[], end: boolean): void {
    if (!this.#answerText || fields[0]?.kind !== FieldKind.status) return super.sendHeaders(fields, end);
    this.#answered = true;
    const text = fields.map((field) =>
      field.name === "content-type" ? new Field(field.name, webType(field.value, "-web-text")) : field,
    );
    this.below.sendHeaders(
      text.filter(({ name }) => name !== "content-length"),
      end,
    );
  }

  /** Every piece is padded, so that what has come can be read at once; readers take padding in the middle. */
  override sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (!this.#answerText) return super.sendData(bytes, start, stop, end);
    const text = new Base64Encoder().push(bytes, start, stop, true);
    if (this.below.sendData(text, 0, text.length, end)) return true;
    this.#heldText += text.length;
    this.#held += stop - start;
    return false;
  }

  override onSent(bytes: number): void {
    if (!this.#answerText) return super.onSent(bytes);
    this.#heldText -= bytes;
    if (this.#heldText > 0) return;
    const sent = this.#held;
    this.#held = 0;
    this.listener.onSent(sent);
  }

  /** Text is credited when all that was made of it has been taken: a window is more than a message's worth of both. */
  #credit(): void {
    if (this.#consumed < this.#decoded) return;
    this.below.consume(this.#text);
    this.#text = 0;
    this.#decoded = 0;
    this.#consumed = 0;
  }

  /** behaviours: bad base64 is HTTP 400, as there may be no gRPC-Web in it at all. */
  #badText(): void {
    if (this.#answered) this.below.reset(ErrorCode.protocolError);
    else this.below.sendHeaders([new Field(":status", "400"), new Field("content-length", "0")], true);
    this.listener.onReset(ErrorCode.protocolError, "peer");
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
export class GrpcWebClient extends Layer implements EnvelopeSink {
  readonly #reader = new EnvelopeReader(this);
  /** Headers with a status: the whole response, once its body turns out to be empty. */
  #trailersOnly: Field[] | undefined;
  #trailers: Field[] | undefined;

  /** The client's side of gRPC-Web has no trailers. */
  override sendHeaders(): void {
    this.below.end();
  }

  override onHeaders(fields: Field[], end: boolean): void {
    const grpc = fields
      .filter(({ name }) => name !== "content-length")
      .map((field) => (field.name === "content-type" ? new Field(field.name, grpcType(field.value)) : field));
    if (end || valueOf(grpc, "grpc-status") === undefined) return this.listener.onHeaders(grpc, end);
    this.#trailersOnly = grpc;
  }

  override onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#trailersOnly !== undefined) {
      this.below.consume(stop - start);
      if (end) this.listener.onHeaders(this.#trailersOnly, true);
      return;
    }
    this.#reader.push(bytes, start, stop);
    if (!end) return;
    if (this.#trailers !== undefined) this.listener.onTrailers(this.#trailers);
    else this.listener.onData(nothing, 0, 0, true); // cut off: the attempt says so
  }

  /** HTTP's own trailers are nothing here. */
  override onTrailers(): void {
    this.onData(nothing, 0, 0, true);
  }

  handlingOf(flags: number, length: number): Handling {
    if ((flags & EnvelopeFlag.webTrailers) === 0) return Handling.pass;
    return length <= maxTrailers && (flags & EnvelopeFlag.compressed) === 0 ? Handling.gather : Handling.refuse;
  }

  onPass(bytes: Uint8Array, start: number, stop: number): void {
    this.listener.onData(bytes, start, stop, false);
  }

  onMessage(_flags: number, payload: Uint8Array): void {
    this.below.consume(payload.length + 5);
    this.#trailers = parseWebTrailers(payload);
    this.#reader.stop(); // it is the last frame
  }

  onRefuse(): void {
    this.below.reset(ErrorCode.cancel);
    this.listener.onReset(ErrorCode.internalError, "malformed");
  }
}
