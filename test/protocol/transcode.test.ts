import { gzipSync } from "node:zlib";
import { create, createRegistry, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { requestInProto, TranscodeLayer } from "../../src/protocol/transcode.ts";
import type { MethodSchema } from "../../src/schema/schema.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, pairsOf, stacked } from "../support/memory-stream.ts";

const method: MethodSchema = {
  path: "/a.B/C",
  input: StringValueSchema,
  output: StringValueSchema,
  kind: "bidi_streaming",
  idempotent: false,
  types: createRegistry(),
};

const head: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
];

const proto = (value: string) => toBinary(StringValueSchema, create(StringValueSchema, { value }));
const json = (value: string) => Buffer.from(toJsonString(StringValueSchema, create(StringValueSchema, { value })));
const splits = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
const texts = fc.array(fc.string({ maxLength: 40 }), { maxLength: 4 });

function translating(encoding?: string) {
  return stacked(new TranscodeLayer(method, encoding));
}

describe("requestInProto()", () => {
  it("changes the content type, and leaves out how the caller compresses", () => {
    const fields = requestInProto(
      fieldsOf([
        ["content-type", "application/grpc+json"],
        ["grpc-encoding", "gzip"],
        ["grpc-accept-encoding", "gzip"],
        ["content-length", "3"],
        ["x-a", "1"],
      ]),
    );
    expect(pairsOf(fields)).toEqual([
      ["content-type", "application/grpc+proto"],
      ["x-a", "1"],
    ]);
  });
});

describe("TranscodeLayer", () => {
  it("turns a request in JSON into protobuf, however it is split, and gives all credit", () => {
    fc.assert(
      fc.property(texts, splits, fc.boolean(), (values, lengths, compressed) => {
        const { below, above } = translating("gzip");
        const body = Buffer.concat(
          values.map((value) => (compressed ? envelope(1, gzipSync(json(value))) : envelope(0, json(value)))),
        );
        below.split(body, lengths, true);
        expect(above.body).toEqual(Buffer.concat(values.map((value) => envelope(0, proto(value)))));
        expect(above.ended).toBe(true);
        expect(below.credited).toBe(body.length);
      }),
    );
  });

  it("turns a response in protobuf into JSON, however it is split and whatever the window", () => {
    fc.assert(
      fc.property(texts, splits, fc.nat(100), fc.boolean(), (values, lengths, window, compressed) => {
        const { layer, below, above } = translating();
        below.window = window;
        layer.sendHeaders(fieldsOf([...head, ["grpc-encoding", "gzip"]]), false);
        const body = Buffer.concat(
          values.map((value) => (compressed ? envelope(1, gzipSync(proto(value))) : envelope(0, proto(value)))),
        );
        let left = 0;
        for (let at = 0, i = 0; at < body.length; i++) {
          const stop = Math.min(body.length, at + lengths[i % lengths.length]!);
          if (layer.sendData(body, at, stop, false)) left += stop - at;
          at = stop;
        }
        below.open(10_000);
        layer.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
        expect(below.heads).toEqual([
          { fields: [head[0], ["content-type", "application/grpc+json"]], end: false },
          { fields: [["grpc-status", "0"]], end: true },
        ]);
        expect(below.body).toEqual(Buffer.concat(values.map((value) => envelope(0, json(value)))));
        expect(left + above.sent).toBe(body.length);
      }),
    );
  });

  it("gives no credit while much waits for the upstream", () => {
    const { layer, below, above } = translating();
    above.stream = undefined;
    below.data(envelope(0, json("x".repeat(70_000))));
    expect(below.credited).toBe(0);
    layer.consume(10_000);
    expect(below.credited).toBe(70_007);
  });

  it("lets a message be larger than a window: its parts have credit before it is whole", () => {
    const { below, above } = translating();
    const body = envelope(0, json("x".repeat(1_000_000)));
    below.split(body, [10_000]);
    expect(below.credited).toBe(body.length);
    expect(above.body).toHaveLength(proto("x".repeat(1_000_000)).length + 5);
  });

  it.each([
    ["that isn't JSON", envelope(0, Buffer.from("{")), Code.InvalidArgument],
    ["over the limit (fault B1)", Uint8Array.of(0, 4, 0, 0, 0), Code.ResourceExhausted],
    ["that is a bomb (fault B3)", envelope(1, gzipSync(json("x".repeat(5 << 20)))), Code.ResourceExhausted],
    ["compressed, but not in its encoding", envelope(1, json("x")), Code.InvalidArgument],
    ["of unknown flags (fault B4)", envelope(0x7e, json("x")), Code.Internal],
  ])("refuses a message of the caller's %s", (_what, message, code) => {
    const { below, above } = translating("gzip");
    below.data(Buffer.concat([envelope(0, json("first")), message]));
    expect(above.refused).toMatchObject({ code });
    below.data(envelope(0, json("x")), true);
    expect(below.credited).toBeLessThanOrEqual(below.given);
  });

  it("refuses a request that ends in a message (fault B4)", () => {
    const { below, above } = translating();
    below.data(envelope(0, json("first")).subarray(0, 8), true);
    expect(above.refused).toMatchObject({ code: Code.InvalidArgument });
  });

  it.each([
    ["that isn't protobuf", envelope(0, Buffer.from("{")), Code.Internal],
    ["compressed, in no encoding", envelope(1, proto("x")), Code.Internal],
    ["over the limit", Uint8Array.of(0, 4, 0, 0, 0), Code.ResourceExhausted],
  ])("fails for a message of the upstream's %s, behind those before it", (_what, message, code) => {
    const { layer, below, above } = translating();
    layer.sendHeaders(fieldsOf(head), false);
    const body = Buffer.concat([envelope(0, proto("first")), message]);
    layer.sendData(body, 0, body.length, false);
    expect(above.refused).toMatchObject({ code });
    expect(below.body).toEqual(Buffer.from(envelope(0, json("first"))));
  });

  it("passes a Trailers-Only response", () => {
    const { layer, below } = translating();
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "5"]]), true);
    expect(below.heads).toEqual([
      { fields: [head[0], ["content-type", "application/grpc+json"], ["grpc-status", "5"]], end: true },
    ]);
  });

  it("writes what its own reader reads", () => {
    const { below, above } = translating();
    below.data(envelope(0, json("grüße")), true);
    expect(fromBinary(StringValueSchema, above.body.subarray(5)).value).toBe("grüße");
  });
});
