/** Attacks on a connection: rows A1, A4 and A9 of the table of faults. Envoy with default options fails A9's siblings. */
import { afterAll, beforeAll, expect } from "vitest";
import { Flag, FrameType, frame, resetFrame } from "../support/frames.ts";
import { envelope, outcome, requestFields, untilBytes } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { encodeBlock, integer, literal } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const hangPath = "/manifold.test.Attack/Hang";
const echoPath = "/manifold.test.Attack/Echo";
const enhanceYourCalm = 11;

onRuntime("attacks", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ handlers: { [hangPath]: () => {} } });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("A1 5,000 pairs of HEADERS and RST_STREAM end in ENHANCE_YOUR_CALM by about 300", async () => {
    await stage.survive(async () => {
      const peer = await stage.connect();
      const block = encodeBlock(requestFields(hangPath));
      for (let at = 0; at < 5_000 && !peer.closed; at++) {
        const id = at * 2 + 1;
        peer.send(frame(FrameType.headers, Flag.endHeaders, id, block), resetFrame(id, 8));
        if (at % 20 === 0) await sleep(1); // so that calls reach the upstream between the resets
      }
      await until("the connection to be closed", () => peer.closed);
      expect(peer.goaways.at(-1)?.code).toBe(enhanceYourCalm);
      figure(`${upstream.calls.length} calls upstream`);
      expect(upstream.calls.length).toBeLessThanOrEqual(400);
      await until("every upstream stream to be reset", () => upstream.calls.every((seen) => seen.done));
      expect(upstream.calls.filter((seen) => seen.reset === undefined)).toEqual([]);
    });
  });

  check("A4 a header block of 8 CONTINUATION frames is taken, one of 9 or of 100 closes the connection", async () => {
    await stage.survive(async () => {
      const good = await stage.connect();
      const stream = good.adopt();
      sendInEight(good, stream.id);
      stream.sendData(envelope(Buffer.from("whole")), { end: true });
      await stream.finished;
      expect(outcome(stream).status).toBe(0);

      const calls = upstream.calls.length;
      for (const count of [9, 100]) {
        const peer = await stage.connect();
        await peer.ping(); // else an ack of its SETTINGS may come in the midst of the block, which is a fault by itself
        peer.send(frame(FrameType.headers, 0, 1, encodeBlock(requestFields(echoPath))));
        for (let at = 0; at < count; at++) peer.send(frame(FrameType.continuation, 0, 1));
        await until(`the connection to be closed at ${count}`, () => peer.closed);
        expect(peer.goaways.at(-1)?.code).toBeOneOf([1, enhanceYourCalm]);
      }
      expect(upstream.calls.length).toBe(calls);
    });
  });

  check("A9 header lists over the limits end that stream only, and the decoder's state stays right", async () => {
    const calls = upstream.calls.length;
    await stage.survive(async () => {
      const peer = await stage.connect();
      const sibling = peer.open(requestFields(echoPath));
      sibling.sendData(envelope(Buffer.from("before")));
      await untilBytes(sibling, 11);
      expect(sibling.bytes).toBe(11);
      for (const [name, block] of bombs()) {
        const stream = sendBomb(peer, block);
        await stream.finished;
        expect(refusal(stream), name).not.toBe("");
        expect(peer.closed, `the connection after ${name}`).toBe(false);
      }
      // the first bomb put this field into the table: index 62, the newest
      const after = peer.adopt();
      const block = Buffer.concat([encodeBlock(requestFields(echoPath)), integer(62, 7, 0x80)]);
      peer.send(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, after.id, block));
      await after.finished;
      expect(outcome(after).status).toBe(0);
      expect(upstream.calls.at(-1)?.field("x-in-table")).toBe("y".repeat(3_000));

      sibling.sendData(envelope(Buffer.from("after")), { end: true });
      await sibling.finished;
      expect(outcome(sibling)).toMatchObject({ status: 0, messages: [{ flags: 0 }, { flags: 0 }] });
    });
    expect(upstream.calls.length).toBe(calls + 2);
  });
});

/** A request's block, a byte in HEADERS and the rest in 8 CONTINUATION frames. */
function sendInEight(peer: H2Peer, id: number): void {
  const block = encodeBlock(requestFields(echoPath));
  const size = Math.ceil((block.length - 1) / 8);
  peer.send(frame(FrameType.headers, 0, id, block.subarray(0, 1)));
  for (let at = 1; at < block.length; at += size) {
    const last = at + size >= block.length;
    peer.send(frame(FrameType.continuation, last ? Flag.endHeaders : 0, id, block.subarray(at, at + size)));
  }
}

/** Blocks over a limit. The first leaves x-in-table as the table's newest entry, and none of the others changes that. */
function bombs(): [string, Buffer][] {
  const request = encodeBlock(requestFields(echoPath));
  const value = "y".repeat(3_000);
  const newest = integer(62, 7, 0x80);
  return [
    [
      "a 200 KiB list of indexed fields",
      Buffer.concat([request, literal("x-in-table", value, 0x40), times(newest, 70)]),
    ],
    ["129 fields", encodeBlock(requestFields(echoPath, numbered(129 - 6)))],
    ["a value of 70 KiB", encodeBlock(requestFields(echoPath, [["x-long", "z".repeat(70 << 10)]]))],
    ["a field indexed 4,000 times", Buffer.concat([request, times(newest, 4_000)])],
  ];
}

function times(bytes: Buffer, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

function numbered(count: number): [string, string][] {
  return Array.from({ length: count }, (_, index) => [`x-${index}`, "v"]);
}

/** HEADERS and as many CONTINUATION frames as it takes. */
function sendBomb(peer: H2Peer, block: Buffer): PeerStream {
  const stream = peer.adopt();
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length;
    const type = at === 0 ? FrameType.headers : FrameType.continuation;
    const flags = (last ? Flag.endHeaders : 0) | (at === 0 ? Flag.endStream : 0);
    peer.send(frame(type, flags, stream.id, block.subarray(at, at + 16_384)));
  }
  return stream;
}

/** How a stream was refused: "" if it was not. */
function refusal(stream: PeerStream): string {
  if (stream.cut) return "";
  if (stream.reset !== undefined) return `RST_STREAM ${stream.reset}`;
  if (stream.field(":status") === "431") return ":status 431";
  return outcome(stream).status === 8 ? "resource_exhausted" : "";
}
