/** Every form that a call can come in: protocol, kind and HTTP version, made by hand over the raw clients. */
import { envelope } from "./grpc.ts";
import type { H2Peer } from "./h2-peer.ts";
import type { FieldPair } from "./hpack.ts";
import { chunk, Http1Call, http1Request, lastChunk } from "./http1-call.ts";
import { type Outcome, readOutcome } from "./outcomes.ts";
import type { PeerStream } from "./peer-stream.ts";
import type { WireResponse } from "./wire-response.ts";

export type Form = "grpc" | "grpc-web" | "grpc-web-text" | "connect unary" | "connect GET" | "connect stream";
export type Protocol = "grpc" | "grpc_web" | "connect";

export interface Caller {
  /** "grpc-web over HTTP/1.1" */
  readonly name: string;
  readonly form: Form;
  readonly protocol: Protocol;
  readonly http: "1.1" | "2";
}

const forms: readonly (readonly [Form, Protocol, ...Caller["http"][]])[] = [
  ["grpc", "grpc", "2"],
  ["grpc-web", "grpc_web", "2", "1.1"],
  ["grpc-web-text", "grpc_web", "2", "1.1"],
  ["connect unary", "connect", "2", "1.1"],
  ["connect GET", "connect", "2", "1.1"],
  ["connect stream", "connect", "2", "1.1"],
];

/** All of them. */
export const callers: readonly Caller[] = forms.flatMap(([form, protocol, ...versions]) =>
  versions.map((http) => ({ name: `${form} over HTTP/${http}`, form, protocol, http })),
);

/** Those that can have more than one message in a response. */
export const streamingCallers = callers.filter(({ form }) => form !== "connect unary" && form !== "connect GET");

/** Those with a body. */
export const sendingCallers = callers.filter(({ form }) => form !== "connect GET");

export interface CallerRequest {
  readonly path: string;
  /** Added behind the fields of the protocol. */
  readonly headers?: readonly FieldPair[];
  /** The one message. Default: 5 bytes. */
  readonly message?: Buffer;
  /** The body in place of `message`: envelopes, but for unary Connect, which has none. Text is still made of it where the form is text. */
  readonly body?: Buffer;
  /** False: more is sent later, or nothing. Default true. */
  readonly end?: boolean;
  /** Value of the protocol's header for the deadline. */
  readonly timeoutMs?: number;
  /** Default proto. */
  readonly codec?: "proto" | "json";
}

/** A call under way. */
export interface Started {
  readonly response: WireResponse;
  /** Part of the body: envelopes, as with `body`. */
  send(bytes: Buffer, options?: { end?: boolean }): void;
  /** RST_STREAM(CANCEL), or the end of the connection. */
  cancel(): void;
  /** Reads nothing more. HTTP/2: the whole connection. */
  pause(): void;
  /** What it came to, once it is done. */
  outcome(): Outcome;
}

/** Where a call goes. `connect` opens an HTTP/2 connection where the caller needs one. */
export interface Target {
  readonly manifold: { readonly port: number };
  connect(): Promise<H2Peer>;
}

/** Starts a call. @param peer the connection that an HTTP/2 caller uses; default: one of its own */
export async function startCaller(
  caller: Caller,
  target: Target,
  request: CallerRequest & { peer?: H2Peer },
): Promise<Started> {
  const { form, http } = caller;
  const encoded = bodyOf(form, request);
  const fields = [...protocolFields(form, request), ...(request.headers ?? [])];
  const path = pathOf(form, request);
  const text = (bytes: Buffer) => (form === "grpc-web-text" ? Buffer.from(bytes.toString("base64")) : bytes);
  if (http === "2") {
    const peer = request.peer ?? (await target.connect());
    return overHttp2(form, { peer, path, fields, body: encoded, end: request.end ?? true, text });
  }
  return overHttp1(form, { port: target.manifold.port, path, fields, body: encoded, end: request.end ?? true, text });
}

