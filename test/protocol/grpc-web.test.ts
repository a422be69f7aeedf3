import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import {
  GrpcWebClient,
  GrpcWebServer,
  GrpcWebTextServer,
  requestFromGrpcWeb,
  requestToGrpcWeb,
} from "../../src/protocol/grpc-web.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, pairsOf, sendSplit, stacked } from "../support/memory-stream.ts";

const message = envelope(0, Buffer.from("message"));
const head: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
  ["x-a", "1"],
];
const webHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc-web+proto"],
  ["x-a", "1"],
];
const trailers: Pairs = [
  ["grpc-status", "0"],
  ["x-b", "2"],
];
const frame = envelope(0x80, Buffer.from("grpc-status: 0\r\nx-b: 2\r\n"));
const splits = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

describe("requestFromGrpcWeb()", () => {
  it("changes the content type and leaves out what is about gRPC-Web", () => {
    const fields = requestFromGrpcWeb(
      fieldsOf([
        [":method", "POST"],
        [":path", "/a.B/C"],
        ["content-type", "application/grpc-web-text+json; charset=utf-8"],
        ["accept", "application/grpc-web-text"],
        ["accept-encoding", "gzip"],
        ["content-length", "12"],
        ["x-grpc-web", "1"],
        ["x-user-agent", "grpc-web-javascript/0.1"],
        ["grpc-timeout", "1S"],
        ["grpc-accept-encoding", "gzip"],
        ["x-a", "1"],
        ["x-a", "2"],
        ["x-bin", "AAE"],
      ]),
    );
    expect(pairsOf(fields)).toEqual([
      [":method", "POST"],
      [":path", "/a.B/C"],
      ["content-type", "application/grpc+json"],
      ["grpc-timeout", "1S"],
      ["grpc-accept-encoding", "gzip"],
      ["x-a", "1"],
      ["x-a", "2"],
      ["x-bin", "AAE"],
    ]);
  });
});

describe("requestToGrpcWeb()", () => {
  it("changes the content type and leaves out what is about HTTP/2", () => {
    const fields = requestToGrpcWeb(
      fieldsOf([
        [":path", "/a.B/C"],
        ["content-type", "application/grpc"],
        ["content-length", "5"],
        ["te", "trailers"],
        ["grpc-timeout", "1S"],
        ["x-a", "1"],
      ]),
    );
    expect(pairsOf(fields)).toEqual([
      [":path", "/a.B/C"],
      ["content-type", "application/grpc-web"],
      ["grpc-timeout", "1S"],
      ["x-a", "1"],
      ["x-grpc-web", "1"],
    ]);
  });
});

