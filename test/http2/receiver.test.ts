import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { Receiver } from "../../src/http2/receiver.ts";
import { defaultSettings } from "../../src/http2/settings.ts";
import { encodeBlock } from "../support/hpack.ts";
import { receive, SinkRecorder } from "./frame-sink.ts";
import {
  dataFrame,
  Flag,
  FrameType,
  frame,
  goawayFrame,
  headersFrame,
  padded,
  pingFrame,
  preface,
  resetFrame,
  settingsAck,
  settingsFrame,
  uint32,
  windowUpdateFrame,
} from "./raw-peer.ts";
import { request } from "./recorder.ts";

const { protocolError, frameSizeError, compressionError, enhanceYourCalm } = ErrorCode;
const greeting = [preface, settingsFrame([])];
const block = encodeBlock(request);

/** A connection with every kind of frame in it. */
const everything = Buffer.concat([
  preface,
  settingsFrame([[3, 100]]),
  settingsAck,
  headersFrame(1, request),
  dataFrame(1, "hello"),
  dataFrame(1, ""),
  frame(FrameType.data, Flag.padded, 1, padded(Buffer.from("padded"), 7)),
  frame(FrameType.data, Flag.padded, 1, padded(Buffer.from(""), 3)),
  frame(FrameType.priority, 0, 1, Buffer.concat([uint32(3), Buffer.from([7])])),
  frame(FrameType.data, Flag.padded | Flag.endStream, 1, padded(Buffer.from("the end"), 255)),
  frame(FrameType.headers, Flag.padded | Flag.priority, 3, padded(Buffer.concat([uint32(0), Buffer.from([1])]), 4)),
  frame(FrameType.continuation, 0, 3, block.subarray(0, 10)),
  frame(FrameType.continuation, 0, 3),
  frame(FrameType.continuation, Flag.endHeaders, 3, block.subarray(10)),
  pingFrame,
  frame(FrameType.ping, Flag.ack, 0, Buffer.from("ack of 8")),
  windowUpdateFrame(0, 70_000),
  frame(77, 0xff, 0x7fff_fff1, Buffer.from("whatever")),
  resetFrame(3, 8),
  headersFrame(5, request, Flag.endHeaders | Flag.endStream),
  goawayFrame(0, 0),
]);

