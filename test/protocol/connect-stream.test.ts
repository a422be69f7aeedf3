import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import {
  ConnectStreamClient,
  ConnectStreamServer,
  requestFromConnectStream,
  requestToConnectStream,
} from "../../src/protocol/connect-stream.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, pairsOf, stacked } from "../support/memory-stream.ts";

const message = envelope(0, Buffer.from("message"));
const head: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
  ["grpc-encoding", "gzip"],
  ["grpc-accept-encoding", "gzip,br"],
  ["x-a", "1"],
];
const connectHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/connect+proto"],
  ["connect-content-encoding", "gzip"],
  ["connect-accept-encoding", "gzip,br"],
  ["x-a", "1"],
];

function end(json: unknown): Uint8Array {
  return envelope(2, Buffer.from(JSON.stringify(json)));
}

describe("requestFromConnectStream()", () => {
  it("gives encodings their names in gRPC, and leaves out what is Connect's", () => {
    const fields = requestFromConnectStream(
      fieldsOf([
        [":method", "POST"],
        [":path", "/a.B/C"],
        ["content-type", "application/connect+json"],
        ["content-length", "5"],
        ["connect-protocol-version", "1"],
        ["connect-timeout-ms", "500"],
        ["connect-content-encoding", "br"],
        ["connect-accept-encoding", "br,gzip"],
        ["accept-encoding", "deflate"],
        ["grpc-status", "0"],
        ["x-a", "1"],
        ["x-a", "2"],
      ]),
      "json",
    );
    expect(pairsOf(fields)).toEqual([
      [":method", "POST"],
      [":path", "/a.B/C"],
      ["content-type", "application/grpc+json"],
      ["grpc-encoding", "br"],
      ["grpc-accept-encoding", "br,gzip"],
      ["x-a", "1"],
      ["x-a", "2"],
    ]);
  });
});

describe("requestToConnectStream()", () => {
  it("gives encodings and the deadline their names in Connect", () => {
    const fields = requestToConnectStream(
      fieldsOf([
        [":path", "/a.B/C"],
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        ["grpc-timeout", "1500u"],
        ["grpc-encoding", "br"],
        ["grpc-accept-encoding", "snappy,br"], // snappy, in which the end of a stream couldn't be read here
        ["x-a-bin", "AAE"],
      ]),
      "proto",
    );
    expect(pairsOf(fields)).toEqual([
      [":path", "/a.B/C"],
      ["content-type", "application/connect+proto"],
      ["connect-content-encoding", "br"],
      ["connect-accept-encoding", "br"],
      ["x-a-bin", "AAE"],
      ["connect-protocol-version", "1"],
      ["connect-timeout-ms", "1"],
    ]);
  });
});

describe("ConnectStreamServer", () => {
  it("writes the trailers as the end of the stream", () => {
    const { layer, below } = stacked(new ConnectStreamServer("proto"));
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, message.length, false);
    layer.sendHeaders(
      fieldsOf([
        ["grpc-status", "0"],
        ["x-b", "2"],
        ["x-b", "3"],
      ]),
      true,
    );
    expect(below.heads).toEqual([{ fields: connectHead, end: false }]);
    expect(below.body).toEqual(Buffer.concat([message, end({ metadata: { "x-b": ["2", "3"] } })]));
    expect(below.localEnded).toBe(true);
  });

  it("answers an error at once with HTTP 200, its metadata in the headers", () => {
    const { layer, below } = stacked(new ConnectStreamServer("proto"));
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "5"], ["grpc-message", "50%25 off"]]), true);
    expect(below.heads).toEqual([{ fields: connectHead, end: false }]);
    expect(below.body).toEqual(Buffer.from(end({ error: { code: "not_found", message: "50% off" } })));
  });

  it("takes a request's trailers for its end", () => {
    const { below, above } = stacked(new ConnectStreamServer("proto"));
    below.data(message);
    below.trailers([["x", "1"]]);
    expect(above).toMatchObject({ ended: true, trailers: undefined });
  });

  it("resets in place of an end where a message was cut off (fault B5)", () => {
    const { layer, below } = stacked(new ConnectStreamServer("proto"));
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(message, 0, 7, false);
    layer.sendHeaders(fieldsOf([["grpc-status", "14"]]), true);
    expect(below.resetWith).toBe(ErrorCode.internalError);
  });
});

