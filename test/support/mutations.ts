/** Row A10 of the table of faults: a client's connection, recorded, its mutations, and what becomes of them. */
import { connect } from "node:net";
import {
  Flag,
  FrameType,
  frame,
  frameReader,
  preface,
  resetFrame,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from "./frames.ts";
import { envelope, requestFields } from "./grpc.ts";
import { encodeBlock } from "./hpack.ts";
import { randomOf } from "./random.ts";

const concurrency = 32;

/** What became of one. */
export interface Played {
  /** From FIN until the connection was closed. */
  tookMs: number;
  /** Code of the last GOAWAY. */
  goaway: number | undefined;
}

/** Those of these numbers, so many at once. `onPlayed` is told of each. */
export async function playMutations(
  port: number,
  {
    from,
    to,
    seed,
    onPlayed,
  }: { from: number; to: number; seed: number; onPlayed: (n: number, played: Played) => void },
): Promise<void> {
  const frames = recording();
  let next = from;
  const worker = async () => {
    for (let number = next++; number < to; number = next++) {
      onPlayed(number, await play(port, mutate(frames, randomOf(seed + number))));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

/** What a client sends in an eventful life, frame by frame; the server's part is left out. */
function recording(): Buffer[] {
  const path = "/manifold.test.Mutations/Echo";
  const request = encodeBlock(requestFields(path, [["x-long", "v".repeat(300)]]));
  const other = encodeBlock(
    requestFields(path, [
      ["grpc-timeout", "1S"],
      ["x-bin", "AAEC"],
    ]),
  );
  const web = encodeBlock(
    requestFields(path).map(([name, value]) => [name, name === "content-type" ? "application/grpc-web" : value]),
  );
  const message = envelope(Buffer.from("hello"));
  const padded = Buffer.concat([Buffer.from([4]), message, Buffer.alloc(4)]);
  return [
    preface,
    settingsFrame([
      [Setting.initialWindowSize, 100_000],
      [Setting.maxFrameSize, 20_000],
      [Setting.headerTableSize, 1_000],
    ]),
    windowUpdateFrame(0, 1 << 20),
    frame(FrameType.headers, Flag.endHeaders, 1, request),
    frame(FrameType.data, Flag.endStream, 1, message),
    frame(FrameType.headers, 0, 3, other.subarray(0, 20)),
    frame(FrameType.continuation, Flag.endHeaders, 3, other.subarray(20)),
    frame(FrameType.data, Flag.padded, 3, padded),
    frame(FrameType.ping, 0, 0, Buffer.from("12345678")),
    frame(FrameType.settings, Flag.ack, 0),
    frame(FrameType.headers, Flag.endHeaders, 5, request),
    windowUpdateFrame(5, 1_000),
    resetFrame(5, 8),
    frame(FrameType.priority, 0, 7, Buffer.from([0, 0, 0, 1, 16])),
    frame(FrameType.headers, Flag.endHeaders, 7, web),
    frame(FrameType.data, Flag.endStream, 7, message),
    frame(FrameType.data, Flag.endStream, 3, message),
    frame(FrameType.headers, Flag.endHeaders, 9, request),
    frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 9, encodeBlock([["x-trailer", "1"]])),
    frame(FrameType.goaway, 0, 0, Buffer.alloc(8)),
  ];
}

/** One to four changes: to bytes, to whole frames, or to where it ends. */
function mutate(frames: readonly Buffer[], random: () => number): Buffer {
  const upTo = (limit: number) => Math.floor(random() * limit);
  const parts = frames.map((part) => Buffer.from(part));
  for (let left = 1 + upTo(4); left > 0; left--) {
    // mostly behind the preface: without it there is little to see
    const at = random() < 0.02 ? 0 : Math.min(1 + upTo(parts.length - 1), parts.length - 1);
    const part = parts[at]!;
    switch (upTo(8)) {
      case 0:
        part[upTo(part.length)] = upTo(256);
        break;
      case 1:
        part[upTo(Math.min(9, part.length))]! ^= 1 << upTo(8); // of the frame's head
        break;
      case 2:
        parts[at] = Buffer.concat([part.subarray(0, upTo(part.length)), part.subarray(upTo(part.length))]);
        break;
      case 3:
        parts[at] = Buffer.concat([part, Buffer.from(Array.from({ length: 1 + upTo(40) }, () => upTo(256)))]);
        break;
      case 4:
        parts.splice(at, 1);
        break;
      case 5:
        parts.splice(upTo(parts.length), 0, Buffer.from(part));
        break;
      case 6:
        parts.splice(upTo(parts.length), 0, ...parts.splice(at, 1));
        break;
      default:
        parts[at] = part.subarray(0, upTo(part.length));
        if (random() < 0.5) parts.length = at + 1;
    }
    if (parts.length < 2) break;
  }
  return Buffer.concat(parts);
}

/** Sends it, and FIN. */
function play(port: number, bytes: Buffer): Promise<Played> {
  return new Promise((resolve) => {
    let goaway: number | undefined;
    const read = frameReader(({ type, payload }) => {
      if (type === FrameType.goaway) goaway = payload.readUInt32BE(4);
    });
    const socket = connect({ host: "127.0.0.1", port });
    let sentAt = performance.now();
    const timer = setTimeout(() => socket.destroy(), 12_000);
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve({ tookMs: performance.now() - sentAt, goaway });
    });
    socket.on("data", read);
    socket.end(bytes, () => {
      sentAt = performance.now();
    });
  });
}