describe("GrpcWebServer", () => {
  it("writes the trailers as the last frame of the body", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf([...head, ["content-length", "12"]]), false);
    expect(below.heads).toEqual([{ fields: webHead, end: false }]);
    layer.sendData(message, 0, message.length, false);
    layer.sendHeaders(fieldsOf(trailers), true);
    expect(below.body).toEqual(Buffer.concat([message, frame]));
    expect(below.localEnded).toBe(true);
    expect(below.heads).toHaveLength(1);
  });

  it("leaves the status of a Trailers-Only response in the headers", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "5"]]), true);
    expect(below.heads).toEqual([{ fields: [...webHead, ["grpc-status", "5"]], end: true }]);
    expect(below.body).toHaveLength(0);
  });

  it("never writes an empty frame", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendHeaders([], true);
    expect(below).toMatchObject({ localEnded: true, body: Buffer.alloc(0) });
  });

  it("keeps what could end a line encoded (fault B8)", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendHeaders(
      fieldsOf([
        ["grpc-status", "13"],
        ["grpc-message", "%0d%0aset-cookie:x 50% off"],
        ["x-split", "a\r\nb: c"],
      ]),
      true,
    );
    const text = below.body.subarray(5).toString("latin1");
    expect(text).toBe("grpc-status: 13\r\ngrpc-message: %0d%0aset-cookie:x 50% off\r\n");
  });

  it("takes a request's trailers for its end", () => {
    const { below, above } = stacked(new GrpcWebServer());
    below.data(message);
    below.trailers([["x", "1"]]);
    expect(above).toMatchObject({ ended: true, trailers: undefined });
  });

  it("tells of sent bytes that were given to it, and of no others", () => {
    const { layer, below, above } = stacked(new GrpcWebServer());
    below.window = 0;
    expect(layer.sendData(message, 0, message.length, false)).toBe(false);
    layer.sendHeaders(fieldsOf(trailers), true);
    below.open(5);
    expect(above.sent).toBe(5);
    below.open(1_000);
    expect(above.sent).toBe(message.length);
    expect(below.body).toEqual(Buffer.concat([message, frame]));
  });

  it("resets in place of a status where a message was cut off: it would be read as its rest (fault B5)", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length - 1, false);
    layer.sendHeaders(fieldsOf([["grpc-status", "14"]]), true);
    expect(below.resetWith).toBe(ErrorCode.internalError);
    expect(below.body).toEqual(Buffer.from(message.subarray(0, -1)));
  });

  it("resets where messages that waited were dropped for the status", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    below.window = 3;
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length, false);
    layer.dropQueue();
    layer.sendHeaders(fieldsOf([["grpc-status", "4"]]), true);
    expect(below.resetWith).toBe(ErrorCode.internalError);
  });

  it("sends the status where nothing waited", () => {
    const { layer, below } = stacked(new GrpcWebServer());
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length, false);
    layer.dropQueue();
    layer.sendHeaders(fieldsOf([["grpc-status", "4"]]), true);
    expect(below.body).toEqual(Buffer.concat([message, envelope(0x80, Buffer.from("grpc-status: 4\r\n"))]));
  });
});

describe("GrpcWebTextServer", () => {
  it("decodes a request in any pieces, and gives all of its credit, never more than came", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }), splits, (parts, lengths) => {
        const { below, above } = stacked(new GrpcWebTextServer(undefined));
        const text = Buffer.from(parts.map((part) => Buffer.from(part).toString("base64")).join(""));
        below.split(text, lengths, true);
        expect(above.body).toEqual(Buffer.concat(parts));
        expect(above.ended).toBe(true);
        expect(below.credited).toBe(text.length);
      }),
    );
  });

  it("holds credit back as long as what it decoded isn't taken", () => {
    const { layer, below, above } = stacked(new GrpcWebTextServer(undefined));
    above.stream = undefined;
    below.data(Buffer.from("AAAA"));
    below.data(Buffer.from("AAA"));
    layer.consume(2);
    expect(below.credited).toBe(0);
    layer.consume(1);
    expect(below.credited).toBe(7);
  });

  it("answers in text, each piece so that it can be read by itself", () => {
    const { layer, below } = stacked(new GrpcWebTextServer(undefined));
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length, false);
    expect(below.body.toString()).toBe(Buffer.from(message).toString("base64"));
    layer.sendHeaders(fieldsOf(trailers), true);
    expect(below.heads[0]!.fields).toContainEqual(["content-type", "application/grpc-web-text+proto"]);
    expect(below.body.toString()).toBe(Buffer.from(message).toString("base64") + Buffer.from(frame).toString("base64"));
  });

  it.each([
    [undefined, "application/grpc-web-text+proto"],
    ["*/*", "application/grpc-web-text+proto"],
    ["application/grpc-web-text", "application/grpc-web-text+proto"],
    ["application/grpc-web, application/grpc-web-text", "application/grpc-web-text+proto"],
    ["application/grpc-web+proto", "application/grpc-web+proto"],
  ])("answers Accept %s in %s", (accept, type) => {
    const { layer, below } = stacked(new GrpcWebTextServer(accept));
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length, false);
    expect(below.heads[0]!.fields).toContainEqual(["content-type", type]);
    const expected = type.includes("text")
      ? Buffer.from(Buffer.from(message).toString("base64"))
      : Buffer.from(message);
    expect(below.body).toEqual(expected);
  });

  it("counts what it was given as sent when the text of it has left", () => {
    const { layer, below, above } = stacked(new GrpcWebTextServer(undefined));
    below.window = 4;
    expect(layer.sendData(message, 0, message.length, false)).toBe(false);
    below.open(11);
    expect(above.sent).toBe(0);
    below.open(100);
    expect(above.sent).toBe(message.length);
  });

  it.each(["A*AA", "A", "AAA", "AA=A", "===="])("answers %j, which isn't base64, with HTTP 400", (text) => {
    const { layer, below, above } = stacked(new GrpcWebTextServer(undefined));
    below.data(Buffer.from(text), true);
    expect(below.heads).toEqual([
      {
        fields: [
          [":status", "400"],
          ["content-length", "0"],
        ],
        end: true,
      },
    ]);
    expect(above.reset).toEqual({ code: ErrorCode.protocolError, cause: "malformed" });
    layer.sendHeaders(fieldsOf(head), true);
    expect(below.heads).toHaveLength(1);
  });

  it("resets a response that has begun where the rest of the request isn't base64", () => {
    const { layer, below, above } = stacked(new GrpcWebTextServer("application/grpc-web"));
    layer.sendHeaders(fieldsOf([[":status", "103"]]), false);
    layer.sendHeaders(fieldsOf(head), false);
    below.data(Buffer.from("?"));
    expect(below.resetWith).toBe(ErrorCode.protocolError);
    expect(above.reset?.cause).toBe("malformed");
    below.closed = false;
    below.data(Buffer.from("more"));
    expect(above.body).toHaveLength(0);
  });
});

