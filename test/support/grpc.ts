/** gRPC calls over the hand-made peer: envelopes, and a call's outcome as the wire had it. */
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { H2Peer, type H2PeerOptions } from "./h2-peer.ts";
import type { FieldPair } from "./hpack.ts";
import type { PeerStream } from "./peer-stream.ts";
import { until } from "./until.ts";

export interface CallOptions {
  headers?: readonly FieldPair[];
  /** Messages, each put into an envelope. Default: one of 5 bytes. */
  messages?: readonly Buffer[];
  /** Body bytes as they are, in place of `messages`. */
  body?: Buffer;
  timeoutMs?: number;
  /** `startCall()`: the request goes on. */
  open?: boolean;
}

export interface CallResult {
  stream: PeerStream;
  /** grpc-status of the trailers, or of a Trailers-Only response; undefined where there was none. */
  status: number | undefined;
  message: string | undefined;
  /** The body taken apart; undefined where it ended inside an envelope. */
  messages: { flags: number; bytes: Buffer }[] | undefined;
}

/** Connects and says the preface. */
export async function connectPeer(
  port: number,
  options: Partial<H2PeerOptions> & { tls?: ConnectionOptions } = {},
): Promise<H2Peer> {
  const { tls, ...rest } = options;
  const socket = tls
    ? connectTls({ host: "127.0.0.1", port, ALPNProtocols: ["h2"], ...tls })
    : connectTcp({ host: "127.0.0.1", port });
  await new Promise<void>((resolve, reject) => {
    socket.once(tls ? "secureConnect" : "connect", resolve);
    socket.once("error", reject);
  });
  return new H2Peer(socket, { ...rest, role: "client" });
}

/** The fields of a gRPC request. */
export function requestFields(path: string, more: readonly FieldPair[] = []): FieldPair[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "test.example"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
}

const fieldsOfPath = new Map<string, FieldPair[]>();
const fiveBytes = envelope(Buffer.from("hello"));

/** Opens a call and sends its whole request; the stream tells the rest. */
export function startCall(peer: H2Peer, path: string, options: CallOptions = {}): PeerStream {
  const fields = options.headers ? requestFields(path, options.headers) : plainFields(path);
  const body = options.body ?? (options.messages ? Buffer.concat(options.messages.map((m) => envelope(m))) : fiveBytes);
  const stream = peer.open(fields);
  stream.sendData(body, { end: options.open !== true });
  return stream;
}

/** The same list for the same path, so that its block is encoded once. */
function plainFields(path: string): FieldPair[] {
  const fields = fieldsOfPath.get(path) ?? requestFields(path);
  fieldsOfPath.set(path, fields);
  return fields;
}

/** A whole call. @throws Error when it has not ended in time (default 20 s) */
export async function call(peer: H2Peer, path: string, options: CallOptions = {}): Promise<CallResult> {
  const stream = startCall(peer, path, options);
  const timer = setTimeout(() => stream.lost(), options.timeoutMs ?? 20_000);
  await stream.finished;
  clearTimeout(timer);
  return outcome(stream);
}

/** What a finished stream says. */
export function outcome(stream: PeerStream): CallResult {
  const from = stream.trailers ? "trailers" : "headers";
  const status = stream.field("grpc-status", from);
  return {
    stream,
    status: status === undefined ? undefined : Number(status),
    message: stream.field("grpc-message", from),
    messages: openEnvelopes(Buffer.concat(stream.chunks)),
  };
}

/** Waits until a stream's first message of so many bytes is there, without waiting for its end. */
export async function untilBytes(stream: PeerStream, bytes: number): Promise<void> {
  await until(`${bytes} bytes on stream ${stream.id}`, () => stream.bytes >= bytes || stream.done);
}

/** Five bytes before a message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
export function envelope(message: Buffer, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export function openEnvelopes(body: Buffer): { flags: number; bytes: Buffer }[] | undefined {
  const messages: { flags: number; bytes: Buffer }[] = [];
  for (let at = 0; at < body.length; ) {
    if (body.length - at < 5) return undefined;
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end > body.length) return undefined;
    messages.push({ flags: body[at]!, bytes: body.subarray(at + 5, end) });
    at = end;
  }
  return messages;
}

/** Failures after which it is no use to go on: each may have taken its whole time. */
const enough = 20;

/** Makes so many calls, so many at once, and returns those that did not end with status 0. */
export async function callMany(
  peers: readonly H2Peer[],
  path: string,
  { calls, concurrency, onResult }: { calls: number; concurrency: number; onResult?: (result: CallResult) => void },
): Promise<string[]> {
  const failures: string[] = [];
  let started = 0;
  const worker = async (index: number) => {
    while (started < calls && failures.length < enough) {
      started++;
      const result = await call(peers[index % peers.length]!, path);
      onResult?.(result);
      if (result.status !== 0) failures.push(describeOutcome(result));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, index) => worker(index)));
  return failures;
}

/** One line for a failure message. */
export function describeOutcome({ stream, status, message }: CallResult): string {
  if (stream.reset !== undefined) return `RST_STREAM ${stream.reset}`;
  if (stream.cut) return "connection cut, or no end in time";
  return `:status ${stream.field(":status")} grpc-status ${status} ${message ?? ""}`;
}