describe("ConnectStreamClient", () => {
  function called(goesOn = true) {
    const kinds: string[] = [];
    const layer = new ConnectStreamClient({
      onRightKind: () => kinds.push("right"),
      onWrongKind: () => {
        kinds.push("wrong");
        return goesOn;
      },
    });
    return { ...stacked(layer), kinds };
  }

  it("reads messages and the end of the stream, however the body is split, and gives all credit back", () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 });
    const splits = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(payloads, splits, fc.boolean(), (messages, lengths, compressed) => {
        const json = Buffer.from(JSON.stringify({ metadata: { "x-b": ["2"] } }));
        const last = compressed ? envelope(3, gzipSync(json)) : envelope(2, json);
        const body = Buffer.concat([...messages.map((payload) => envelope(1, payload)), last]);
        const { below, above, kinds } = called();
        below.head(connectHead);
        below.split(body, lengths, true);
        expect(above.heads).toEqual([{ fields: head, end: false }]);
        expect(above.body).toEqual(body.subarray(0, -last.length));
        expect(above.trailers).toEqual([
          ["grpc-status", "0"],
          ["x-b", "2"],
        ]);
        expect(below.credited).toBe(body.length);
        expect(kinds).toEqual(["right"]);
      }),
    );
  });

  it("reads an error with its details", () => {
    const { below, above } = called();
    below.head(connectHead);
    below.data(message);
    const details = [{ type: "google.rpc.RetryInfo", value: "CgIIAQ" }];
    below.data(end({ error: { code: "unavailable", message: "50% off", details } }), true);
    expect(above.trailers?.slice(0, 2)).toEqual([
      ["grpc-status", "14"],
      ["grpc-message", "50%25 off"],
    ]);
    expect(above.trailers?.[2]?.[0]).toBe("grpc-status-details-bin");
  });

  it("gives credit for an end that is larger than a window before it is whole", () => {
    const { below, above } = called();
    const last = end({ error: { code: "internal", message: "x".repeat(200_000) } });
    below.head(connectHead);
    below.split(last.subarray(0, 150_000), [1_000]);
    expect(below.credited).toBe(150_000);
    below.split(last.subarray(150_000), [1_000], true);
    expect(above.trailers?.[0]).toEqual(["grpc-status", "13"]);
  });

  it.each([
    ["in no known encoding", envelope(3, Buffer.from("{}"))],
    ["of more than 4 MiB", Uint8Array.of(2, 0, 0x40, 0, 1)],
  ])("is a malformed response where the end is %s", (_what, last) => {
    const { below, above } = called();
    below.head([
      [":status", "200"],
      ["content-type", "application/connect+proto"],
    ]);
    below.data(last);
    expect(above.reset).toEqual({ code: ErrorCode.internalError, cause: "malformed" });
    expect(below.resetWith).toBe(ErrorCode.cancel);
  });

  it("is an internal error where the end isn't JSON", () => {
    const { below, above } = called();
    below.head(connectHead);
    below.data(envelope(2, Buffer.from("<html>")), true);
    expect(above.trailers?.[0]).toEqual(["grpc-status", "13"]);
  });

  it.each([
    ["without an end", message],
    ["in a message", message.subarray(0, 8)],
    ["in its end", end({}).subarray(0, 6)],
  ])("tells of a stream cut off %s as an end without trailers (fault B5)", (_what, body) => {
    const { below, above } = called();
    below.head(connectHead);
    below.data(body, true);
    expect(above).toMatchObject({ ended: true, trailers: undefined, reset: undefined });
  });

  it("asks what to do where the method is no stream", () => {
    const { below, above, kinds } = called(true);
    below.head([[":status", "415"]]);
    expect(kinds).toEqual(["wrong"]);
    expect(above.heads).toEqual([]);
  });

  it("passes 415 where that is the answer", () => {
    const { below, above } = called(false);
    below.head([[":status", "415"]], true);
    expect(above.heads).toEqual([{ fields: [[":status", "415"]], end: true }]);
  });

  it.each([
    ["text/html", "text/html"],
    ["application/grpc", "application/octet-stream"],
    ["application/proto", "application/proto"],
  ])("doesn't let another server's %s look like gRPC (fault B7)", (type, shown) => {
    const { below, above, kinds } = called();
    below.head([
      [":status", "200"],
      ["content-type", type],
    ]);
    expect(above.heads[0]!.fields).toContainEqual(["content-type", shown]);
    expect(kinds).toEqual([]);
  });

  it("says in which codec the answer really is", () => {
    const { below, above } = called();
    below.head([
      [":status", "200"],
      ["content-type", "application/connect+json; charset=utf-8"],
    ]);
    expect(above.heads[0]!.fields).toContainEqual(["content-type", "application/grpc+json"]);
  });
});
