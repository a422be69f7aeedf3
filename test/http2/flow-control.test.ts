import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import type { Http2Stream } from "../../src/http2/stream.ts";
import { bufferBytes } from "./garbage.ts";
import { chunksOf, settle } from "./memory-socket.ts";
import {
  ask,
  dataFrame,
  Flag,
  FrameType,
  headersFrame,
  Setting,
  settingsFrame,
  startPair,
  startServer,
  type Under,
  windowUpdateFrame,
} from "./raw-peer.ts";
import { fieldsOf, ok, request, type StreamRecorder } from "./recorder.ts";

const wide = windowUpdateFrame(0, 1 << 24);
const window = (bytes: number) => settingsFrame([[Setting.initialWindowSize, bytes]]);

function send(stream: Http2Stream, bytes: number | Buffer, end = false): boolean {
  const body = typeof bytes === "number" ? Buffer.alloc(bytes, stream.id) : bytes;
  return stream.sendData(body, 0, body.length, end);
}

/** A server with one request on stream 1 that it has answered with headers. */
async function answering(announced: [number, number][] = []): Promise<Under & { recorder: StreamRecorder }> {
  const under = await startServer({ announced });
  await under.peer.send(headersFrame(1, request));
  const recorder = under.owner.streams.get(1)!;
  recorder.stream.sendHeaders(fieldsOf(ok), false);
  return { ...under, recorder };
}

