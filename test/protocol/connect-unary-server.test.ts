import { brotliCompressSync, gzipSync } from "node:zlib";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ConnectUnaryServer,
  requestFromConnectUnary,
  type UnaryRequest,
} from "../../src/protocol/connect-unary-server.ts";
import { parseConnectGet } from "../../src/wire/connect-get.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { fieldsOf, type Pairs, pairsOf, stacked, valueIn } from "../support/memory-stream.ts";

const limit = 4 << 20;
const head: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
  ["x-a", "1"],
];
const ok: Pairs = [
  ["grpc-status", "0"],
  ["x-b", "2"],
];

function server(changes: Partial<UnaryRequest> = {}) {
  const request = { codec: "proto", get: undefined, contentLength: -1, compressed: false, acceptEncoding: undefined };
  return stacked(new ConnectUnaryServer({ ...request, ...changes }));
}

describe("requestFromConnectUnary()", () => {
  const fields: Pairs = [
    [":method", "POST"],
    [":path", "/a.B/C"],
    ["content-type", "application/proto"],
    ["content-length", "7"],
    ["content-encoding", "gzip"],
    ["accept-encoding", "gzip;q=1.0, br;q=0.5, deflate;q=0, *"],
    ["connect-protocol-version", "1"],
    ["connect-timeout-ms", "100"],
    ["accept", "*/*"],
    ["user-agent", "x"],
    ["x-a", "1"],
  ];

  it("makes headers of gRPC of those of HTTP", () => {
    expect(pairsOf(requestFromConnectUnary(fieldsOf(fields), "proto", undefined))).toEqual([
      [":method", "POST"],
      [":path", "/a.B/C"],
      ["user-agent", "x"],
      ["x-a", "1"],
      ["content-type", "application/grpc+proto"],
      ["grpc-encoding", "gzip"],
      ["grpc-accept-encoding", "gzip,br"],
    ]);
  });

  it("takes a GET's encoding from its query", () => {
    const get = parseConnectGet("connect=v1&encoding=json&compression=br&message=x")!;
    const pairs = pairsOf(requestFromConnectUnary(fieldsOf(fields.slice(0, 2)), "json", get));
    expect(pairs).toContainEqual(["grpc-encoding", "br"]);
  });

  it("says nothing of encodings where there are none", () => {
    const identity = fieldsOf([
      ["content-encoding", "identity"],
      ["accept-encoding", "*"],
    ]);
    expect(pairsOf(requestFromConnectUnary(identity, "json", undefined))).toEqual([
      ["content-type", "application/grpc+json"],
    ]);
  });
});

describe("the request", () => {
  it("becomes one envelope, however it is split, and all credit is given", () => {
    const splits = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 900 }),
        splits,
        fc.boolean(),
        fc.boolean(),
        (body, lengths, known, compressed) => {
          const { below, above } = server({ contentLength: known ? body.length : -1, compressed });
          below.split(body, lengths, true);
          const flags = compressed && body.length > 0 ? 1 : 0;
          expect(above.body).toEqual(Buffer.from(envelope(flags, body)));
          expect(above.ended).toBe(true);
          expect(below.credited).toBe(body.length);
        },
      ),
    );
  });

  it("goes on as it comes where its length is known, with credit for what is taken", () => {
    const { layer, below, above } = server({ contentLength: 100_000_000 });
    above.stream = undefined;
    below.data(Buffer.alloc(10));
    expect(above.body).toHaveLength(15);
    expect(above.ended).toBe(false);
    layer.consume(5);
    expect(below.credited).toBe(0);
    layer.consume(4);
    expect(below.credited).toBe(4);
  });

  it("without a known length is held up to 4 MiB (fault B1)", () => {
    const { below, above } = server();
    for (let i = 0; i < 4; i++) below.data(Buffer.alloc(1 << 20));
    expect(above.refused).toBeUndefined();
    expect(below.credited).toBe(limit);
    below.data(Buffer.alloc(1));
    expect(above.refused).toMatchObject({
      code: Code.ResourceExhausted,
      rawMessage: `message of ${limit + 1} bytes, at most ${limit}`,
    });
    expect(above.body).toHaveLength(0);
  });

  it("that no envelope can hold is refused", () => {
    const { below, above } = server({ contentLength: 2 ** 32 });
    below.data(Buffer.alloc(1));
    expect(above.refused).toMatchObject({ code: Code.ResourceExhausted });
  });

  it("of a GET is in its query; a body is none", () => {
    const get = parseConnectGet("connect=v1&encoding=proto&base64=1&message=AQID&compression=gzip");
    const { layer, below, above } = server({ get });
    layer.begin();
    expect(above).toMatchObject({ body: Buffer.from(envelope(1, Uint8Array.of(1, 2, 3))), ended: true });
    below.data(Buffer.from("body"), true);
    expect(above.body).toHaveLength(8);
    expect(below.credited).toBe(4);
  });

  it.each(["connect=v1&encoding=proto", "connect=v1&encoding=proto&base64=1&message=***"])(
    "of a GET without a message that can be read is refused: %s",
    (query) => {
      const { layer, above } = server({ get: parseConnectGet(query) });
      layer.begin();
      expect(above.refused).toMatchObject({ code: Code.InvalidArgument });
    },
  );

  it("that ends in trailers is whole", () => {
    const { below, above } = server();
    below.data(Buffer.from("x"));
    below.trailers([]);
    expect(above).toMatchObject({ body: Buffer.from(envelope(0, Buffer.from("x"))), ended: true });
  });

  it("that goes on behind its answer is passed on to be dropped, with its own credit", () => {
    const { layer, below, above } = server({ contentLength: 1_000 });
    above.stream = undefined;
    below.data(Buffer.alloc(100));
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "3"]]), true);
    layer.consume(105);
    below.data(Buffer.alloc(50));
    layer.consume(50);
    expect(below.credited).toBe(150);
  });
});

