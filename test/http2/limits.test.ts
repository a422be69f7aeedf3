import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { heapBytes } from "./garbage.ts";
import { settle } from "./memory-socket.ts";
import {
  ask,
  dataFrame,
  Flag,
  FrameType,
  frame,
  headersFrame,
  pingFrame,
  preface,
  resetFrame,
  Setting,
  settingsFrame,
  startClient,
  startServer,
  windowUpdateFrame,
} from "./raw-peer.ts";
import { fieldsOf, ok, request } from "./recorder.ts";

const { enhanceYourCalm, refusedStream, cancel, noError } = ErrorCode;
const calm = { code: enhanceYourCalm, last: expect.any(Number) };

function pairs(count: number, second: (id: number) => Buffer): Buffer[] {
  return Array.from({ length: count }, (_, at) => [headersFrame(at * 2 + 1, request), second(at * 2 + 1)]).flat();
}

describe("the budget of resets", () => {
  it.each([
    ["RST_STREAM (A1)", (id: number) => resetFrame(id, cancel)],
    ["RST_STREAM with NO_ERROR", (id: number) => resetFrame(id, noError)],
    ["WINDOW_UPDATE of 0 (A2)", (id: number) => windowUpdateFrame(id, 0)],
    ["WINDOW_UPDATE beyond 2^31-1 (A2)", (id: number) => windowUpdateFrame(id, 2 ** 31 - 1)],
    ["a second header block (A2)", (id: number) => headersFrame(id, request)],
    ["DATA beyond content-length (A2)", (id: number) => headersFrame(id, [[":status", "200"]], 5)],
  ])("ends a connection of streams that end by %s", async (_, second) => {
    const { peer, owner } = await startServer();
    await peer.send(...pairs(1_000, second));
    expect(peer.goaways).toEqual([calm]);
    expect(owner.streams.size).toBeGreaterThanOrEqual(200);
    expect(owner.streams.size).toBeLessThan(300);
    for (const { events } of owner.streams.values()) expect(events.at(-1)).toMatch(/^reset/);
  });

  it("ends a connection of requests that are malformed from the start", async () => {
    const { peer, owner } = await startServer();
    await peer.send(...Array.from({ length: 1_000 }, (_, at) => headersFrame(at * 2 + 1, [[":method", "GET"]])));
    expect(peer.goaways).toEqual([calm]);
    expect(owner.streams.size).toBe(0);
  });

  it("ends a connection that opens too many streams, but not before it has acknowledged the limit (E9)", async () => {
    const { peer, owner } = await startServer({ greet: false, settings: { maxConcurrentStreams: 1 } });
    const requests = (from: number) =>
      Array.from({ length: 300 }, (_, at) => headersFrame((from + at) * 2 + 1, request));
    await peer.send(preface, settingsFrame([]), ...requests(0));
    expect(peer.of(FrameType.rstStream)).toHaveLength(299);
    expect(peer.resets(3)).toEqual([refusedStream]);
    expect(owner.closed).toBe(false);
    await peer.send(frame(FrameType.settings, Flag.ack, 0), ...requests(300));
    expect(peer.goaways).toEqual([calm]);
  });

  it("lets a client that has its answer cut its request short as often as it likes", async () => {
    const { peer, owner } = await startServer();
    owner.onStream = ({ stream }) => stream.sendHeaders(fieldsOf(ok), true);
    await peer.send(...pairs(500, (id) => resetFrame(id, noError)));
    expect(peer.goaways).toEqual([]);
    expect(owner.streams.size).toBe(500);
  });

  it("doesn't count what a server resets", async () => {
    const { connection, peer, owner } = await startClient();
    for (let round = 0; round < 5; round++) {
      const recorders = Array.from({ length: 90 }, () => ask(connection));
      await peer.send(...recorders.map(({ stream }) => resetFrame(stream.id, refusedStream)));
      expect(recorders.every(({ events }) => events[0] === `reset ${refusedStream} unprocessed`)).toBe(true);
    }
    expect(owner.closed).toBe(false);
  });
});

