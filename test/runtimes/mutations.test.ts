/** Row A10 of the table of faults: 10,000 mutations of a connection that was recorded. */
import { connect } from "node:net";
import { afterAll, beforeAll, expect } from "vitest";
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
} from "../support/frames.ts";
import { envelope, requestFields } from "../support/grpc.ts";
import { encodeBlock } from "../support/hpack.ts";
import { randomOf } from "../support/random.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

/** MANIFOLD_MUTATIONS for more, and MANIFOLD_SEED for others. */
const mutations = Number(process.env.MANIFOLD_MUTATIONS ?? 10_000);
const concurrency = 32;
/** What a connection ends in where something was thrown that is no fault of the peer's. */
const internalError = 2;
const seed = Number(process.env.MANIFOLD_SEED ?? 20_260_719);

onRuntime("mutations", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ record: false });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("A10 10,000 mutations of a recorded connection: no crash, and each ends within 10 s of its FIN", async () => {
    const frames = recording();
    const late: number[] = [];
    const ownFaults: number[] = [];
    let slowestMs = 0;
    const playAll = async (from: number, to: number) => {
      let next = from;
      const worker = async () => {
        for (let number = next++; number < to; number = next++) {
          const { tookMs, goaway } = await play(stage.manifold.port, mutate(frames, randomOf(seed + number)));
          slowestMs = Math.max(slowestMs, tookMs);
          if (tookMs > 10_000) late.push(number);
          if (goaway === internalError) ownFaults.push(number);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, worker));
    };
    // the first growth of a heap by thousands of connections is no leak: on Deno it ends at 4,500, whatever comes then
    const warmUp = Math.floor(mutations * 0.45);
    await playAll(0, warmUp);
    await stage.survive(() => playAll(warmUp, mutations));
    figure(`the slowest ended after ${slowestMs.toFixed(0)} ms`);
    expect(late, `numbers that took too long, of seed ${seed}`).toEqual([]);
    expect(ownFaults, `numbers that ended in an error of our own, of seed ${seed}`).toEqual([]);
    const { stdout, stderr } = stage.manifold.program;
    expect(stderr()).toBe("");
    expect(
      stdout()
        .split("\n")
        .filter((line) => line.includes('"level":50')),
    ).toEqual([]);
  });
});

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

/** Sends it, and FIN. Returns the milliseconds until the connection was closed, and the last GOAWAY's code. */
function play(port: number, bytes: Buffer): Promise<{ tookMs: number; goaway: number | undefined }> {
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
