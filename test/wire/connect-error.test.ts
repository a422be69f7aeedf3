import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromJsonBytes, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeConnectError, errorJson, parseConnectError, statusOfConnectHttp } from "../../src/wire/connect-error.ts";
import type { RpcStatus } from "../../src/wire/rpc-status.ts";
import { httpOfStatus } from "../../src/wire/status.ts";

const parse = (text: string, http = 503) => parseConnectError(Buffer.from(text), http);

const status: fc.Arbitrary<RpcStatus> = fc.record({
  code: fc.integer({ min: 1, max: 16 }),
  message: fc.string({ unit: "grapheme" }),
  details: fc.array(fc.record({ type: fc.stringMatching(/^[a-z.A-Z]{1,20}$/), value: fc.uint8Array() }), {
    maxLength: 3,
  }),
});

describe("errorJson()", () => {
  it.each([
    [1, "canceled"],
    [13, "internal"],
    [16, "unauthenticated"],
    [17, "unknown"],
    [99, "unknown"],
  ])("names code %i %s", (code, name) => {
    expect(errorJson({ code, message: "", details: [] })).toEqual({ code: name });
  });

  it("writes details unpadded", () => {
    const details = [{ type: "a.B", value: Uint8Array.of(0x61) }];
    expect(errorJson({ code: 5, message: "m", details })).toEqual({
      code: "not_found",
      message: "m",
      details: [{ type: "a.B", value: "YQ" }],
    });
  });
});

describe("encodeConnectError()", () => {
  it("writes what Connect's own library reads", () => {
    fc.assert(
      fc.property(status, (written) => {
        const fallback = new ConnectError("fallback", Code.DataLoss);
        const error = errorFromJsonBytes(encodeConnectError(written), undefined, fallback);
        expect({ code: error.code, message: error.rawMessage }).toEqual({
          code: written.code,
          message: written.message,
        });
        expect(error.details).toEqual(written.details.map((detail) => ({ ...detail, debug: undefined })));
      }),
    );
  });
});

describe("parseConnectError()", () => {
  it("reads what Connect's own library writes", () => {
    fc.assert(
      fc.property(status, (wanted) => {
        const error = new ConnectError(wanted.message, wanted.code);
        error.details = wanted.details.map(({ type, value }) => ({ type, value, debug: { a: 1 } }));
        expect(parseConnectError(errorToJsonBytes(error, undefined), 500)).toEqual(wanted);
      }),
    );
  });

  it.each(["", "not json", "<html>", "null", "[]", '"x"', "{}", '{"code":5}', '{"code":"no_such"}', '{"code":"ok"}'])(
    "falls back to the HTTP status for %j",
    (text) => {
      expect(parse(text)).toEqual({ code: Code.Unavailable, message: "upstream answered with HTTP 503", details: [] });
    },
  );

  it.each([
    ['{"code":"not_found"}', { code: 5, message: "", details: [] }],
    ['{"code":"canceled","message":null}', { code: 1, message: "", details: [] }],
    ['{"message":"m"}', { code: 14, message: "m", details: [] }],
    ['{"code":"no_such","message":"m"}', { code: 14, message: "m", details: [] }],
    ['{"code":"aborted","details":5}', { code: 10, message: "", details: [] }],
    [
      '{"code":"aborted","details":[5,null,{},{"type":"a"},{"type":"a","value":"!"},{"type":"x/a.B","value":"YQ=="}]}',
      { code: 10, message: "", details: [{ type: "a.B", value: Buffer.from("a") }] },
    ],
  ])("reads of %j what can be read", (text, expected) => {
    expect(parse(text)).toEqual({
      ...expected,
      details: expected.details.map(({ type, value }) => ({ type, value: Uint8Array.from(value) })),
    });
  });

  it("never throws, whatever the JSON", () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 100, max: 599 }), (text, http) => {
        expect(parse(text, http).code).toBeGreaterThan(0);
      }),
    );
    fc.assert(fc.property(fc.uint8Array(), (bytes) => parseConnectError(bytes, 500).code === Code.Unknown));
  });
});

describe("statusOfConnectHttp()", () => {
  it.each([
    [400, Code.Internal],
    [401, Code.Unauthenticated],
    [403, Code.PermissionDenied],
    [404, Code.Unimplemented],
    [429, Code.Unavailable],
    [504, Code.Unavailable],
    [500, Code.Unknown],
    [302, Code.Unknown],
    [200, Code.Unknown],
  ])("takes HTTP %i for %i", (http, code) => {
    expect(statusOfConnectHttp(http).code).toBe(code);
  });
});

describe("httpOfStatus()", () => {
  it("gives the HTTP status that Connect's protocol has for each code", () => {
    const table = [499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    expect(table.map((_, at) => httpOfStatus(at + 1))).toEqual(table);
    expect([17, 99, -1, 1e9].map(httpOfStatus)).toEqual([500, 500, 500, 500]);
  });
});
