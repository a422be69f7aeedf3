/**
 * RPCs from a page by hand: Connect in JSON and gRPC-Web in binary, unary and server streaming. A page of yours would use
 * @connectrpc/connect-web or grpc-web and generated code; this one has no build step, and shows what they put on the wire.
 */

/** A call that ended with an error; `code` is gRPC's name for it, as "invalid_argument". */
export class RpcError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "RpcError";
    this.code = code;
  }
}

/**
 * Fields of the demo's messages: number, and kind: "string", "uint32", another message, or a list of one.
 */
const messages = {
  GreetRequest: { name: [1, "string"] },
  GreetResponse: { greeting: [1, "string"], endpoint: [2, "string"] },
  CountDownRequest: { from: [1, "uint32"], intervalMs: [2, "uint32"] },
  CountDownResponse: { number: [1, "uint32"], endpoint: [2, "string"] },
  GetStatsRequest: { fail: [1, "string"], delayMs: [2, "uint32"] },
  GetStatsResponse: { endpoint: [1, "string"], calls: [2, "uint32"], uptimeSeconds: [3, "uint32"] },
  Status: { code: [1, "uint32"], message: [2, "string"] },
  Duration: { seconds: [1, "uint32"], nanos: [2, "uint32"] },
};
messages.LegInfo = { backend: [1, "string"], status: [2, messages.Status], elapsed: [3, messages.Duration] };
messages.GetStatsLeg = { info: [1, messages.LegInfo], reply: [2, messages.GetStatsResponse] };
messages.GetStatsFanOut = { legs: [1, [messages.GetStatsLeg]] };

const service = "/manifold.demo.v1.DemoService/";
const fanOut = "/manifold.demo.v1.StatsServiceFanOut/";

export const methods = {
  greet: { path: `${service}Greet`, request: messages.GreetRequest, response: messages.GreetResponse, streams: false },
  countDown: {
    path: `${service}CountDown`,
    request: messages.CountDownRequest,
    response: messages.CountDownResponse,
    streams: true,
  },
  /** Of all servers: each answer as it comes. */
  getStats: {
    path: `${fanOut}GetStatsProgressive`,
    request: messages.GetStatsRequest,
    response: messages.GetStatsFanOut,
    streams: true,
  },
};

/**
 * Makes a call. Throws RpcError, or what `fetch` throws where there was no answer.
 *
 * @param protocol "connect" or "grpc_web"
 * @param method one of `methods`
 * @param message the request, a plain object
 * @param options `timeoutMs` for a deadline, `signal` to cancel; `onHead` is told the response's headers, `onMessage` each reply as
 *   it comes
 */
export async function call(protocol, method, message, options) {
  const speak = protocol === "grpc_web" ? grpcWeb : method.streams ? connectStream : connectUnary;
  await speak(method, message, options);
}

/** Connect, unary: a POST of JSON, answered by JSON; an error is an HTTP status and JSON. */
async function connectUnary(method, message, { timeoutMs, signal, onHead, onMessage }) {
  const response = await fetch(method.path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "connect-protocol-version": "1",
      ...(timeoutMs > 0 ? { "connect-timeout-ms": String(timeoutMs) } : {}),
    },
    body: JSON.stringify(message),
    signal,
  });
  onHead(response.headers);
  if (!response.ok) throw await connectError(response);
  onMessage(await response.json());
}

/** Connect, streaming: JSON in envelopes; the last, with flag 2, has the error if there is one. */
async function connectStream(method, message, { timeoutMs, signal, onHead, onMessage }) {
  const response = await fetch(method.path, {
    method: "POST",
    headers: {
      "content-type": "application/connect+json",
      "connect-protocol-version": "1",
      ...(timeoutMs > 0 ? { "connect-timeout-ms": String(timeoutMs) } : {}),
    },
    body: envelope(utf8.encode(JSON.stringify(message))),
    signal,
  });
  onHead(response.headers);
  if (!response.ok) throw await connectError(response);
  for await (const { flags, payload } of envelopes(response.body)) {
    const value = JSON.parse(text.decode(payload));
    if ((flags & 2) === 0) onMessage(value);
    else if (value.error === undefined) return;
    else throw new RpcError(value.error.code, value.error.message ?? "");
  }
  throw new RpcError("unknown", "the stream ended without an end");
}

async function connectError(response) {
  const body = await response.text();
  try {
    const { code, message } = JSON.parse(body);
    if (typeof code === "string") return new RpcError(code, message ?? "");
  } catch {} // not from an RPC server
  return new RpcError("unknown", `HTTP ${response.status}: ${body.trim()}`);
}

