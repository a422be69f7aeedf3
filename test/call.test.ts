import { ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { HttpRefusal, InboundCall } from "../src/call.ts";
import type { Pairs } from "./http2/recorder.ts";
import { fieldsOf, grpcRequest, origin, requestWith } from "./in-memory.ts";

const callOf = (pairs: Pairs) => new InboundCall(fieldsOf(pairs), origin);

function refusalOf(pairs: Pairs): unknown {
  try {
    callOf(pairs);
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("InboundCall", () => {
  it("has :authority, or else Host, or nothing", () => {
    const host = ["host", "host.example"] as const;
    const none = grpcRequest.filter(([name]) => name !== ":authority");
    expect(callOf([...grpcRequest, host]).authority).toBe("users.example");
    expect(callOf([...none, host]).authority).toBe("host.example");
    expect(callOf(none).authority).toBe("");
  });

  it.each(["application/grpc", "application/grpc+proto", "application/grpc+thrift", "application/grpc;charset=utf-8"])(
    "takes %s, and answers in the same",
    (type) => {
      expect(callOf(requestWith(["content-type", type])).contentType).toBe(type);
    },
  );

  it.each<[Pairs, status: number, message: string]>([
    [
      requestWith(["content-type", "text/html"]),
      415,
      'content-type "text/html", expected that of gRPC, gRPC-Web or Connect',
    ],
    [
      grpcRequest.filter(([name]) => name !== "content-type"),
      415,
      "no content-type, expected that of gRPC, gRPC-Web or Connect",
    ],
    [requestWith([":method", "PUT"]), 405, "method PUT, only POST, or GET with connect=v1 in the query, is an RPC"],
    [
      requestWith([":method", "GET"], ["content-type", "text/html"]),
      405,
      "method GET, only POST, or GET with connect=v1 in the query, is an RPC",
    ],
    [requestWith([":path", "/favicon.ico"], ["content-type", "text/html"]), 404, 'no method at path "/favicon.ico"'],
    [
      [
        [":method", "CONNECT"],
        [":authority", "a:443"],
      ],
      404,
      'no method at path ""',
    ],
  ])("refuses %j in HTTP", (pairs, status, message) => {
    const refusal = refusalOf(pairs);
    expect(refusal).toBeInstanceOf(HttpRefusal);
    expect(refusal).toMatchObject({ status, message });
  });

  it.each(["/a", "//", "/a.S/", "/a.S/M/N", "/a.S/M?q=1", "/a.S/%4d", "/../M", "a.S/M", "*"])(
    "refuses path %s as unimplemented, and names it",
    (path) => {
      const { fault } = callOf(requestWith([":path", path]));
      expect(fault).toBeInstanceOf(ConnectError);
      expect(fault!.rawMessage).toBe(`no method at path "${path}"`);
    },
  );

  it("refuses gRPC over HTTP/1.1, which gRPC-Web and Connect are there for", () => {
    const http1 = { ...origin, httpVersion: "1.1" } as const;
    expect(() => new InboundCall(fieldsOf(grpcRequest), http1)).toThrow("gRPC needs HTTP/2");
    const web = requestWith(["content-type", "application/grpc-web+proto"]);
    expect(new InboundCall(fieldsOf(web), http1).protocol).toBe("grpc_web");
  });

  it("knows paths again without taking any number of them", () => {
    for (let at = 0; at < 2_500; at++)
      expect(callOf(requestWith([":path", `/a.S/M${at % 1_500}`])).method).toBe(`M${at % 1_500}`);
  });
});
