import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { checkResponse, checkTrailers } from "../src/http2/message.ts";
import { statusFields } from "../src/refuse.ts";

const linesOf = (...args: Parameters<typeof statusFields>) =>
  statusFields(...args).map(({ name, value }) => `${name}=${value}`);

describe("statusFields()", () => {
  it("is Trailers-Only with a content type, and trailers without", () => {
    const error = new ConnectError("gone", Code.NotFound);
    expect(linesOf(error, "application/grpc+json")).toEqual([
      ":status=200",
      "content-type=application/grpc+json",
      "grpc-status=5",
      "grpc-message=gone",
    ]);
    expect(linesOf(error)).toEqual(["grpc-status=5", "grpc-message=gone"]);
  });

  it.each([
    ["50% off", "50%25 off"],
    ["a\r\nset-cookie: x", "a%0D%0Aset-cookie: x"],
    ["ä", "%C3%A4"],
    ["half a \ud83d", "half a %EF%BF%BD"],
    ["", ""],
  ])("encodes message %j", (message, value) => {
    expect(linesOf(new ConnectError(message, Code.Unknown))).toContain(`grpc-message=${value}`);
  });

  it("has the error's details, its message well-formed there too", () => {
    const error = new ConnectError("\udfff", Code.Aborted, undefined, [
      { desc: StringValueSchema, value: create(StringValueSchema, { value: "detail" }) },
    ]);
    const value = /^grpc-status-details-bin=(.*)$/.exec(linesOf(error).at(-1)!)![1]!;
    const bytes = Buffer.from(value, "base64").toString("utf8");
    expect(bytes).toContain("type.googleapis.com/google.protobuf.StringValue");
    expect(bytes).toContain("detail");
    expect(bytes).toContain("\ufffd");
  });

  it("has the error's metadata, but for what belongs to another message (fault C4)", () => {
    const metadata = new Headers({
      "x-a": "b",
      "x-many": "1",
      "content-type": "application/proto",
      "content-length": "17",
      "content-encoding": "gzip",
      "transfer-encoding": "chunked",
      connection: "close",
      te: "gzip",
      host: "other",
      "grpc-status": "0",
      "grpc-message": "fine",
    });
    metadata.append("x-many", "2");
    const fields = statusFields(new ConnectError("no", Code.Aborted, metadata), "application/grpc");
    expect(checkResponse(fields).fault).toBeUndefined();
    expect(fields.map(({ name, value }) => `${name}=${value}`).sort()).toEqual([
      ":status=200",
      "content-type=application/grpc",
      "grpc-message=no",
      "grpc-status=10",
      "x-a=b",
      "x-many=1, 2",
    ]);
    expect(checkTrailers(statusFields(new ConnectError("no", Code.Aborted, metadata)))).toBeUndefined();
  });
});
