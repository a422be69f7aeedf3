import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { ConnectUnaryClient, requestToConnectUnary } from "../../src/protocol/connect-unary-client.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, pairsOf, sendSplit, stacked, valueIn } from "../support/memory-stream.ts";

const limit = 4 << 20;
const head: Pairs = [
  [":status", "200"],
  ["content-type", "application/proto"],
  ["x-a", "1"],
  ["trailer-x-b", "2"],
];
const grpcHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
  ["x-a", "1"],
];

function called(goesOn = true) {
  const kinds: string[] = [];
  const layer = new ConnectUnaryClient("proto", {
    onRightKind: () => kinds.push("right"),
    onWrongKind: () => {
      kinds.push("wrong");
      return goesOn;
    },
  });
  return { ...stacked(layer), kinds };
}

describe("requestToConnectUnary()", () => {
  const fields: Pairs = [
    [":path", "/a.B/C"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["grpc-encoding", "gzip"],
    ["grpc-accept-encoding", "gzip,br"],
    ["grpc-timeout", "2S"],
    ["x-a", "1"],
  ];

  it("makes headers of HTTP of those of gRPC", () => {
    expect(pairsOf(requestToConnectUnary(fieldsOf(fields), "proto", true))).toEqual([
      [":path", "/a.B/C"],
      ["content-type", "application/proto"],
      ["content-encoding", "gzip"],
      ["accept-encoding", "gzip,br"],
      ["x-a", "1"],
      ["connect-protocol-version", "1"],
      ["connect-timeout-ms", "2000"],
    ]);
  });

  it("names no encoding that the message isn't in", () => {
    const pairs = pairsOf(requestToConnectUnary(fieldsOf(fields), "proto", false));
    expect(valueIn(pairs, "content-encoding")).toBeUndefined();
  });
});

describe("the request", () => {
  const splits = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });

  it("is the payload of its envelope, and prefix and payload count as sent, whatever the window", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 900 }), splits, fc.nat(1_000), (payload, lengths, window) => {
        const { layer, below, above } = called();
        below.window = window;
        const bytes = Buffer.from(envelope(1, payload));
        let left = 0;
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const stop = Math.min(bytes.length, at + lengths[i % lengths.length]!);
          if (layer.sendData(bytes, at, stop, stop === bytes.length)) left += stop - at;
          at = stop;
        }
        for (let i = 0; i < 10; i++) below.open(100);
        expect(below.body).toEqual(Buffer.from(payload));
        expect(below.localEnded).toBe(true);
        expect(left + above.sent).toBe(bytes.length);
      }),
    );
  });

  it("ends in one frame with its last byte", () => {
    const { layer, below } = called();
    const ends: boolean[] = [];
    const { sendData } = below;
    below.sendData = (bytes, start, stop, end) => {
      ends.push(end);
      return sendData.call(below, bytes, start, stop, end);
    };
    const bytes = envelope(0, Buffer.from("abc"));
    layer.sendData(bytes, 0, bytes.length, true);
    expect(ends).toEqual([true]);
  });

  it("ends without trailers", () => {
    const { layer, below } = called();
    sendSplit(layer, envelope(0, Buffer.from("abc")), [3]);
    layer.sendHeaders(fieldsOf([["x", "1"]]), true);
    expect(below).toMatchObject({ heads: [], localEnded: true, body: Buffer.from("abc") });
  });

  it("never is two messages in one", () => {
    const { layer, below } = called();
    const two = Buffer.concat([envelope(0, Buffer.from("one")), envelope(0, Buffer.from("two"))]);
    layer.sendData(two, 0, two.length, true);
    expect(below.body.toString()).toBe("one");
  });
});

