import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseContentType } from "../../src/wire/content-type.ts";

describe("parseContentType()", () => {
  it.each([
    ["application/grpc", "grpc", "proto"],
    ["application/grpc+proto", "grpc", "proto"],
    ["application/grpc+json", "grpc", "json"],
    ["application/grpc+", "grpc", "proto"],
    ["application/grpc+flatbuffers", "grpc", "flatbuffers"],
    ["Application/GRPC+Proto", "grpc", "proto"],
    ["application/grpc;charset=utf-8", "grpc", "proto"],
    ["application/grpc+json ; charset=utf-8", "grpc", "json"],
    ["application/grpc-web", "grpc_web", "proto"],
    ["application/grpc-web+proto", "grpc_web", "proto"],
    ["application/grpc-web+json", "grpc_web", "json"],
    ["application/grpc-web-text", "grpc_web_text", "proto"],
    ["application/grpc-web-text+proto", "grpc_web_text", "proto"],
    ["application/connect+proto", "connect_stream", "proto"],
    ["application/connect+json; charset=utf-8", "connect_stream", "json"],
    ["application/proto", "connect_unary", "proto"],
    ["application/json", "connect_unary", "json"],
    ["application/JSON; charset=utf-8", "connect_unary", "json"],
    ["application/x-protobuf", "connect_unary", "x-protobuf"],
  ])("takes %j for %s with codec %s", (value, framing, codec) => {
    expect(parseContentType(value)).toEqual({ framing, codec });
  });

  it.each([
    undefined,
    "",
    "text/plain",
    "application/",
    "application/connect",
    "application/connect+",
    "application/ld+json",
    "application/a/b",
    "x application/grpc",
    "multipart/form-data; boundary=application/grpc",
  ])("takes %j for nothing we carry", (value) => {
    expect(parseContentType(value)).toBeUndefined();
  });

  it("takes every codec as it is", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9.+-]{1,20}$/), (codec) => {
        expect(parseContentType(`application/grpc+${codec}`)).toEqual({ framing: "grpc", codec });
      }),
    );
  });
});
