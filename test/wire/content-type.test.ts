import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseContentType } from "../../src/wire/content-type.ts";

describe("parseContentType()", () => {
  it.each([
    ["application/grpc", "proto"],
    ["application/grpc+proto", "proto"],
    ["application/grpc+json", "json"],
    ["application/grpc+", "proto"],
    ["application/grpc+flatbuffers", "flatbuffers"],
    ["Application/GRPC+Proto", "proto"],
    ["application/grpc;charset=utf-8", "proto"],
    ["application/grpc+json ; charset=utf-8", "json"],
  ])("takes %j for gRPC with codec %s", (value, codec) => {
    expect(parseContentType(value)).toEqual({ protocol: "grpc", codec });
  });

  it.each([
    undefined,
    "",
    "text/plain",
    "application/json",
    "application/grpcx",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/connect+proto",
    "x application/grpc",
  ])("takes %j for nothing we carry", (value) => {
    expect(parseContentType(value)).toBeUndefined();
  });

  it("takes every codec as it is", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9.+-]{1,20}$/), (codec) => {
        expect(parseContentType(`application/grpc+${codec}`)).toEqual({ protocol: "grpc", codec });
      }),
    );
  });
});
