import { describe, expect, it } from "vitest";
import { Field, Indexing } from "../../src/http2/field.ts";
import { settle } from "./memory-socket.ts";
import { ask, Flag, FrameType, headersFrame, Setting, settingsFrame, startPair, startServer } from "./raw-peer.ts";
import { fieldsOf, ok, request } from "./recorder.ts";

const long = [["x-long", "v".repeat(40_000)]] as const;

describe("sendHeaders()", () => {
  it("continues a block that is larger than a frame, with nothing in between (section 4.3)", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request), headersFrame(3, request));
    const [one, other] = [owner.streams.get(1)!.stream, owner.streams.get(3)!.stream];
    one.sendHeaders(fieldsOf([...ok, ...long]), true);
    other.sendHeaders(fieldsOf(ok), true);
    await settle();
    const frames = peer.frames.map(({ type, flags, streamId, payload }) => [type, flags, streamId, payload.length]);
    const { headers, continuation } = FrameType;
    expect(frames.slice(0, -2).map(([type, flags, id]) => [type, flags, id])).toEqual([
      [headers, Flag.endStream, 1],
      ...frames.slice(1, -2).map(() => [continuation, 0, 1]),
    ]);
    expect(frames.at(-2)).toEqual([continuation, Flag.endHeaders, 1, expect.any(Number)]);
    expect(frames.at(-1)!.slice(0, 3)).toEqual([headers, Flag.endHeaders | Flag.endStream, 3]);
    expect(Math.max(...frames.map(([, , , length]) => length!))).toBe(16_384);
    expect(peer.blocks(1)).toEqual([`:status=200 x-long=${"v".repeat(40_000)}`]);
  });

  it("fits its frames to the peer's MAX_FRAME_SIZE", async () => {
    const { peer, owner } = await startServer({ announced: [[Setting.maxFrameSize, 1 << 20]] });
    await peer.send(headersFrame(1, request));
    owner.streams.get(1)!.stream.sendHeaders(fieldsOf([...ok, ...long]), true);
    await settle();
    expect(peer.frames.map(({ type }) => type)).toEqual([FrameType.headers]);
  });

  it("keeps to the table size that the peer announces, from its next block on", async () => {
    const { peer, owner } = await startServer({ announced: [[Setting.headerTableSize, 0]] });
    await peer.send(headersFrame(1, request), headersFrame(3, request));
    const fields = fieldsOf([...ok, ["x-a", "b"]]);
    owner.streams.get(1)!.stream.sendHeaders(fields, true);
    owner.streams.get(3)!.stream.sendHeaders(fields, true);
    await settle();
    const [first, second] = peer.of(FrameType.headers).map(({ payload }) => payload);
    expect(first![0]).toBe(0x20); // table size update to 0
    expect(second!.equals(first!.subarray(1))).toBe(true); // nothing was learned
    await peer.send(settingsFrame([[Setting.headerTableSize, 4_096]]));
    expect(peer.of(FrameType.settings).at(-1)!.flags).toBe(Flag.ack);
  });

  it("sends nothing on a stream that is over", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request));
    const { stream } = owner.streams.get(1)!;
    stream.sendHeaders(fieldsOf(ok), true);
    stream.sendHeaders(fieldsOf(ok), true);
    expect(stream.sendData(Buffer.from("late"), 0, 4, true)).toBe(true);
    stream.end();
    await settle();
    expect(peer.frames.map(({ type }) => type)).toEqual([FrameType.headers]);
  });
});

describe("two connections", () => {
  it("carry interim responses, large headers and trailers with their indexing", async () => {
    const { client, serverOwner } = await startPair({ maxHeaderListSize: 100_000 });
    const fields: Field[] = [];
    serverOwner.onStream = (recorder) => {
      recorder.stream.sendHeaders(fieldsOf([[":status", "103"]]), false);
      recorder.stream.sendHeaders([...fieldsOf(ok), new Field("x-secret", "s", Indexing.never)], false);
      recorder.stream.sendHeaders(fieldsOf([["grpc-status", "0"], ...long]), true);
    };
    const recorder = ask(client, true, [...request, ...long]);
    const { onHeaders } = recorder;
    recorder.onHeaders = (received, end) => {
      fields.push(...received);
      onHeaders.call(recorder, received, end);
    };
    await settle();
    expect(serverOwner.streams.get(1)!.events[0]).toContain(long[0][1]);
    expect(recorder.events).toEqual([
      "headers :status=103",
      "headers :status=200 x-secret=s",
      `trailers grpc-status=0 x-long=${long[0][1]}`,
    ]);
    expect(fields.find(({ name }) => name === "x-secret")!.indexing).toBe(Indexing.never);
    expect(client.streamCount).toBe(0);
  });

  it("write once in a turn, however many streams have something to say", async () => {
    const { client, serverOwner, near, far } = await startPair();
    serverOwner.onStream = ({ stream }) => {
      stream.sendHeaders(fieldsOf(ok), false);
      stream.sendData(Buffer.alloc(100), 0, 100, false);
      stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    };
    const [before, beforeFar] = [near.writes, far.writes];
    const recorders = Array.from({ length: 50 }, () => ask(client));
    await settle();
    expect(recorders.every(({ events }) => events.at(-1) === "trailers grpc-status=0")).toBe(true);
    expect(near.writes - before).toBe(1);
    expect(far.writes - beforeFar).toBe(1);
  });
});
