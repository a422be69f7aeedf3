/** Runs h2load and reads its report; a run in which any call failed, or a byte is missing, is no measurement. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const prefixBytes = 5;

/** The protocol of the calls and the version of HTTP that carries them. */
export type Wire = "grpc" | "web-h2" | "web-h1" | "connect-h1";

export interface Load {
  /** "grpc" where not given. */
  wire?: Wire;
  method: string;
  /** Total, over all connections. */
  calls: number;
  connections: number;
  /** At the same time, on each connection. */
  streams: number;
  /** Bytes of the request message, without its 5-byte prefix, which a Connect unary call doesn't have. */
  bytes: number;
  /** Messages of that size in each reply. */
  replies: number;
  /** Bytes of DATA in each reply, where it isn't the request's message so many times. */
  replyBytes?: number;
  headers?: Record<string, string>;
}

const grpcWeb = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };

const wires: Record<Wire, { http1: boolean; prefixed: boolean; headers: Record<string, string> }> = {
  grpc: { http1: false, prefixed: true, headers: { "content-type": "application/grpc", te: "trailers" } },
  "web-h2": { http1: false, prefixed: true, headers: grpcWeb },
  "web-h1": { http1: true, prefixed: true, headers: grpcWeb },
  "connect-h1": {
    http1: true,
    prefixed: false,
    headers: { "content-type": "application/proto", "connect-protocol-version": "1" },
  },
};

/**
 * @returns the rate, in calls per second
 * @throws Error where not every call had HTTP status 200 and a complete reply
 */
export async function h2load(port: number, load: Load, cache: string): Promise<number> {
  const { url, headers, request } = requestOf(port, load);
  // A call that fails with a gRPC status is HTTP 200 too, but has no message: only the bytes tell.
  const extra = load.wire === undefined || load.wire === "grpc" ? 0 : await trailerBytes(url, headers, request);
  const reply = load.replyBytes ?? load.replies * request.length + extra;
  const args = [...loadArgs(port, load, cache), "-n", String(load.calls)];
  const { stdout } = await run("h2load", args, { maxBuffer: 1 << 24, timeout: 300_000 });

  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const succeeded = number(/status codes: (\d+) 2xx/);
  const data = number(/\((\d+)\) data/);
  const expected = load.calls * reply;
  if (succeeded !== load.calls || data !== expected) {
    throw new Error(`${succeeded} of ${load.calls} calls answered, ${data} of ${expected} bytes:\n${stdout}`);
  }
  return number(/finished in .*?, ([\d.]+) req\/s/);
}

/** Arguments of h2load for a load, but how long it lasts. Writes the request to a file. */
export function loadArgs(port: number, load: Load, cache: string): string[] {
  const { url, headers, request } = requestOf(port, load);
  const body = join(cache, `request-${request.length}.bin`);
  writeFileSync(body, request);
  const args = [url, "-c", load.connections, "-m", load.streams, "-t", 1, "-d", body].map(String);
  for (const [name, value] of Object.entries(headers)) args.push("-H", `${name}: ${value}`);
  return wires[load.wire ?? "grpc"].http1 ? [...args, "--h1"] : args;
}

function requestOf(port: number, load: Load) {
  const { prefixed, headers } = wires[load.wire ?? "grpc"];
  const request = prefixed ? message(load.bytes) : message(load.bytes).subarray(prefixBytes);
  return { url: `http://127.0.0.1:${port}${load.method}`, headers: { ...headers, ...load.headers }, request };
}

/**
 * How much follows the message in a proxy's replies: nothing in Connect's, a trailer frame in gRPC-Web's, where names and
 * blanks are the proxy's own. One call tells, over HTTP/1.1.
 *
 * @throws Error where the reply is not the request's message and, in gRPC-Web, trailers with status 0
 */
async function trailerBytes(url: string, headers: Record<string, string>, request: Buffer): Promise<number> {
  const response = await fetch(url, { method: "POST", headers, body: new Uint8Array(request) });
  const reply = Buffer.from(await response.arrayBuffer());
  const rest = reply.subarray(request.length);
  const complete = "x-grpc-web" in headers ? isSuccess(rest) : rest.length === 0;
  if (response.status !== 200 || !reply.subarray(0, request.length).equals(request) || !complete) {
    throw new Error(`the first call failed: ${response.status} ${JSON.stringify(reply.toString("latin1"))}`);
  }
  return rest.length;
}

/** Whether the bytes are one whole trailer frame of gRPC-Web with status 0. */
function isSuccess(frame: Buffer): boolean {
  if (frame.length < prefixBytes || frame[0] !== 0x80) return false;
  if (frame.readUInt32BE(1) !== frame.length - prefixBytes) return false;
  return /^grpc-status: ?0\r?$/im.test(frame.toString("latin1", prefixBytes));
}

/** A gRPC frame with one message of that many bytes, which reads as a protobuf field 1 of bytes. */
function message(bytes: number): Buffer {
  const frame = Buffer.alloc(prefixBytes + bytes, 0x2a);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}