/** A whole call. @throws Error when it has not ended within 20 s */
export async function callAs(
  caller: Caller,
  target: Target,
  request: CallerRequest & { peer?: H2Peer },
): Promise<Outcome> {
  const started = await startCaller(caller, target, request);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${caller.name}: no end within 20 s`)), 20_000);
  });
  await Promise.race([started.response.finished, late]).finally(() => clearTimeout(timer));
  const outcome = started.outcome();
  if (caller.http === "1.1") started.cancel();
  return outcome;
}

interface Wire {
  readonly path: string;
  readonly fields: readonly FieldPair[];
  /** Undefined: a GET has none. */
  readonly body: Buffer | undefined;
  readonly end: boolean;
  text(bytes: Buffer): Buffer;
}

function overHttp2(form: Form, { peer, path, fields, body, end, text }: Wire & { peer: H2Peer }): Started {
  const pseudo: FieldPair[] = [
    [":method", body === undefined ? "GET" : "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "test.example"],
  ];
  const stream: PeerStream = peer.open([...pseudo, ...fields], { end: body === undefined });
  if (body !== undefined && (body.length > 0 || end)) stream.sendData(body, { end });
  return {
    response: stream,
    send: (bytes, options) => stream.sendData(text(bytes), options),
    cancel: () => stream.sendReset(8),
    pause: () => peer.socket.pause(),
    outcome: () => readOutcome(form, stream),
  };
}

function overHttp1(form: Form, { port, path, fields, body, end, text }: Wire & { port: number }): Started {
  const method = body === undefined ? "GET" : "POST";
  // a proxy must not need to know beforehand how long a stream is
  const chunked = body !== undefined && (!end || form === "connect stream");
  const coding: FieldPair[] = chunked ? [["Transfer-Encoding", "chunked"]] : [];
  const head = http1Request(`${method} ${path}`, [...fields, ...coding], chunked ? undefined : body);
  const first = chunked && body.length > 0 ? chunk(body) : Buffer.alloc(0);
  const call = new Http1Call(port, Buffer.concat([head, first, chunked && end ? lastChunk : Buffer.alloc(0)]));
  return {
    response: call,
    send(bytes, options) {
      const last = options?.end === true ? lastChunk : Buffer.alloc(0);
      call.send(bytes.length === 0 ? last : Buffer.concat([chunk(text(bytes)), last]));
    },
    cancel: () => call.socket.destroy(),
    pause: () => call.socket.pause(),
    outcome: () => readOutcome(form, call),
  };
}

const fiveBytes = Buffer.from("hello");

/** The body's bytes on the wire; undefined for a GET. */
function bodyOf(form: Form, { message = fiveBytes, body }: CallerRequest): Buffer | undefined {
  if (form === "connect GET") return undefined;
  if (form === "connect unary") return body ?? message;
  const enveloped = body ?? envelope(message);
  return form === "grpc-web-text" ? Buffer.from(enveloped.toString("base64")) : enveloped;
}

function pathOf(form: Form, { path, message = fiveBytes, codec = "proto" }: CallerRequest): string {
  if (form !== "connect GET") return path;
  return `${path}?connect=v1&encoding=${codec}&base64=1&message=${message.toString("base64url")}`;
}

/** Content type, version and deadline in the protocol's words. */
export function protocolFields(form: Form, { timeoutMs, codec = "proto" }: Omit<CallerRequest, "path">): FieldPair[] {
  const grpcTimeout: FieldPair[] = timeoutMs === undefined ? [] : [["grpc-timeout", `${timeoutMs}m`]];
  const connectTimeout: FieldPair[] = timeoutMs === undefined ? [] : [["connect-timeout-ms", String(timeoutMs)]];
  const type = (value: string): FieldPair => ["content-type", `application/${value}${codec}`];
  switch (form) {
    case "grpc":
      return [type("grpc+"), ["te", "trailers"], ...grpcTimeout];
    case "grpc-web":
      return [type("grpc-web+"), ["x-grpc-web", "1"], ...grpcTimeout];
    case "grpc-web-text":
      return [type("grpc-web-text+"), ["accept", `application/grpc-web-text+${codec}`], ...grpcTimeout];
    case "connect unary":
      return [type(""), ["connect-protocol-version", "1"], ...connectTimeout];
    case "connect GET":
      return connectTimeout;
    case "connect stream":
      return [type("connect+"), ["connect-protocol-version", "1"], ...connectTimeout];
  }
}