describe("the answer", () => {
  it("becomes an envelope and trailers, however it is split, with credit as it comes", () => {
    const splits = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 900 }), splits, fc.boolean(), (payload, lengths, separate) => {
        const { below, above, kinds } = called();
        above.stream = undefined;
        below.head(head);
        below.split(payload, lengths, !separate);
        if (separate) below.trailers([]);
        expect(above.heads).toEqual([{ fields: grpcHead, end: false }]);
        expect(above.body).toEqual(Buffer.from(envelope(0, payload)));
        expect(above.trailers).toEqual([
          ["grpc-status", "0"],
          ["x-b", "2"],
        ]);
        expect(below.credited).toBe(payload.length);
        expect(kinds).toEqual(["right"]);
      }),
    );
  });

  it("stays compressed", () => {
    const { below, above } = called();
    const body = gzipSync("hello");
    below.head([...head, ["content-encoding", "gzip"]]);
    below.data(body, true);
    expect(above.heads[0]!.fields).toContainEqual(["grpc-encoding", "gzip"]);
    expect(above.body).toEqual(Buffer.from(envelope(1, body)));
  });

  it("without a body is an empty message", () => {
    const { below, above } = called();
    below.head([...head, ["content-encoding", "gzip"]], true);
    expect(above).toMatchObject({ body: Buffer.from(envelope(0, Buffer.alloc(0))), ended: true });
    expect(valueIn(above.heads[0]!.fields, "grpc-encoding")).toBeUndefined();
  });

  const error = Buffer.from(JSON.stringify({ code: "not_found", message: "50% off" }));
  it.each([
    ["as it is", "identity", error],
    ["compressed", "gzip", gzipSync(error)],
  ])("that is an error in JSON, %s, is a Trailers-Only response", (_what, encoding, body) => {
    const { below, above, kinds } = called();
    below.head([
      [":status", "404"],
      ["content-type", "application/json"],
      ["content-encoding", encoding],
      ["x-a", "1"],
      ["trailer-x-b", "2"],
    ]);
    below.data(body, true);
    expect(above.heads).toEqual([
      { fields: [...grpcHead, ["grpc-status", "5"], ["grpc-message", "50%25 off"], ["x-b", "2"]], end: true },
    ]);
    expect(kinds).toEqual([]);
  });

  it.each([
    ["503", "14"],
    ["404", "12"],
    ["401", "16"],
    ["302", "2"],
  ])("of HTTP %s without such an error is status %s", (http, status) => {
    const { below, above } = called();
    below.head([
      [":status", http],
      ["content-encoding", "foo"],
    ]);
    below.data(Buffer.from("<html>"), true);
    expect(valueIn(above.heads[0]!.fields, "grpc-status")).toBe(status);
  });

  it.each([
    ["text/html", "text/html"],
    ["application/json", "application/json"],
    ["application/grpc+proto", "application/octet-stream"],
  ])("of HTTP 200 in %s isn't Connect's, and doesn't look like gRPC (fault B7)", (type, shown) => {
    const { below, above, kinds } = called();
    below.head([
      [":status", "200"],
      ["content-type", type],
    ]);
    below.data(Buffer.from("x"), true);
    expect(above.heads).toEqual([
      {
        fields: [
          [":status", "200"],
          ["content-type", shown],
        ],
        end: false,
      },
    ]);
    expect(above.body).toHaveLength(0);
    expect(kinds).toEqual([]);
  });

  it("over the limit is an error at its content-length (fault B1)", () => {
    const { below, above } = called();
    below.head([...head, ["content-length", String(64 << 20)]]);
    expect(valueIn(above.heads[0]!.fields, "grpc-status")).toBe("8");
    expect(above.heads[0]!.end).toBe(true);
    expect(below.resetWith).toBe(ErrorCode.cancel);
  });

  it("over the limit without a content-length is an error as soon as it is", () => {
    const { below, above } = called();
    below.head(head);
    for (let i = 0; i < 4; i++) below.data(Buffer.alloc(1 << 20));
    expect(above.heads).toEqual([]);
    below.data(Buffer.alloc(1));
    expect(above.heads[0]!.fields).toContainEqual(["grpc-message", `message of ${limit + 1} bytes, at most ${limit}`]);
    expect(below.resetWith).toBe(ErrorCode.cancel);
  });

  it("that is cut off is nothing but that (fault B5)", () => {
    const { below, above } = called();
    below.head(head);
    below.data(Buffer.from("half"));
    below.cut(ErrorCode.internalError, "connection");
    expect(above).toMatchObject({ heads: [], reset: { cause: "connection" } });
  });

  it("of 415 is asked about", () => {
    const { below, above, kinds } = called(true);
    below.head([[":status", "103"]]);
    below.head([[":status", "415"]]);
    below.data(Buffer.from("x"), true);
    below.trailers([]);
    expect(kinds).toEqual(["wrong"]);
    expect(above).toMatchObject({ heads: [], ended: false });
  });

  it("of 415 is passed where that is the answer", () => {
    const { below, above } = called(false);
    below.head([[":status", "415"]], true);
    expect(valueIn(above.heads[0]!.fields, "grpc-status")).toBe("2");
  });
});