describe("receive()", () => {
  it("hands on every kind of frame", () => {
    expect(receive([everything])).toMatchObject({ code: undefined });
    expect(receive([everything]).lines).toMatchInlineSnapshot(`
      [
        "settings 3=100",
        "settings ack",
        "block 1 :method=POST :scheme=http :path=/a.S/M :authority=a.example",
        "data frame 1 of 5",
        "data frame 1 of 0",
        "data frame 1 of 14",
        "padding 1 of 8",
        "data frame 1 of 4",
        "padding 1 of 4",
        "data frame 1 of 263",
        "padding 1 of 256",
        "data 1 68656c6c6f70616464656474686520656e64 end",
        "block 3 :method=POST :scheme=http :path=/a.S/M :authority=a.example",
        "ping 12345678",
        "ping ack ack of 8",
        "window 0 70000",
        "reset 3 8",
        "block 5 :method=POST :scheme=http :path=/a.S/M :authority=a.example end",
        "goaway 0 0",
      ]
    `);
  });

  it("hands on the same, wherever the bytes are cut", () => {
    const whole = receive([everything]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(everything.length), { maxLength: 40 }), (cuts) => {
        expect(receive(cut(everything, cuts))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  it("hands on the same byte by byte", () => {
    expect(receive(Array.from(everything, (byte) => Buffer.from([byte])))).toEqual(receive([everything]));
  });

  it("ignores the reserved bit of a stream id", () => {
    const bytes = dataFrame(1, "x");
    bytes[5] = bytes[5]! | 0x80;
    expect(receive([...greeting, bytes]).lines).toContain("data frame 1 of 1");
  });

  it("hands on nothing more once it is stopped, not even the rest of the chunk", () => {
    const sink = new SinkRecorder();
    const receiver = new Receiver(sink, defaultSettings, true);
    sink.onPing = () => receiver.stop();
    receiver.receive(Buffer.concat([...greeting, pingFrame, resetFrame(1, 0)]));
    receiver.receive(resetFrame(3, 0));
    expect(sink.lines).toEqual(["settings "]);
  });

  it("drops the bytes of DATA that nobody wants, however they are cut", () => {
    for (const size of [1, 5, 100]) {
      const sink = new SinkRecorder();
      sink.unwanted.add(1);
      const receiver = new Receiver(sink, defaultSettings, true);
      const bytes = Buffer.concat([...greeting, dataFrame(1, "dropped"), pingFrame]);
      for (let at = 0; at < bytes.length; at += size) receiver.receive(bytes.subarray(at, at + size));
      expect(sink.lines).toEqual(["settings ", "data frame 1 of 7", "ping 12345678"]);
    }
  });

  it("keeps its table after a block that is too large (fault A9)", () => {
    const pair = ["x-new", "value"] as const;
    const literal = Buffer.concat([
      Buffer.from([0x40, 5]),
      Buffer.from(pair[0]),
      Buffer.from([5]),
      Buffer.from(pair[1]),
    ]);
    const large = Buffer.concat([literal, ...Array.from({ length: 200 }, () => Buffer.from([0x82]))]);
    const { lines } = receive([
      ...greeting,
      frame(FrameType.headers, Flag.endHeaders, 1, large),
      frame(FrameType.headers, Flag.endHeaders, 3, Buffer.from([0xbe])),
    ]);
    expect(lines).toEqual(["settings ", "block 1 too large", "block 3 x-new=value"]);
  });
});

describe("receive() ends the connection", () => {
  const long = Buffer.alloc(16_385);

  it.each<[what: string, code: number, ...frames: Buffer[]]>([
    ["for DATA above the frame size", frameSizeError, frame(FrameType.data, 0, 1, long)],
    ["for HEADERS above the frame size", frameSizeError, frame(FrameType.headers, Flag.endHeaders, 1, long)],
    ["for an unknown frame above the frame size", frameSizeError, frame(99, 0, 1, long)],
    ["for DATA on stream 0", protocolError, dataFrame(0, "x")],
    ["for DATA that is all padding", protocolError, frame(FrameType.data, Flag.padded, 1, Buffer.from([3, 0, 0]))],
    ["for padded DATA without a pad length", frameSizeError, frame(FrameType.data, Flag.padded, 1)],
    ["for HEADERS on stream 0", protocolError, headersFrame(0, request)],
    ["for padded HEADERS without a pad length", frameSizeError, frame(FrameType.headers, 0xc, 1)],
    ["for HEADERS that are all padding", protocolError, frame(FrameType.headers, 0xc, 1, Buffer.from([2, 0]))],
    ["for HEADERS whose priority is cut off", frameSizeError, frame(FrameType.headers, 0x24, 1, Buffer.alloc(4))],
    [
      "for HEADERS that depend on themselves",
      protocolError,
      frame(FrameType.headers, 0x24, 1, Buffer.from("000000010082", "hex")),
    ],
    [
      "for a block that isn't HPACK",
      compressionError,
      frame(FrameType.headers, Flag.endHeaders, 1, Buffer.from([0x80])),
    ],
    ["for CONTINUATION without HEADERS", protocolError, frame(FrameType.continuation, Flag.endHeaders, 1, block)],
    [
      "for CONTINUATION of another stream",
      protocolError,
      headersFrame(1, request, 0),
      frame(FrameType.continuation, 4, 3),
    ],
    ["for DATA inside a header block", protocolError, headersFrame(1, request, 0), dataFrame(1, "x")],
    ["for an unknown frame inside a header block", protocolError, headersFrame(1, request, 0), frame(99, 0, 1)],
    ["for PING inside a header block", protocolError, headersFrame(1, request, 0), pingFrame],
    ["for PRIORITY of 4 bytes", frameSizeError, frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
    ["for PRIORITY on stream 0", protocolError, frame(FrameType.priority, 0, 0, Buffer.alloc(5))],
    [
      "for PRIORITY that depends on itself",
      protocolError,
      frame(FrameType.priority, 0, 3, Buffer.from("0000000300", "hex")),
    ],
    ["for RST_STREAM of 3 bytes", frameSizeError, frame(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
    ["for RST_STREAM on stream 0", protocolError, resetFrame(0, 8)],
    ["for SETTINGS of 5 bytes", frameSizeError, frame(FrameType.settings, 0, 0, Buffer.alloc(5))],
    ["for SETTINGS on a stream", protocolError, frame(FrameType.settings, 0, 1)],
    ["for a SETTINGS ack with a payload", frameSizeError, frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))],
    ["for PING of 7 bytes", frameSizeError, frame(FrameType.ping, 0, 0, Buffer.alloc(7))],
    ["for PING on a stream", protocolError, frame(FrameType.ping, 0, 1, Buffer.alloc(8))],
    ["for GOAWAY of 7 bytes", frameSizeError, frame(FrameType.goaway, 0, 0, Buffer.alloc(7))],
    ["for GOAWAY on a stream", protocolError, frame(FrameType.goaway, 0, 1, Buffer.alloc(8))],
    ["for WINDOW_UPDATE of 3 bytes", frameSizeError, frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))],
    ["for PUSH_PROMISE", protocolError, frame(FrameType.pushPromise, Flag.endHeaders, 1, Buffer.alloc(4))],
  ])("%s", (_, code, ...frames) => {
    expect(receive([...greeting, ...frames]).code).toBe(code);
  });

  it.each([
    ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a preface with one wrong byte", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\0", "latin1")],
  ])("for %s in place of the preface", (_, bytes) => {
    expect(receive([bytes]).code).toBe(protocolError);
  });

  it.each([
    ["HEADERS", headersFrame(1, request)],
    ["DATA", dataFrame(1, "x")],
    ["PING", pingFrame],
    ["a SETTINGS ack", settingsAck],
    ["an unknown frame", frame(99, 0, 0)],
  ])("for %s before SETTINGS, in both roles", (_, bytes) => {
    expect(receive([preface, bytes]).code).toBe(protocolError);
    expect(receive([bytes], { role: "client" }).code).toBe(protocolError);
  });

  it("at the CONTINUATION frame above the limit (fault A4)", () => {
    const open = headersFrame(1, request, 0);
    const more = Array.from({ length: 8 }, () => frame(FrameType.continuation, 0, 1));
    expect(receive([...greeting, open, ...more]).code).toBeUndefined();
    expect(receive([...greeting, open, ...more, ...more.slice(0, 1)]).code).toBe(enhanceYourCalm);
  });

  it("at the SETTINGS frame with an entry above the limit (fault A6)", () => {
    const entries = (count: number) => Array.from({ length: count }, (_, id) => [id + 100, 1] as const);
    expect(receive([...greeting, settingsFrame(entries(32))]).code).toBeUndefined();
    expect(receive([...greeting, settingsFrame(entries(33))]).code).toBe(enhanceYourCalm);
  });

  it.each([
    ["empty DATA", dataFrame(1, "")],
    ["DATA that is padding alone", frame(FrameType.data, Flag.padded, 1, padded(Buffer.alloc(0), 9))],
    ["PRIORITY", frame(FrameType.priority, 0, 1, Buffer.alloc(5))],
    ["unknown frames", frame(99, 0, 0)],
    ["WINDOW_UPDATE of 1", windowUpdateFrame(0, 1)],
    ["PING", pingFrame],
    ["acks of PING", frame(FrameType.ping, Flag.ack, 0, Buffer.alloc(8))],
    ["SETTINGS", settingsFrame([])],
    ["acks of SETTINGS", settingsAck],
  ])("for %s beyond the budget of useless frames (fault A6)", (_, bytes) => {
    const flood = Array.from({ length: 60 }, () => bytes);
    expect(receive([...greeting, headersFrame(1, request), ...flood]).code).toBeUndefined();
    expect(receive([...greeting, headersFrame(1, request), ...flood], { maxUselessFrames: 50 }).code).toBe(
      enhanceYourCalm,
    );
  });

  it("not for useless frames that come with as many useful ones", () => {
    const mixed = Array.from({ length: 200 }, () => [dataFrame(1, ""), dataFrame(1, "x")]).flat();
    expect(receive([...greeting, headersFrame(1, request), ...mixed], { maxUselessFrames: 50 }).code).toBeUndefined();
  });
});

describe("a receiver of random bytes", () => {
  it("throws a ConnectionError or nothing", () => {
    const type = fc.integer({ min: 0, max: 10 });
    const anyFrame = fc
      .tuple(type, fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 40 }))
      .map(([kind, flags, id, payload]) => frame(kind, flags, id, Buffer.from(payload)));
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 20 }), (frames) => {
        receive([...greeting, ...frames]);
        receive([Buffer.concat([...greeting, ...frames])]);
      }),
      { numRuns: 1_000 },
    );
  });
});

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...[...at].sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((stop, index) => bytes.subarray(places[index], stop));
}