/** gRPC-Web: protobuf in envelopes; the one with flag 0x80 has the trailers, unless they are in the head. */
async function grpcWeb(method, message, { timeoutMs, signal, onHead, onMessage }) {
  const response = await fetch(method.path, {
    method: "POST",
    headers: {
      "content-type": "application/grpc-web+proto",
      "x-grpc-web": "1",
      ...(timeoutMs > 0 ? { "grpc-timeout": `${timeoutMs}m` } : {}),
    },
    body: envelope(encode(method.request, message)),
    signal,
  });
  onHead(response.headers);
  if (!response.ok) throw new RpcError("unknown", `HTTP ${response.status}: ${(await response.text()).trim()}`);
  let trailers = response.headers;
  for await (const { flags, payload } of envelopes(response.body)) {
    if ((flags & 0x80) === 0) onMessage(decode(method.response, payload));
    else trailers = parseTrailers(text.decode(payload));
  }
  const status = trailers.get("grpc-status");
  if (status === "0") return;
  if (status === null) throw new RpcError("unknown", "the response ended without a status");
  throw new RpcError(codes[Number(status)] ?? `code ${status}`, percentDecode(trailers.get("grpc-message") ?? ""));
}

/** What a leg's status says, as RpcError has it. Undefined where it has none. */
export function errorOfLeg({ info: { status } }) {
  return status && new RpcError(codes[status.code] ?? `code ${status.code}`, status.message ?? "");
}

/** Milliseconds that a leg took: JSON has "0.25s", protobuf seconds and nanoseconds. */
export function msOfLeg({ info: { elapsed } }) {
  if (typeof elapsed === "string") return Number.parseFloat(elapsed) * 1_000;
  return elapsed === undefined ? 0 : elapsed.seconds * 1_000 + elapsed.nanos / 1_000_000;
}

const codes =
  "ok canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss unauthenticated".split(
    " ",
  );

function parseTrailers(lines) {
  const trailers = new Headers();
  for (const line of lines.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) trailers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return trailers;
}

function percentDecode(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** One byte of flags, four of length, the message: the same in gRPC-Web and in Connect's streams. */
function envelope(payload) {
  const bytes = new Uint8Array(5 + payload.length);
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

/** The envelopes of a body, each as soon as it is whole. */
async function* envelopes(body) {
  let held = new Uint8Array(0);
  const reader = body.getReader();
  for (;;) {
    while (held.length >= 5) {
      const size = 5 + new DataView(held.buffer, held.byteOffset).getUint32(1);
      if (held.length < size) break;
      yield { flags: held[0], payload: held.subarray(5, size) };
      held = held.subarray(size);
    }
    const { done, value } = await reader.read();
    if (done) break;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
  }
  if (held.length > 0) throw new RpcError("internal", "the response ended inside a message");
}

/** Protobuf, as far as requests need it: fields that are empty or 0 are left out. */
export function encode(type, message) {
  const bytes = [];
  for (const [name, [number, kind]] of Object.entries(type)) {
    const value = message[name];
    if (!value) continue;
    bytes.push((number << 3) | (kind === "string" ? 2 : 0));
    if (kind === "string") {
      const payload = utf8.encode(value);
      bytes.push(...varint(payload.length), ...payload);
    } else bytes.push(...varint(value));
  }
  return new Uint8Array(bytes);
}

/** Fields that aren't known are skipped, those that aren't there are empty, 0 or undefined. */
export function decode(type, bytes) {
  const fields = Object.entries(type);
  const message = Object.fromEntries(fields.map(([name, [, kind]]) => [name, emptyOf(kind)]));
  let at = 0;
  const readVarint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (!(byte & 0x80)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const [name, [, kind]] = fields.find(([, [number]]) => number === tag >>> 3) ?? [undefined, []];
    let value = 0;
    if ((tag & 7) === 2) {
      const size = readVarint();
      const payload = bytes.subarray(at, at + size);
      at += size;
      if (Array.isArray(kind)) value = [...message[name], decode(kind[0], payload)];
      else value = typeof kind === "object" ? decode(kind, payload) : text.decode(payload);
    } else if ((tag & 7) === 0) value = readVarint();
    else throw new RpcError("internal", `wire type ${tag & 7} isn't read here`);
    if (name !== undefined) message[name] = value;
  }
  return message;
}

function emptyOf(kind) {
  if (Array.isArray(kind)) return [];
  if (typeof kind === "object") return undefined;
  return kind === "string" ? "" : 0;
}

function varint(value) {
  const bytes = [];
  for (let rest = value >>> 0; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}
