/** Calls as an upstream of each protocol sees them, and one reply in the words of each. */
import { envelope } from "./grpc.ts";
import type { FieldPair } from "./hpack.ts";
import { chunk, lastChunk } from "./http1-call.ts";
import type { Http1Request } from "./http1-upstream.ts";
import { codeNames } from "./outcomes.ts";
import type { PeerStream } from "./peer-stream.ts";

/** Nothing of it is checked. */
export interface Reply {
  readonly headers?: readonly FieldPair[];
  /** Payloads. Default: one of 5 bytes, none where there is an error. */
  readonly messages?: readonly Buffer[];
  /** In their place: envelopes as they are, or the body of Connect's unary form. */
  readonly body?: Buffer;
  readonly status?: number;
  /** As it stands there: in grpc-message, or in Connect's JSON. */
  readonly message?: string;
  /** base64 of grpc-status-details-bin. Connect has none. */
  readonly details?: string;
  readonly trailers?: readonly FieldPair[];
}

/** One request, as far as it has come. */
export interface UpstreamCall {
  readonly headers: readonly FieldPair[];
  readonly path: string;
  readonly chunks: readonly Buffer[];
  readonly bytes: number;
  readonly ended: boolean;
  /** Given up by the proxy: RST_STREAM, or the connection's end. A connection may also end long after a whole response. */
  readonly over: boolean;
  /** `performance.now()` of that. */
  readonly overAt: number;
  /** Over HTTP/2. */
  readonly stream?: PeerStream;
  /** Over HTTP/1.1. */
  readonly request?: Http1Request;
  field(name: string): string | undefined;
  reply(reply: Reply): void;
  /** The head of a reply, and some of its messages; nothing more. */
  begin(messages?: readonly Buffer[]): void;
  /** An answer that is no RPC's. */
  plain(status: number, type: string, body: string): void;
  /** Ends the connection at once. */
  cut(): void;
  /** Runs this once the request has come whole. */
  whenEnded(run: () => void): void;
}

const fiveBytes = Buffer.from("reply");

export class GrpcCall implements UpstreamCall {
  readonly stream: PeerStream;

  constructor(stream: PeerStream) {
    this.stream = stream;
  }

  get headers(): readonly FieldPair[] {
    return this.stream.headers;
  }
  get path(): string {
    return this.field(":path") ?? "";
  }
  get chunks(): readonly Buffer[] {
    return this.stream.chunks;
  }
  get bytes(): number {
    return this.stream.bytes;
  }
  get ended(): boolean {
    return this.stream.ended;
  }
  get over(): boolean {
    return this.stream.reset !== undefined || this.stream.cut;
  }
  get overAt(): number {
    return this.stream.resetAt;
  }

  field(name: string): string | undefined {
    return this.stream.field(name);
  }

  reply({ headers = [], messages, body, status = 0, message, details, trailers = [] }: Reply): void {
    this.stream.sendHeaders([...grpcHead, ...headers]);
    for (const bytes of messages ?? (status === 0 && body === undefined ? [fiveBytes] : []))
      this.stream.sendData(envelope(bytes));
    if (body !== undefined) this.stream.sendData(body);
    this.stream.sendTrailers([...statusFields(status, message, details), ...trailers]);
  }

  begin(messages: readonly Buffer[] = []): void {
    this.stream.sendHeaders(grpcHead);
    for (const bytes of messages) this.stream.sendData(envelope(bytes));
  }

  plain(status: number, type: string, body: string): void {
    this.stream.sendHeaders([
      [":status", String(status)],
      ["content-type", type],
    ]);
    this.stream.sendData(Buffer.from(body), { end: true });
  }

  cut(): void {
    this.stream.peer.socket.destroy();
  }

  whenEnded(run: () => void): void {
    whenEnded(this, this.stream, run);
  }
}

const grpcHead: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
];

function statusFields(status: number, message?: string, details?: string): FieldPair[] {
  const fields: FieldPair[] = [["grpc-status", String(status)]];
  if (message !== undefined) fields.push(["grpc-message", message]);
  if (details !== undefined) fields.push(["grpc-status-details-bin", details]);
  return fields;
}

function whenEnded(call: UpstreamCall, source: { onMore: (() => void) | undefined }, run: () => void): void {
  const look = () => {
    if (!call.ended) return;
    source.onMore = undefined;
    run();
  };
  source.onMore = look;
  look();
}

