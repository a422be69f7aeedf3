import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { messageOfGet, parseConnectGet } from "../../src/wire/connect-get.ts";

/** The request's bytes, as a binary string. */
const messageOf = (query: string) => Buffer.from(messageOfGet(parseConnectGet(query)!)).toString("latin1");

describe("parseConnectGet()", () => {
  it.each(["", "connect", "connect=v2", "connect=1", "Connect=v1", "message=connect=v1", "connect=v2&connect=v1"])(
    "takes %j for some other GET",
    (query) => {
      expect(parseConnectGet(query)).toBeUndefined();
    },
  );

  it("reads what it knows, skips the rest, and fills in what was left out", () => {
    expect(parseConnectGet("x=1&connect=v1")).toEqual({
      encoding: "",
      compression: "identity",
      base64: false,
      message: undefined,
    });
    expect(parseConnectGet("connect=v1&compression=gzip&encoding=proto&base64=1&message=AA&message=BB&y")).toEqual({
      encoding: "proto",
      compression: "gzip",
      base64: true,
      message: "AA",
    });
  });

  it("takes the first of those that come twice", () => {
    expect(parseConnectGet("connect=v1&encoding=json&encoding=proto")?.encoding).toBe("json");
  });
});

describe("messageOfGet()", () => {
  it.each([
    ["message=%7B%22a%22%3A+1%7d", '{"a": 1}'],
    ["message=", ""],
    ["message=%00%ff%C3%BC", "\0\xff\xc3\xbc"],
    ["message=50%", "50%"],
    ["message=%zz", "%zz"],
    ["message=&base64=1", ""],
    ["message=-_-_&base64=1", "\xfb\xff\xbf"],
    ["message=%2B/%2b/&base64=1", "\xfb\xff\xbf"],
    ["message=YQ&base64=1", "a"],
    ["message=YQ%3D%3D&base64=1", "a"],
    ["message=YQ==&base64=1", "a"],
    ["message=YQ&base64=0", "YQ"],
  ])("reads %j", (query, binary) => {
    expect(messageOf(`connect=v1&${query}`)).toBe(binary);
  });

  it.each(["", "message=!&base64=1", "message=A&base64=1", "message=Y=Q&base64=1", "message=YQ===&base64=1"])(
    "refuses %j as invalid_argument",
    (query) => {
      try {
        messageOf(`connect=v1&${query}`);
        expect.unreachable();
      } catch (error) {
        expect(ConnectError.from(error).code).toBe(Code.InvalidArgument);
      }
    },
  );

  it("reads what URLSearchParams and base64url write", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string({ unit: "grapheme" }), (bytes, text) => {
        const base64 = Buffer.from(bytes).toString("base64url");
        const binary = new URLSearchParams({ connect: "v1", base64: "1", message: base64 });
        expect(messageOfGet(parseConnectGet(binary.toString())!)).toEqual(bytes);
        const query = new URLSearchParams({ connect: "v1", message: text });
        expect(messageOf(query.toString())).toBe(Buffer.from(text).toString("latin1"));
      }),
    );
  });
});