describe("GrpcWebClient", () => {
  function answered(body: Uint8Array, lengths: readonly number[] = [body.length], end = true) {
    const stage = stacked(new GrpcWebClient());
    stage.below.head(webHead);
    stage.below.split(body, lengths, end);
    return stage;
  }

  it("reads messages and trailers, however the body is split, and gives all credit back", () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 });
    fc.assert(
      fc.property(payloads, splits, fc.boolean(), (messages, lengths, separate) => {
        const body = Buffer.concat([...messages.map((payload) => envelope(1, payload)), frame]);
        const { below, above } = answered(body, lengths, !separate);
        if (separate) below.data(Buffer.alloc(0), true);
        expect(above.heads).toEqual([{ fields: head, end: false }]);
        expect(above.body).toEqual(body.subarray(0, -frame.length));
        expect(above.trailers).toEqual(trailers);
        expect(below.credited).toBe(body.length);
      }),
    );
  });

  it("gives credit for messages only as they are taken", () => {
    const stage = stacked(new GrpcWebClient());
    stage.above.stream = undefined;
    stage.below.head(webHead);
    stage.below.data(Buffer.concat([message, message.subarray(0, 3)]));
    expect(stage.below.credited).toBe(0);
    stage.layer.consume(message.length);
    expect(stage.below.credited).toBe(message.length);
  });

  it("gives credit for a last frame before it is whole: it may be larger than a window", () => {
    const last = envelope(0x80, Buffer.from(`grpc-status: 0\r\nx-long: ${"x".repeat(60_000)}\r\n`));
    const { below } = answered(last.subarray(0, 50_000), [1_000], false);
    expect(below.credited).toBe(50_000);
  });

  it("ignores what comes behind the last frame, but gives credit for it", () => {
    const { below, above } = answered(Buffer.concat([frame, Buffer.alloc(90_000)]), [1_000]);
    expect(above.trailers).toEqual(trailers);
    expect(above.body).toHaveLength(0);
    expect(below.credited).toBe(frame.length + 90_000);
  });

  it("takes a status in the headers for the whole response", () => {
    const withBody = stacked(new GrpcWebClient());
    withBody.below.head([...webHead, ["grpc-status", "5"], ["content-length", "0"]]);
    expect(withBody.above.heads).toEqual([]);
    withBody.below.data(Buffer.alloc(0), true);
    expect(withBody.above.heads).toEqual([{ fields: [...head, ["grpc-status", "5"]], end: true }]);
    const without = stacked(new GrpcWebClient());
    without.below.head([...webHead, ["grpc-status", "5"]], true);
    expect(without.above.heads).toEqual([{ fields: [...head, ["grpc-status", "5"]], end: true }]);
  });

  it.each([
    ["compressed", "gzip", envelope(0x81, gzipSync("grpc-status: 3\r\n"))],
    ["empty, though said to be compressed", "gzip", envelope(0x81, Buffer.alloc(0))],
    [
      "of lines with LF alone, upper case and spaces",
      "identity",
      envelope(0x80, Buffer.from("Grpc-Status :\t3 \nX-A:1")),
    ],
  ])("reads a last frame that is %s", (what, encoding, last) => {
    const { below, above } = stacked(new GrpcWebClient());
    below.head([...webHead, ["grpc-encoding", encoding]]);
    below.data(last, true);
    if (what.startsWith("empty")) expect(above.trailers).toEqual([]);
    else expect(above.trailers?.[0]).toEqual(["grpc-status", "3"]);
  });

  it.each([
    ["compressed, in no encoding", "identity", envelope(0x81, Buffer.from("grpc-status: 0\r\n"))],
    ["in an encoding that isn't known", "foo", envelope(0x81, Buffer.from("grpc-status: 0\r\n"))],
    ["not in its encoding", "gzip", envelope(0x81, Buffer.from("grpc-status: 0\r\n"))],
    ["a bomb", "gzip", envelope(0x81, gzipSync(Buffer.alloc(1 << 20)))],
    ["no fields", "gzip", envelope(0x80, Buffer.from("grpc-status\r\n"))],
    ["announced as too large", "gzip", Uint8Array.of(0x80, 0, 1, 0, 1)],
  ])("is a malformed response where the last frame is %s (faults B1, B4)", (_what, encoding, last) => {
    const { below, above } = stacked(new GrpcWebClient());
    below.head([...webHead, ["grpc-encoding", encoding]]);
    below.data(Buffer.concat([message, last]));
    expect(above.body).toEqual(Buffer.from(message));
    expect(above.reset).toEqual({ code: ErrorCode.internalError, cause: "malformed" });
    expect(below.resetWith).toBe(ErrorCode.cancel);
    expect(above.ended).toBe(false);
  });

  it.each([
    ["without a last frame", message],
    ["in a message", message.subarray(0, 8)],
    ["in a prefix", message.subarray(0, 3)],
    ["in the last frame", frame.subarray(0, 12)],
    ["at once", Buffer.alloc(0)],
  ])("tells of an end %s as an end without trailers (fault B5)", (_what, body) => {
    const { above } = answered(body);
    expect(above).toMatchObject({ ended: true, trailers: undefined, reset: undefined });
  });

  it("takes HTTP's own trailers for the end of the body", () => {
    const { below, above } = answered(frame, [frame.length], false);
    below.trailers([["grpc-status", "7"]]);
    expect(above.trailers).toEqual(trailers);
  });

  it("passes a reset, and interim responses", () => {
    const { below, above } = stacked(new GrpcWebClient());
    below.head([[":status", "103"]]);
    expect(above.heads).toEqual([{ fields: [[":status", "103"]], end: false }]);
    below.cut(ErrorCode.refusedStream, "unprocessed");
    expect(above.reset).toEqual({ code: ErrorCode.refusedStream, cause: "unprocessed" });
  });

  it("sends no trailers, but ends", () => {
    const { layer, below } = stacked(new GrpcWebClient());
    sendSplit(layer, message, [4]);
    layer.sendHeaders(fieldsOf([["x", "1"]]), true);
    expect(below).toMatchObject({ heads: [], localEnded: true, body: Buffer.from(message) });
  });
});