abstract class Http1UpstreamCall implements UpstreamCall {
  readonly request: Http1Request;

  constructor(request: Http1Request) {
    this.request = request;
  }

  get headers(): readonly FieldPair[] {
    return this.request.headers;
  }
  get path(): string {
    return this.field(":path") ?? "";
  }
  get chunks(): readonly Buffer[] {
    return this.request.chunks;
  }
  get bytes(): number {
    return this.request.bytes;
  }
  get ended(): boolean {
    return this.request.ended;
  }
  get over(): boolean {
    return this.request.closed;
  }
  get overAt(): number {
    return this.request.closedAt;
  }

  field(name: string): string | undefined {
    return this.request.field(name);
  }

  plain(status: number, type: string, body: string): void {
    const length = Buffer.byteLength(body);
    this.request.send(head([["content-type", type]], status, `content-length: ${length}\r\n`), body);
  }

  cut(): void {
    this.request.socket.destroy();
  }

  whenEnded(run: () => void): void {
    whenEnded(this, this.request, run);
  }

  abstract reply(reply: Reply): void;
  abstract begin(messages?: readonly Buffer[]): void;

  protected sendChunked(fields: readonly FieldPair[], parts: readonly Buffer[], end: boolean): void {
    const chunks = parts.filter(({ length }) => length > 0).map(chunk);
    this.request.send(head(fields, 200, chunkedLine), ...chunks, end ? lastChunk : "");
  }
}

const chunkedLine = "transfer-encoding: chunked\r\n";

/** A head of any fields; `framing` is a line of its own. */
export function head(fields: readonly FieldPair[], status = 200, framing = ""): string {
  return `HTTP/1.1 ${status} Any\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}${framing}\r\n`;
}

export class GrpcWebCall extends Http1UpstreamCall {
  reply({ headers = [], messages, body, status = 0, message, details, trailers = [] }: Reply): void {
    const payloads = messages ?? (status === 0 && body === undefined ? [fiveBytes] : []);
    const lines = [...statusFields(status, message, details), ...trailers].map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const last = envelope(Buffer.from(lines.join(""), "latin1"), 0x80);
    const parts = [...payloads.map((bytes) => envelope(bytes)), body ?? Buffer.alloc(0), last];
    this.sendChunked([grpcWebType, ...headers], parts, true);
  }

  begin(messages: readonly Buffer[] = []): void {
    this.sendChunked(
      [grpcWebType],
      messages.map((bytes) => envelope(bytes)),
      false,
    );
  }
}

const grpcWebType: FieldPair = ["content-type", "application/grpc-web+proto"];

/** In the form in which it was called. */
export class ConnectCall extends Http1UpstreamCall {
  get #isStream(): boolean {
    return this.field("content-type")?.startsWith("application/connect+") === true;
  }

  reply({ headers = [], messages, body, status = 0, message, trailers = [] }: Reply): void {
    const error = status === 0 ? undefined : { code: codeNames[status], ...(message === undefined ? {} : { message }) };
    if (!this.#isStream) {
      const prefixed = trailers.map(([name, value]): FieldPair => [`trailer-${name}`, value]);
      const type: FieldPair = ["content-type", error === undefined ? "application/proto" : "application/json"];
      const bytes = error === undefined ? (body ?? messages?.[0] ?? fiveBytes) : Buffer.from(JSON.stringify(error));
      const length = `content-length: ${bytes.length}\r\n`;
      this.request.send(head([type, ...headers, ...prefixed], error === undefined ? 200 : 500, length), bytes);
      return;
    }
    const metadata: Record<string, string[]> = {};
    for (const [name, value] of trailers) metadata[name] = [...(metadata[name] ?? []), value];
    const last = envelope(Buffer.from(JSON.stringify({ error, metadata })), 2);
    const payloads = messages ?? (status === 0 && body === undefined ? [fiveBytes] : []);
    const parts = [...payloads.map((bytes) => envelope(bytes)), body ?? Buffer.alloc(0), last];
    this.sendChunked([connectStreamType, ...headers], parts, true);
  }

  begin(messages: readonly Buffer[] = []): void {
    if (this.#isStream)
      return this.sendChunked(
        [connectStreamType],
        messages.map((bytes) => envelope(bytes)),
        false,
      );
    this.request.send(head([["content-type", "application/proto"]], 200, "content-length: 1000\r\n"), ...messages);
  }
}

const connectStreamType: FieldPair = ["content-type", "application/connect+proto"];
