/** Runs h2load and reads its report; a run in which any call failed, or a byte is missing, is no measurement. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Load {
  method: string;
  /** Total, over all connections. */
  calls: number;
  connections: number;
  /** At the same time, on each connection. */
  streams: number;
  /** Bytes of the request message, without its 5-byte prefix. */
  bytes: number;
  /** Messages of that size in each reply. */
  replies: number;
  headers?: Record<string, string>;
}

/**
 * @returns the rate, in calls per second
 * @throws Error where not every call had HTTP status 200 and a complete reply
 */
export async function h2load(port: number, load: Load, cache: string): Promise<number> {
  const body = join(cache, `request-${load.bytes}.bin`);
  writeFileSync(body, message(load.bytes));
  const headers = { "content-type": "application/grpc", te: "trailers", ...load.headers };
  const args = ["-n", load.calls, "-c", load.connections, "-m", load.streams, "-t", 1, "-d", body].map(String);
  for (const [name, value] of Object.entries(headers)) args.push("-H", `${name}: ${value}`);
  args.push(`http://127.0.0.1:${port}${load.method}`);
  const { stdout } = await run("h2load", args, { maxBuffer: 1 << 24, timeout: 300_000 });

  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const succeeded = number(/status codes: (\d+) 2xx/);
  const data = number(/\((\d+)\) data/);
  // A call that fails with a gRPC status is HTTP 200 too, but has no message: only the bytes tell.
  const expected = load.calls * load.replies * (load.bytes + 5);
  if (succeeded !== load.calls || data !== expected) {
    throw new Error(`${succeeded} of ${load.calls} calls answered, ${data} of ${expected} bytes:\n${stdout}`);
  }
  return number(/finished in .*?, ([\d.]+) req\/s/);
}

/** A gRPC frame with one message of that many bytes, which reads as a protobuf field 1 of bytes. */
function message(bytes: number): Buffer {
  const frame = Buffer.alloc(5 + bytes, 0x2a);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}