describe("a client that never reads", () => {
  it.each([
    ["PING", pingFrame],
    ["SETTINGS", settingsFrame([])],
  ])("is cut off at 1,000 acks of %s (A5)", async (_, bytes) => {
    const { peer, socket, owner } = await startServer({ settings: { maxUselessFrames: 1e6 } });
    socket.stalled = true;
    for (let round = 0; round < 30 && !owner.closed; round++)
      await peer.send(...Array.from({ length: 100 }, () => bytes));
    expect(owner.closed).toBe(true);
    expect(socket.writableLength).toBeLessThan(1_100 * 17);
    socket.release();
    await settle();
    expect(peer.goaways).toEqual([calm]);
    expect(peer.of(FrameType.ping).length + peer.of(FrameType.settings).length).toBeLessThanOrEqual(1_000);
  });

  it("is cut off at 1,000 refused streams", async () => {
    const { peer, socket, owner } = await startServer({ settings: { maxConcurrentStreams: 1, resetBurst: 1e6 } });
    socket.stalled = true;
    for (let round = 0; round < 30 && !owner.closed; round++) {
      await peer.send(...Array.from({ length: 100 }, (_, at) => headersFrame((round * 100 + at) * 2 + 1, request)));
    }
    expect(owner.closed).toBe(true);
    expect(socket.writableLength).toBeLessThan(1_100 * 17);
  });

  it("isn't cut off while it reads", async () => {
    const { peer, owner } = await startServer({ settings: { maxUselessFrames: 1e6 } });
    for (let round = 0; round < 30; round++) await peer.send(...Array.from({ length: 100 }, () => pingFrame));
    expect(owner.closed).toBe(false);
    expect(peer.of(FrameType.ping)).toHaveLength(3_000);
  });

  it("isn't read from while the headers of answers pile up, and goes on once it reads (CVE-2019-9517)", async () => {
    const { peer, socket, owner } = await startServer({ settings: { maxSocketBuffer: 20_000 } });
    const answer = fieldsOf([...ok, ["x-large", "v".repeat(8_000)]]);
    owner.onStream = ({ stream }) => stream.sendHeaders(answer, true);
    socket.stalled = true;
    let asked = 0;
    for (; asked < 400; asked += 20) {
      await peer.send(
        ...Array.from({ length: 20 }, (_, at) => headersFrame((asked + at) * 2 + 1, request, Flag.endHeaders | 1)),
      );
    }
    expect(socket.paused).toBe(true);
    expect(socket.writableLength).toBeLessThan(20_000 * 4 + 2 * 20 * 8_100);
    expect(owner.streams.size).toBeLessThan(100);
    socket.release();
    await settle(60);
    expect(owner.streams.size).toBe(400);
    expect(peer.of(FrameType.headers)).toHaveLength(400);
  });

  it("leaves nothing of the streams that came and went meanwhile", async () => {
    const { peer, owner, socket } = await startServer({
      settings: { maxSocketBuffer: 400_000 },
      announced: [[Setting.initialWindowSize, 1 << 20]],
    });
    let id = 3;
    await peer.send(windowUpdateFrame(0, 1 << 20), headersFrame(1, request));
    const first = owner.streams.get(1)!.stream;
    first.sendHeaders(fieldsOf(ok), false);
    socket.stalled = true;
    for (let at = 0; at < 10; at++) first.sendData(Buffer.alloc(100_000), 0, 100_000, false);
    owner.onStream = ({ stream }) => {
      stream.sendHeaders(fieldsOf(ok), false);
      stream.sendData(Buffer.alloc(10), 0, 10, false);
      stream.dropQueue();
      stream.sendHeaders(fieldsOf([["grpc-status", "4"]]), true);
    };
    async function call(times: number) {
      for (let round = 0; round < times; round++) {
        const frames = Array.from({ length: 50 }, (_, at) => headersFrame(id + at * 2, request, Flag.endHeaders | 1));
        id += 100;
        await peer.send(...frames);
        owner.streams.clear();
        peer.frames.length = 0;
      }
    }
    await call(20);
    const before = await heapBytes();
    await call(100);
    expect(socket.paused).toBe(false);
    expect((await heapBytes()) - before).toBeLessThan(1 << 20); // 5,000 streams kept are more than 2 MB
  });
});