describe("sendData()", () => {
  it("keeps to the stream's window and goes on with WINDOW_UPDATE", async () => {
    const { peer, recorder } = await answering();
    await peer.send(wide);
    expect(send(recorder.stream, 100_000, true)).toBe(false);
    await settle();
    expect(peer.body(1).length).toBe(65_535);
    expect(recorder.sent).toBe(65_535);
    await peer.send(windowUpdateFrame(1, 1));
    expect(peer.body(1).length).toBe(65_536);
    await peer.send(windowUpdateFrame(1, 100_000));
    expect(peer.body(1).length).toBe(100_000);
    expect(recorder.sent).toBe(100_000);
    expect(endFlags(peer.of(FrameType.data, 1))).toBe("last only");
  });

  it("keeps to the connection's window, which all streams share", async () => {
    const { peer, owner, recorder } = await answering([[Setting.initialWindowSize, 1 << 20]]);
    await peer.send(headersFrame(3, request));
    const other = owner.streams.get(3)!;
    other.stream.sendHeaders(fieldsOf(ok), false);
    send(recorder.stream, 60_000);
    send(other.stream, 60_000);
    await settle();
    expect(peer.body(1).length + peer.body(3).length).toBe(65_535);
    await peer.send(wide);
    expect([peer.body(1).length, peer.body(3).length]).toEqual([60_000, 60_000]);
    expect(other.sent).toBe(60_000);
  });

  it("tells at once what left at once, and never twice", async () => {
    const { recorder } = await answering();
    expect(send(recorder.stream, 1_000)).toBe(true);
    await settle();
    expect(recorder.sent).toBe(0);
  });

  it("sends frames of at most the peer's size", async () => {
    const { peer, recorder } = await answering([
      [Setting.initialWindowSize, 1 << 20],
      [Setting.maxFrameSize, 20_000],
    ]);
    await peer.send(wide);
    expect(send(recorder.stream, 50_000)).toBe(true);
    await settle();
    expect(peer.of(FrameType.data, 1).map(({ payload }) => payload.length)).toEqual([20_000, 20_000, 10_000]);
    await peer.send(settingsFrame([[Setting.maxFrameSize, 16_384]]));
    send(recorder.stream, 20_000, true);
    await settle();
    expect(
      peer
        .of(FrameType.data, 1)
        .map(({ payload }) => payload.length)
        .slice(3),
    ).toEqual([16_384, 3_616]);
    expect(endFlags(peer.of(FrameType.data, 1))).toBe("last only");
  });

  it("sends trailers behind DATA that has to wait", async () => {
    const { peer, recorder, connection } = await answering([[Setting.initialWindowSize, 10]]);
    send(recorder.stream, 30);
    recorder.stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    await peer.send(windowUpdateFrame(1, 10));
    expect(peer.frames.filter(({ streamId }) => streamId === 1).map(({ type }) => type)).toEqual([1, 0, 0]);
    await peer.send(windowUpdateFrame(1, 10));
    expect(peer.frames.filter(({ streamId }) => streamId === 1).map(({ type }) => type)).toEqual([1, 0, 0, 0, 1]);
    expect(peer.frames.at(-1)!.flags).toBe(Flag.endHeaders | Flag.endStream);
    expect(peer.blocks(1)).toEqual([":status=200", "grpc-status=0"]);
    await peer.send(dataFrame(1, "", Flag.endStream));
    expect(connection.streamCount).toBe(0);
  });

  it("ends with the last byte, where the end was said while it waited", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 10]]);
    send(recorder.stream, 30);
    recorder.stream.end();
    await peer.send(windowUpdateFrame(1, 20));
    expect(peer.body(1).length).toBe(30);
    expect(endFlags(peer.of(FrameType.data, 1))).toBe("last only");
  });

  it("ends a stream whose window is used up or negative without waiting for it", async () => {
    const { peer, recorder, connection } = await answering([[Setting.initialWindowSize, 10]]);
    send(recorder.stream, 10);
    await settle();
    await peer.send(window(0));
    recorder.stream.end();
    await settle();
    expect(endFlags(peer.of(FrameType.data, 1))).toBe("last only");
    await peer.send(dataFrame(1, "", Flag.endStream));
    expect(connection.streamCount).toBe(0);
  });

  it("drops what waits when the stream is reset", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 10]]);
    send(recorder.stream, 30);
    recorder.stream.reset(ErrorCode.cancel);
    await peer.send(windowUpdateFrame(1, 1_000));
    expect(peer.body(1).length).toBe(0);
    expect(recorder.sent).toBe(0);
  });

  it("sends trailers at once after dropQueue()", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 10]]);
    send(recorder.stream, 30, true);
    await settle();
    recorder.stream.dropQueue();
    recorder.stream.sendHeaders(fieldsOf([["grpc-status", "4"]]), true);
    await peer.send(windowUpdateFrame(1, 1_000));
    expect(peer.body(1).length).toBe(10);
    expect(peer.blocks(1).at(-1)).toBe("grpc-status=4");
  });

  it("lets the streams that wait take turns", async () => {
    const { peer, owner } = await startServer({ announced: [[Setting.initialWindowSize, 1 << 20]] });
    const ids = Array.from({ length: 20 }, (_, at) => at * 2 + 1);
    await peer.send(...ids.map((id) => headersFrame(id, request)));
    send(owner.streams.get(1)!.stream, 65_535); // uses up the connection's window
    for (const id of ids) send(owner.streams.get(id)!.stream, 65_536, true);
    await settle();
    peer.frames.length = 0;
    await peer.send(windowUpdateFrame(0, 20 * 2 * 16_384));
    const counts = ids.map((id) => peer.body(id).length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(16_384);
    await peer.send(wide);
    expect(ids.map((id) => peer.body(id).length)).toEqual(ids.map(() => 65_536));
  });

  it("queues many tiny pieces without keeping the chunks that they came in", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 0]]);
    const before = await bufferBytes();
    for (let at = 0; at < 2_000; at++) {
      const chunk = Buffer.alloc(64 << 10);
      chunk[9] = at;
      recorder.stream.sendData(chunk, 9, 10, false);
    }
    expect((await bufferBytes()) - before).toBeLessThan(8 << 20);
    await peer.send(windowUpdateFrame(1, 2_000));
    expect(peer.body(1)).toEqual(Buffer.from(Array.from({ length: 2_000 }, (_, at) => at & 0xff)));
    expect(peer.of(FrameType.data, 1).length).toBeLessThan(20);
  });
});

describe("INITIAL_WINDOW_SIZE", () => {
  it("counts for streams that are open, up and down into the negative (section 6.9.2)", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 100]]);
    send(recorder.stream, 1_000);
    await settle();
    expect(peer.body(1).length).toBe(100);
    await peer.send(window(300));
    expect(peer.body(1).length).toBe(300);
    await peer.send(window(50)); // 250 bytes below nothing
    await peer.send(windowUpdateFrame(1, 250));
    expect(peer.body(1).length).toBe(300);
    await peer.send(windowUpdateFrame(1, 64));
    expect(peer.body(1).length).toBe(364);
    await peer.send(window(1_000));
    expect(peer.body(1).length).toBe(1_000);
  });

  it("counts once, for the last entry of a frame", async () => {
    const { peer, recorder } = await answering([[Setting.initialWindowSize, 100]]);
    send(recorder.stream, 1_000);
    await peer.send(
      settingsFrame([
        [4, 5_000],
        [4, 0],
        [4, 150],
      ]),
    );
    expect(peer.body(1).length).toBe(150);
  });

  it.each([
    ["beyond 2^31-1", window(2 ** 31), ErrorCode.flowControlError],
    ["MAX_FRAME_SIZE below 16,384", settingsFrame([[5, 16_383]]), ErrorCode.protocolError],
    ["MAX_FRAME_SIZE beyond 2^24-1", settingsFrame([[5, 2 ** 24]]), ErrorCode.protocolError],
    ["ENABLE_PUSH of 2", settingsFrame([[2, 2]]), ErrorCode.protocolError],
  ])("%s ends the connection", async (_, bytes, code) => {
    const { peer } = await answering();
    await peer.send(bytes);
    expect(peer.goaways).toEqual([{ last: 1, code }]);
  });

  it("ends the connection where it takes a stream's window beyond 2^31-1", async () => {
    const { peer } = await answering();
    await peer.send(windowUpdateFrame(1, 2 ** 31 - 1 - 65_535), window(65_536));
    expect(peer.goaways).toEqual([{ last: 1, code: ErrorCode.flowControlError }]);
  });

  it("is acknowledged frame by frame", async () => {
    const { peer } = await answering();
    await peer.send(window(1), window(2));
    expect(peer.of(FrameType.settings).map(({ flags }) => flags)).toEqual([Flag.ack, Flag.ack]);
  });
});

