import { brotliCompressSync, gzipSync } from "node:zlib";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompress } from "../../src/compress/compress.ts";
import { Field } from "../../src/http2/field.ts";
import { bodyStatus, statusOfHead } from "../../src/wire/body-status.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { type RpcStatus, statusOfFields } from "../../src/wire/rpc-status.ts";

const head = (...more: [name: string, value: string][]) =>
  [[":status", "200"] as const, ...more].map(([name, value]) => new Field(name, value));
const typed = (type: string, ...more: [string, string][]) => head(["content-type", type], ...more);
const failed = (http: number, ...more: [string, string][]) => [
  new Field(":status", String(http)),
  new Field("content-type", "application/json"),
  ...more.map(([name, value]) => new Field(name, value)),
];
const message = envelope(0, Buffer.alloc(3000, 0x80));
const webEnd = Buffer.from("grpc-status: 5\r\ngrpc-message: no%20one\r\n");
const connectEnd = Buffer.from('{"error":{"code":"not_found","message":"no one"}}');
const noOne: RpcStatus = { code: Code.NotFound, message: "no one", details: [] };

/** The status that is read of a body, which comes in pieces of a size. */
function read(fields: readonly Field[], body: Uint8Array, size = body.length): RpcStatus | undefined {
  const reader = bodyStatus(fields, decompress);
  for (let at = 0; at < body.length; at += size) reader?.push(body, at, Math.min(body.length, at + size));
  return reader && statusOfFields(reader.end());
}

describe("bodyStatus()", () => {
  const cases: [what: string, fields: readonly Field[], body: Uint8Array][] = [
    ["gRPC-Web", typed("application/grpc-web+proto"), Buffer.concat([message, envelope(0x80, webEnd)])],
    [
      "gRPC-Web, compressed",
      typed("application/grpc-web+proto", ["grpc-encoding", "gzip"]),
      Buffer.concat([message, envelope(0x81, gzipSync(webEnd))]),
    ],
    [
      "gRPC-Web text, padded in the middle",
      typed("application/grpc-web-text+proto"),
      Buffer.from(
        Buffer.from(message).toString("base64") + Buffer.from(envelope(0x80, webEnd)).toString("base64"),
        "latin1",
      ),
    ],
    ["a Connect stream", typed("application/connect+json"), Buffer.concat([message, envelope(2, connectEnd)])],
    [
      "a Connect stream, compressed",
      typed("application/connect+proto", ["connect-content-encoding", "br"]),
      Buffer.concat([message, envelope(3, brotliCompressSync(connectEnd))]),
    ],
    ["unary Connect", failed(404), Buffer.from('{"code":"not_found","message":"no one"}')],
    [
      "unary Connect, compressed",
      failed(404, ["content-encoding", "gzip"]),
      gzipSync('{"code":"not_found","message":"no one"}'),
    ],
  ];

  it.each(cases)("reads the status of %s, in pieces of any size", (_what, fields, body) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: body.length }), (size) => {
        expect(read(fields, body, size)).toEqual(noOne);
      }),
      { examples: [[1], [body.length]], numRuns: 20 },
    );
  });

  it("takes the end that says nothing for success in Connect", () => {
    expect(read(typed("application/connect+proto"), envelope(2, Buffer.from("{}")))).toMatchObject({ code: 0 });
  });

  it.each([
    ["no end", "application/grpc-web", message],
    ["half an end", "application/grpc-web", envelope(0x80, webEnd).subarray(0, 20)],
    ["nothing", "application/connect+proto", new Uint8Array()],
  ])("says internal of a stream with %s", (_what, type, body) => {
    expect(read(typed(type), body)).toMatchObject({
      code: Code.Internal,
      message: "the stream had no status at its end",
    });
  });

  it.each([
    ["without a status", "application/grpc-web", envelope(0x80, Buffer.from("x: 1\r\n"))],
    ["that is no block of trailers", "application/grpc-web", envelope(0x80, Buffer.from("hello"))],
    ["in an encoding that isn't known", "application/grpc-web", envelope(0x81, webEnd)],
    ["that inflates to more than 64 KiB", "application/grpc-web", envelope(0x81, gzipSync(Buffer.alloc(1 << 20)))],
    ["of more than 64 KiB", "application/connect+proto", envelope(2, Buffer.alloc((64 << 10) + 1, " "))],
  ])("says unknown of a stream with an end %s", (_what, type, body) => {
    const fields = typed(type, ["grpc-encoding", body.length > 100 ? "gzip" : "rot13"]);
    expect(read(fields, body)).toMatchObject({
      code: Code.Unknown,
      message: "the stream had an end that can't be read",
    });
  });

  it("counts HTTP's status where an error's JSON can't be read, or is too large", () => {
    const unavailable = { code: Code.Unavailable, message: "upstream answered with HTTP 503" };
    const large = JSON.stringify({ code: "not_found", message: "x".repeat(64 << 10) });
    expect(read(failed(503), Buffer.from("<html>"))).toMatchObject(unavailable);
    expect(read(failed(503), Buffer.from(large), 1000)).toMatchObject(unavailable);
    expect(read(failed(503, ["content-encoding", "gzip"]), Buffer.from("no gzip"))).toMatchObject(unavailable);
  });

  it.each([
    ["gRPC", typed("application/grpc+proto")],
    ["unary Connect's success", typed("application/json")],
    ["another server's page", typed("text/html")],
    ["a type that only begins alike", typed("application/grpc-webs")],
    ["a stream in an encoding of HTTP's", typed("application/connect+proto", ["content-encoding", "gzip"])],
    ["an error without JSON", [new Field(":status", "404"), new Field("content-type", "text/plain")]],
  ])("doesn't look into %s", (_what, fields) => {
    expect(bodyStatus(fields, decompress)).toBeUndefined();
  });
});

describe("statusOfHead()", () => {
  it.each([
    [typed("application/json"), 0, ""],
    [typed("text/html"), Code.Unknown, 'upstream answered with HTTP 200 and content-type "text/html"'],
    [head(), Code.Unknown, "upstream answered with HTTP 200 and no content-type"],
    [failed(404), Code.Unimplemented, "upstream answered with HTTP 404"],
    [failed(302), Code.Unknown, "upstream answered with HTTP 302"],
  ])("%#", (fields, code, text) => {
    expect(statusOfFields(statusOfHead(fields))).toEqual({ code, message: text, details: [] });
  });
});