describe("a connection with 100 streams that can be written", () => {
  it("sends what each WINDOW_UPDATE allows and no more, until the budget is over (A8)", async () => {
    const { peer, owner } = await startServer();
    const ids = Array.from({ length: 100 }, (_, at) => at * 2 + 1);
    await peer.send(...ids.map((id) => headersFrame(id, request)));
    for (const id of ids) {
      owner.streams.get(id)!.stream.sendHeaders(fieldsOf(ok), false);
      owner.streams.get(id)!.stream.sendData(Buffer.alloc(65_536), 0, 65_536, false);
    }
    await settle();
    const sum = () => ids.reduce((bytes, id) => bytes + peer.body(id).length, 0);
    expect(sum()).toBe(65_535);
    await peer.send(...Array.from({ length: 500 }, () => windowUpdateFrame(0, 1)));
    expect(sum()).toBe(66_035);
    await peer.send(...Array.from({ length: 50_000 }, () => windowUpdateFrame(0, 1)));
    expect(peer.goaways).toEqual([calm]);
  });
});

describe("the budget of frames without use", () => {
  it.each([
    ["a download", "server" as const],
    ["an upload", "client" as const],
  ])("lets a peer send a PING for each part of %s, as grpc-go does to measure its windows", async (_, role) => {
    const settings = { maxUselessFrames: 50 };
    const under = await (role === "server" ? startServer({ settings }) : startClient({ settings }));
    const { peer, owner, connection } = under;
    if (role === "server") await peer.send(headersFrame(1, request));
    const { stream } = role === "server" ? owner.streams.get(1)! : ask(connection, false);
    if (role === "server") stream.sendHeaders(fieldsOf(ok), false);
    for (let part = 0; part < 600; part++) {
      stream.sendData(Buffer.alloc(100), 0, 100, false);
      await settle(2);
      await peer.send(pingFrame);
    }
    expect(peer.body(1).length).toBe(60_000);
    expect(owner.closed).toBe(false);
    await peer.send(...Array.from({ length: 100 }, () => pingFrame));
    expect(owner.closed).toBe(true);
  });

  it("lets it send one for each part that had to wait, too", async () => {
    const { peer, owner } = await startServer({ settings: { maxUselessFrames: 50 } });
    await peer.send(headersFrame(1, request));
    const { stream } = owner.streams.get(1)!;
    stream.sendHeaders(fieldsOf(ok), false);
    for (let part = 0; part < 300; part++) {
      stream.sendData(Buffer.alloc(16_384), 0, 16_384, false);
      await settle(2);
      await peer.send(windowUpdateFrame(0, 16_384), windowUpdateFrame(1, 16_384), pingFrame);
    }
    expect(owner.closed).toBe(false);
    expect(peer.body(1).length).toBe(300 * 16_384);
  });
});

describe("streams over their own limits", () => {
  it("are reset 200 times before the connection goes, so that a few of them harm nobody", async () => {
    const { peer, owner } = await startServer();
    const large = Array.from({ length: 130 }, (_, at) => [`x-${at}`, "v"] as const);
    const bad = Array.from({ length: 150 }, (_, at) => headersFrame(at * 2 + 1, [...request, ...large]));
    await peer.send(...bad, headersFrame(401, request), dataFrame(401, "fine", Flag.endStream));
    expect(owner.streams.get(401)!.bytes.toString()).toBe("fine");
    expect(peer.goaways).toEqual([]);
  });
});
