import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
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
  settingsFrame,
  startClient,
  startServer,
  type Under,
  windowUpdateFrame,
} from "./raw-peer.ts";
import { fieldsOf, ok, request } from "./recorder.ts";

const { protocolError, cancel, noError } = ErrorCode;

let open: Under[] = [];

/** Every connection must be closed under the clock that it was opened under: they share a timer. */
function track(under: Under): Under {
  open.push(under);
  return under;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
});

afterEach(async () => {
  for (const { connection } of open) connection.destroy();
  open = [];
  await vi.advanceTimersByTimeAsync(2_000);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settle();
}

describe("the preface (fault D1)", () => {
  it.each([
    ["nothing", []],
    ["a part of the preface", [preface.subarray(0, 20)]],
    ["a preface without SETTINGS", [preface]],
    ["a part of SETTINGS", [preface, settingsFrame([[1, 1]]).subarray(0, 12)]],
  ])("must have come in 10 s: %s", async (_, parts) => {
    const { peer, owner } = track(await startServer({ greet: false }));
    if (parts.length > 0) await peer.send(...parts);
    await pass(9_500);
    expect(owner.closed).toBe(false);
    await pass(1_500);
    expect(peer.goaways).toEqual([{ last: 0, code: protocolError }]);
    expect(owner.closed).toBe(true);
  });

  it("is enough once it is there", async () => {
    const { owner } = track(await startServer());
    await pass(60_000);
    expect(owner.closed).toBe(false);
  });
});

describe("a header block (fault D1)", () => {
  it.each([
    ["a header block without its end", [headersFrame(1, request, 0)]],
    ["half a HEADERS frame", [headersFrame(1, request).subarray(0, 30)]],
    ["half a frame header", [headersFrame(1, request).subarray(0, 5)]],
    [
      "half a CONTINUATION frame",
      [headersFrame(1, request, 0), frame(FrameType.continuation, 4, 1, Buffer.alloc(50)).subarray(0, 20)],
    ],
  ])("must be whole in 30 s: %s", async (_, parts) => {
    const { peer, owner } = track(await startServer());
    await peer.send(...parts);
    await pass(29_500);
    expect(owner.closed).toBe(false);
    await pass(1_500);
    expect(peer.goaways).toEqual([{ last: 0, code: protocolError }]);
  });

  it("may not be stretched byte by byte", async () => {
    const { peer, owner } = track(await startServer());
    const bytes = headersFrame(1, [...request, ["x-long", "v".repeat(100)]]);
    for (let at = 0; at < 70 && !owner.closed; at++) {
      await peer.send(bytes.subarray(at, at + 1));
      await pass(1_000);
    }
    expect(owner.closed).toBe(true);
  });

  it("has its 30 s from its own first byte, not from the last frame's", async () => {
    const { peer, owner } = track(await startServer());
    await peer.send(Buffer.concat([pingFrame, pingFrame.subarray(0, 5)]));
    await pass(20_000);
    await peer.send(Buffer.concat([pingFrame.subarray(5), pingFrame.subarray(0, 3)]));
    await pass(20_000);
    expect(owner.closed).toBe(false);
    await peer.send(pingFrame.subarray(3));
    await pass(60_000);
    expect(owner.closed).toBe(false);
  });
});

describe("an idle stream", () => {
  it("is reset after 5 minutes, its connection and its siblings are not", async () => {
    const { peer, owner } = track(await startServer());
    await peer.send(headersFrame(1, request), headersFrame(3, request));
    for (let at = 0; at < 8; at++) {
      await pass(60_000);
      await peer.send(dataFrame(3, "x"));
    }
    expect(peer.resets(1)).toEqual([cancel]);
    expect(owner.streams.get(1)!.events.at(-1)).toBe(`reset ${cancel} idle`);
    expect(owner.streams.get(3)!.events).toHaveLength(1);
    expect(owner.closed).toBe(false);
  });

  it("is one where nothing is sent either: DATA of ours counts", async () => {
    const { peer, owner } = track(await startServer());
    await peer.send(headersFrame(1, request));
    const { stream } = owner.streams.get(1)!;
    stream.sendHeaders(fieldsOf(ok), false);
    for (let at = 0; at < 8; at++) {
      await pass(60_000);
      await peer.send(pingFrame); // a connection reads the clock when something comes
      stream.sendData(Buffer.from("x"), 0, 1, false);
      await settle();
    }
    expect(peer.resets(1)).toEqual([]);
  });

  it("isn't one whose DATA leaves bit by bit as the socket takes it", async () => {
    const { peer, owner, socket } = track(
      await startServer({ settings: { maxSocketBuffer: 20_000 }, announced: [[4, 1 << 20]] }),
    );
    await peer.send(headersFrame(1, request), windowUpdateFrame(0, 1 << 24));
    const { stream } = owner.streams.get(1)!;
    stream.sendHeaders(fieldsOf(ok), false);
    socket.stalled = true;
    for (let at = 0; at < 20; at++) stream.sendData(Buffer.alloc(16_384), 0, 16_384, at === 19);
    for (let at = 0; at < 8; at++) {
      await pass(60_000);
      socket.release();
      await settle(1);
      socket.stalled = true;
    }
    expect(peer.resets(1)).toEqual([]);
    socket.release();
    await settle(100);
    expect(peer.body(1).length).toBe(20 * 16_384);
  });

  it("isn't told twice, nor told at all when one before it has reset it", async () => {
    const { connection, peer } = track(await startClient());
    const [first, second] = [ask(connection), ask(connection)];
    first.onReset = () => second.stream.reset(cancel);
    await pass(400_000);
    expect(second.events).toEqual([]);
    expect(peer.resets(3)).toEqual([cancel]);
  });

  it("may be idle for ever with a time of 0", async () => {
    const { peer, owner } = track(await startServer({ settings: { streamIdleTimeoutMs: 0 } }));
    await peer.send(headersFrame(1, request));
    await pass(3_000_000);
    expect(owner.streams.get(1)!.events).toHaveLength(1);
  });
});

describe("a connection without streams", () => {
  it("is closed in order after an hour, counted from its last stream", async () => {
    const { peer, owner } = track(await startServer());
    owner.onStream = ({ stream }) => stream.sendHeaders(fieldsOf(ok), true);
    await pass(3_000_000);
    await peer.send(headersFrame(1, request, Flag.endHeaders | Flag.endStream));
    await pass(3_500_000);
    expect(owner.closed).toBe(false);
    await pass(200_000);
    expect(peer.goaways).toEqual([{ last: 1, code: noError }]);
    expect(owner.error).toBeUndefined();
    expect(owner.closed).toBe(true);
  });
});

describe("keepalive (fault E3)", () => {
  const settings = { keepaliveIntervalMs: 1_000, keepaliveTimeoutMs: 1_000 };
  const pings = ({ peer }: Under) => peer.of(FrameType.ping).length;

  async function answerPings(under: Under): Promise<void> {
    const ping = under.peer.of(FrameType.ping).at(-1)!;
    await under.peer.send(frame(FrameType.ping, Flag.ack, 0, ping.payload));
  }

  it("sends no PING without streams", async () => {
    const under = track(await startClient({ settings }));
    await pass(10_000);
    expect(pings(under)).toBe(0);
  });

  it("sends one each interval while a stream is open, as long as it is answered", async () => {
    const under = track(await startClient({ settings }));
    ask(under.connection);
    for (let at = 1; at <= 10; at++) {
      await pass(1_000);
      expect(pings(under)).toBe(at);
      await answerPings(under);
    }
    expect(under.owner.closed).toBe(false);
  });

  it("finds a peer that is gone within interval and timeout of its last ack", async () => {
    const under = track(await startClient({ settings }));
    const recorder = ask(under.connection);
    await pass(1_000);
    await answerPings(under);
    await pass(2_000);
    expect(recorder.events).toEqual([`reset ${ErrorCode.internalError} connection`]);
    expect(under.owner.error?.message).toContain("1000 ms");
    expect(under.socket.destroyed).toBe(true);
  });

  it("takes anything that comes for a sign of life", async () => {
    const under = track(await startClient({ settings }));
    ask(under.connection);
    for (let at = 0; at < 30; at++) {
      await pass(500);
      await under.peer.send(windowUpdateFrame(0, 1_000));
    }
    expect(under.owner.closed).toBe(false);
  });
});

describe("the budgets that time refills", () => {
  it("let PINGs go on for as long as a call does", async () => {
    const { peer, owner } = track(await startServer({ settings: { maxUselessFrames: 100, streamIdleTimeoutMs: 0 } }));
    await peer.send(headersFrame(1, request));
    for (let at = 0; at < 300; at++) {
      await pass(10_000);
      await peer.send(pingFrame);
    }
    expect(owner.closed).toBe(false);
  });

  it("let a client cancel 20 calls a second for ever", async () => {
    const { peer, owner } = track(await startServer());
    for (let second = 0; second < 30; second++) {
      await pass(1_000);
      const ids = Array.from({ length: 20 }, (_, at) => (second * 20 + at) * 2 + 1);
      await peer.send(
        ...ids.flatMap((id) => [
          headersFrame(id, request),
          frame(FrameType.rstStream, 0, id, Buffer.from([0, 0, 0, 8])),
        ]),
      );
    }
    expect(owner.closed).toBe(false);
    expect(owner.streams.size).toBe(600);
  });
});