describe("the answer", () => {
  it("is one message, its trailers among the headers, however it is split", () => {
    const splits = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 900 }), splits, (payload, lengths) => {
        const { layer, below } = server();
        layer.sendHeaders(fieldsOf([[":status", "103"]]), false);
        layer.sendHeaders(fieldsOf([...head, ["content-length", "1"]]), false);
        const bytes = envelope(0, payload);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const stop = Math.min(bytes.length, at + lengths[i % lengths.length]!);
          expect(layer.sendData(bytes, at, stop, false)).toBe(true);
          at = stop;
        }
        expect(below.heads).toEqual([]);
        layer.sendHeaders(fieldsOf(ok), true);
        expect(below.heads).toEqual([
          {
            fields: [
              [":status", "200"],
              ["content-length", String(payload.length)],
              ["content-type", "application/proto"],
              ["x-a", "1"],
              ["trailer-x-b", "2"],
            ],
            end: false,
          },
        ]);
        expect(below.body).toEqual(Buffer.from(payload));
        expect(below.localEnded).toBe(true);
      }),
    );
  });

  function answer(reply: Uint8Array, changes: Partial<UnaryRequest> & { encoding?: string } = {}) {
    const { encoding, ...request } = changes;
    const stage = server(request);
    const fields: Pairs = encoding === undefined ? head : [...head, ["grpc-encoding", encoding]];
    stage.layer.sendHeaders(fieldsOf(fields), false);
    stage.layer.sendData(reply, 0, reply.length, false);
    stage.layer.sendHeaders(fieldsOf(ok), true);
    return stage.below;
  }

  it("stays compressed as the caller has asked for it", () => {
    const payload = gzipSync("hello");
    const below = answer(envelope(1, payload), { encoding: "gzip", acceptEncoding: "br, gzip;q=0.5" });
    expect(valueIn(below.heads[0]!.fields, "content-encoding")).toBe("gzip");
    expect(below.body).toEqual(payload);
  });

  it("stays in an encoding that isn't known here", () => {
    const below = answer(envelope(1, Buffer.from("?")), { encoding: "snappy-x", acceptEncoding: "snappy-x" });
    expect(valueIn(below.heads[0]!.fields, "content-encoding")).toBe("snappy-x");
  });

  it.each([undefined, "identity", "br", "gzip;q=0"])("is decompressed for Accept-Encoding: %s", (acceptEncoding) => {
    const below = answer(envelope(1, gzipSync("hello")), { encoding: "gzip", acceptEncoding });
    expect(valueIn(below.heads[0]!.fields, "content-encoding")).toBeUndefined();
    expect(valueIn(below.heads[0]!.fields, "content-length")).toBe("5");
    expect(below.body.toString()).toBe("hello");
  });

  it.each([
    ["a bomb (fault B3)", envelope(1, brotliCompressSync(Buffer.alloc(limit + 1))), "br", "resource_exhausted", "429"],
    ["not in its encoding", envelope(1, Buffer.from("hello")), "gzip", "internal", "500"],
    ["compressed, in no encoding (fault B4)", envelope(1, Buffer.from("hello")), "identity", "internal", "500"],
    ["of unknown flags (fault B4)", envelope(0x7e, Buffer.from("hello")), "gzip", "internal", "500"],
    [
      "two messages (fault B4)",
      Buffer.concat([envelope(0, Buffer.alloc(3)), envelope(0, Buffer.alloc(0))]),
      "",
      "unimplemented",
      "501",
    ],
    ["no message", Buffer.alloc(0), "", "unimplemented", "501"],
    ["cut off in a prefix", Buffer.alloc(4), "", "unimplemented", "501"],
    ["shorter than its prefix says", envelope(0, Buffer.alloc(9)).subarray(0, 8), "", "unimplemented", "501"],
  ])("is an error where the reply is %s", (_what, reply, encoding, code, status) => {
    const below = answer(reply, { encoding });
    expect(valueIn(below.heads[0]!.fields, ":status")).toBe(status);
    expect(JSON.parse(below.body.toString())).toMatchObject({ code });
  });

  it.each([
    [1, "canceled", "499"],
    [5, "not_found", "404"],
    [16, "unauthenticated", "401"],
    [99, "unknown", "500"],
  ])("of status %i is an error in JSON, %s, with HTTP %s", (status, code, http) => {
    const { layer, below } = server();
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(envelope(0, Buffer.from("lost")), 0, 9, false);
    layer.sendHeaders(
      fieldsOf([
        ["grpc-status", String(status)],
        ["grpc-message", "50%25 %0d%0aoff"],
        ["grpc-status-details-bin", "CAU"],
        ["x-b", "2"],
      ]),
      true,
    );
    const { fields } = below.heads[0]!;
    const expected = { code, message: "50% \r\noff" };
    expect(JSON.parse(below.body.toString())).toEqual(expected);
    expect(fields).toEqual([
      [":status", http],
      ["content-length", String(below.body.length)],
      ["content-type", "application/json"],
      ["x-a", "1"],
      ["trailer-x-b", "2"],
    ]);
  });

  it("of an error with details of code 0 is an error all the same (fault B8)", () => {
    const { layer, below } = server();
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "13"], ["grpc-status-details-bin", "CAA"]]), true);
    expect(JSON.parse(below.body.toString())).toMatchObject({ code: "internal" });
  });

  it("of a message over the limit is refused at its prefix (fault B1)", () => {
    const { layer, below, above } = server();
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(Uint8Array.of(0, 4, 0, 0, 0), 0, 5, false);
    expect(above.refused).toMatchObject({
      code: Code.ResourceExhausted,
      rawMessage: `message of ${64 << 20} bytes, at most ${limit}`,
    });
    layer.sendHeaders(fieldsOf([["grpc-status", "8"]]), true); // what comes of that
    expect(below.heads[0]!.fields[0]).toEqual([":status", "429"]);
  });

  it("of too many bytes in no order is refused", () => {
    const { layer, above } = server();
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(Buffer.alloc(3), 0, 3, false);
    const piece = Buffer.alloc(1 << 20);
    for (let i = 0; i < 5; i++) layer.sendData(piece, 0, piece.length, false);
    expect(above.refused).toMatchObject({ code: Code.ResourceExhausted });
  });

  it("is written once", () => {
    const { layer, below } = server();
    layer.sendHeaders(fieldsOf([...head, ["grpc-status", "3"]]), true);
    layer.sendHeaders(fieldsOf(ok), true);
    layer.sendData(Buffer.alloc(5), 0, 5, false);
    expect(below.heads).toHaveLength(1);
  });

  it("in full takes the place of what was dropped for it", () => {
    const { layer, below } = server();
    layer.sendHeaders(fieldsOf(head), false);
    layer.sendData(envelope(0, Buffer.from("reply")), 0, 10, false);
    layer.dropQueue();
    layer.sendHeaders(fieldsOf([["grpc-status", "4"]]), true);
    expect(below.heads[0]!.fields[0]).toEqual([":status", "504"]);
  });
});
