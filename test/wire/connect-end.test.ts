import { Code } from "@connectrpc/connect";
import { endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field } from "../../src/http2/field.ts";
import { encodeConnectEnd, parseConnectEnd } from "../../src/wire/connect-end.ts";
import { fieldsOfStatus } from "../../src/wire/rpc-status.ts";

const fieldsOf = (list: readonly (readonly string[])[]) => list.map(([name, value]) => new Field(name!, value!));
const pairs = (fields: readonly Field[]) => fields.map(({ name, value }) => [name, value]);
const encode = (list: readonly (readonly string[])[]) => Buffer.from(encodeConnectEnd(fieldsOf(list))).toString();
const parse = (text: string) => pairs(parseConnectEnd(Buffer.from(text)));

describe("encodeConnectEnd()", () => {
  it.each([
    ["success", [["grpc-status", "0"]], "{}"],
    [
      "an error",
      [
        ["grpc-status", "5"],
        ["grpc-message", "no %25"],
      ],
      '{"error":{"code":"not_found","message":"no %"}}',
    ],
    ["a code nobody knows", [["grpc-status", "99"]], '{"error":{"code":"unknown"}}'],
    [
      "metadata, doubles kept apart",
      [
        ["x-a", "1"],
        ["grpc-status", "0"],
        ["x-b-bin", "AA,BB"],
        ["x-a", "2"],
      ],
      '{"metadata":{"x-a":["1","2"],"x-b-bin":["AA,BB"]}}',
    ],
    [
      "names that objects have",
      [
        ["grpc-status", "0"],
        ["__proto__", "1"],
        ["constructor", "2"],
      ],
      '{"metadata":{"__proto__":["1"],"constructor":["2"]}}',
    ],
    [
      "headers of the connection or the protocol",
      [
        ["grpc-status", "0"],
        ["connection", "x"],
        ["content-type", "y"],
      ],
      "{}",
    ],
  ])("writes %s", (_what, trailers, json) => {
    expect(encode(trailers)).toBe(json);
  });

  it("makes an error of trailers without a status", () => {
    expect(JSON.parse(encode([["x-a", "1"]]))).toMatchObject({
      error: { code: "internal" },
      metadata: { "x-a": ["1"] },
    });
  });

  it("writes what Connect's own library reads", () => {
    const fields = [
      ...fieldsOfStatus({ code: 8, message: "full", details: [{ type: "a.B", value: Uint8Array.of(1) }] }),
      new Field("x-a", "1"),
    ];
    const { error, metadata } = endStreamFromJson(encodeConnectEnd(fields));
    expect(error).toMatchObject({ code: Code.ResourceExhausted, rawMessage: "full", details: [{ type: "a.B" }] });
    expect(metadata.get("x-a")).toBe("1");
  });
});

describe("parseConnectEnd()", () => {
  it.each([
    ["{}", [["grpc-status", "0"]]],
    ['{"error":null}', [["grpc-status", "0"]]],
    [
      '{"error":{"code":"aborted","message":"a\\nb"}}',
      [
        ["grpc-status", "10"],
        ["grpc-message", "a%0Ab"],
      ],
    ],
    [
      '{"metadata":{"X-A":["1","2"],"x-b":[]}}',
      [
        ["grpc-status", "0"],
        ["x-a", "1"],
        ["x-a", "2"],
      ],
    ],
    [
      '{"metadata":{"x-a":["ü"],"x-b":["漢"]}}',
      [
        ["grpc-status", "0"],
        ["x-a", "\xfc"],
        ["x-b", "\xe6\xbc\xa2"],
      ],
    ],
    [
      '{"metadata":{"__proto__":["1"]}}',
      [
        ["grpc-status", "0"],
        ["__proto__", "1"],
      ],
    ],
  ])("reads %j", (text, fields) => {
    expect(parse(text)).toEqual(fields);
  });

  it.each([
    '{"metadata":{"grpc-status":["5"],"Grpc-Message":["x"],":status":["500"],"te":["x"],"a b":["x"],"x":["a\\r\\nb"]}}',
    '{"metadata":[]}',
    '{"metadata":"x"}',
    '{"metadata":{"x":"y","z":[1,null]}}',
  ])("leaves out of %j what is no metadata", (text) => {
    expect(parse(text)).toEqual([["grpc-status", "0"]]);
  });

  it.each(["", "null", "[]", "{", '"x"', '{"error":5}', '{"error":{}}'])("takes %j for an internal error", (text) => {
    expect(parse(text)[0]).toEqual(["grpc-status", "13"]);
  });

  it("reads what was written", () => {
    const name = fc.stringMatching(/^x-[a-z0-9_-]{1,10}$/);
    const value = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((byte) => String.fromCharCode(byte)) });
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, value), { selector: ([name]) => name }), (list) => {
        const trailers = [["grpc-status", "0"], ...list];
        expect(parse(encode(trailers))).toEqual(trailers);
      }),
    );
  });

  it("never throws and never makes a bad field, whatever the JSON", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const [status, ...rest] = parseConnectEnd(Buffer.from(text));
        expect(status!.name).toBe("grpc-status");
        for (const { kind } of rest) expect(kind).toBe(0);
      }),
    );
  });
});