describe("WINDOW_UPDATE", () => {
  it("beyond 2^31-1 ends the connection on stream 0, and else the stream (fault A7)", async () => {
    const { peer, owner } = await answering();
    await peer.send(windowUpdateFrame(1, 2 ** 31 - 1));
    expect(peer.resets(1)).toEqual([ErrorCode.flowControlError]);
    expect(owner.closed).toBe(false);
    await peer.send(windowUpdateFrame(0, 2 ** 31 - 1));
    expect(peer.goaways).toEqual([{ last: 1, code: ErrorCode.flowControlError }]);
  });

  it("of 0 on stream 0 ends the connection", async () => {
    const { peer } = await answering();
    await peer.send(windowUpdateFrame(0, 0));
    expect(peer.goaways).toEqual([{ last: 1, code: ErrorCode.protocolError }]);
  });
});

describe("two connections", () => {
  it("carry bodies both ways whatever the windows, cuts and back-pressure", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          size: fc.integer({ min: 1, max: 150_000 }),
          cut: fc.constantFrom(101, 1_460, 16_384, 70_000),
          streams: fc.integer({ min: 1, max: 5 }),
          piece: fc.integer({ min: 50, max: 70_000 }),
          connectionWindowSize: fc.constantFrom(65_535, 100_000, 1 << 20),
          maxSocketBuffer: fc.constantFrom(1_000, 20_000, 256 << 10),
        }),
        carriesBothWays,
      ),
      { numRuns: 25 },
    );
  });
});

interface Shape {
  readonly size: number;
  readonly cut: number;
  readonly streams: number;
  readonly piece: number;
  readonly connectionWindowSize: number;
  readonly maxSocketBuffer: number;
}

/** Echoes a body on each stream; every byte must come back, in order, and both sides end. */
async function carriesBothWays({ size, cut, streams, piece, ...settings }: Shape): Promise<void> {
  const { client, server, serverOwner, near, far } = await startPair(settings);
  near.split = chunksOf(cut);
  far.split = chunksOf(cut);
  serverOwner.onStream = (recorder) => {
    recorder.stream.sendHeaders(fieldsOf(ok), false);
    recorder.consumes = false;
    recorder.onData = (bytes, start, stop, end) => {
      if (recorder.stream.sendData(bytes, start, stop, end)) recorder.stream.consume(stop - start);
    };
    recorder.onSent = (bytes) => recorder.stream.consume(bytes);
  };
  const bodies = Array.from({ length: streams }, (_, at) => Buffer.alloc(size, `${at} and some more text `));
  const recorders = bodies.map((body) => {
    const recorder = ask(client, false);
    for (let at = 0; at < size; at += piece) {
      const stop = Math.min(size, at + piece);
      recorder.stream.sendData(body, at, stop, stop === size);
    }
    return recorder;
  });
  for (let turns = 0; turns < 2_000 && recorders.some(({ events }) => events.at(-1) !== "end"); turns++)
    await settle(1);
  recorders.forEach((recorder, at) => {
    expect(recorder.events).toEqual(["headers :status=200", "end"]);
    expect(recorder.bytes.equals(bodies[at]!)).toBe(true);
  });
  expect([client.streamCount, server.streamCount]).toEqual([0, 0]);
  client.destroy();
  server.destroy();
}

function endFlags(frames: readonly { flags: number }[]): string {
  const flags = frames.map((one) => one.flags);
  return flags.at(-1) === Flag.endStream && flags.slice(0, -1).every((flag) => flag === 0) ? "last only" : flags.join();
}
