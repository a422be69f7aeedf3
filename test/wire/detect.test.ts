import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { checkConnectVersion, detectProtocol, type RequestHead, splitQuery } from "../../src/wire/detect.ts";

const post: RequestHead = {
  method: "POST",
  contentType: undefined,
  query: undefined,
  connectProtocolVersion: undefined,
};

describe("detectProtocol()", () => {
  it.each([
    [{ contentType: "application/grpc" }, "grpc", "proto"],
    [{ contentType: "application/grpc-web+json" }, "grpc_web", "json"],
    [{ contentType: "application/grpc-web-text" }, "grpc_web_text", "proto"],
    [{ contentType: "application/connect+json" }, "connect_stream", "json"],
    [{ contentType: "application/json" }, "connect_unary", "json"],
    [{ contentType: "application/proto", connectProtocolVersion: "1" }, "connect_unary", "proto"],
    [{ contentType: "application/cbor", connectProtocolVersion: "1" }, "connect_unary", "cbor"],
    [{ contentType: "application/json", query: "connect=v1" }, "connect_unary", "json"],
  ])("takes a POST with %j for %s with codec %s", (head, framing, codec) => {
    expect(detectProtocol({ ...post, ...head })).toEqual({ framing, codec });
  });

  it("takes a GET with connect=v1 for a unary call of Connect", () => {
    const query = "connect=v1&encoding=json&message=%7B%7D";
    expect(detectProtocol({ ...post, method: "GET", query })).toMatchObject({
      framing: "connect_unary",
      codec: "json",
      get: { encoding: "json", message: "{}", base64: false, compression: "identity" },
    });
  });

  it.each<[Partial<RequestHead>]>([
    [{}],
    [{ contentType: "text/plain" }],
    [{ contentType: "application/x-www-form-urlencoded" }],
    [{ contentType: "application/cbor" }],
    [{ contentType: "multipart/form-data", connectProtocolVersion: "1" }],
    [{ method: "GET", query: "connect=v1&message=" }],
    [{ method: "GET", query: "connect=v1&message=&encoding=grpc" }],
  ])("answers %j with 415, and says what would be right", (head) => {
    const detected = detectProtocol({ ...post, ...head });
    expect(detected).toMatchObject({ framing: undefined, status: 415, header: ["accept-post", expect.any(String)] });
    if (detected.framing === undefined && head.contentType !== undefined) {
      expect(detected.message).toContain(JSON.stringify(head.contentType));
    }
  });

  it.each([
    [{ method: "GET" }],
    [{ method: "GET", contentType: "application/grpc" }],
    [{ method: "GET", query: "connect=v2&encoding=json&message=" }],
    [{ method: "GET", query: "" }],
    [{ method: "PUT", contentType: "application/json" }],
    [{ method: "HEAD", query: "connect=v1&encoding=json&message=" }],
    [{ method: "post", contentType: "application/json" }],
  ])("answers %j with 405", (head) => {
    expect(detectProtocol({ ...post, ...head })).toMatchObject({
      framing: undefined,
      status: 405,
      header: ["allow", "POST, GET"],
      message: expect.stringContaining(head.method),
    });
  });
});

describe("checkConnectVersion()", () => {
  it("takes 1, and none", () => {
    checkConnectVersion("1");
    checkConnectVersion(undefined);
  });

  it.each(["", "2", "v1", "1 "])("refuses %j and names it", (value) => {
    const error = catchError(() => checkConnectVersion(value));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toContain(JSON.stringify(value));
  });
});

describe("splitQuery()", () => {
  it.each([
    ["/a.S/M", "/a.S/M", undefined],
    ["/a.S/M?", "/a.S/M", ""],
    ["/a.S/M?a=b?c", "/a.S/M", "a=b?c"],
  ])("splits %j", (whole, path, query) => {
    expect(splitQuery(whole)).toEqual({ path, query });
  });
});

function catchError(run: () => void): ConnectError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConnectError) return error;
  }
  throw new Error("nothing was thrown");
}
