import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field } from "../../src/http2/field.ts";
import { encodeWebTrailers, parseWebTrailers } from "../../src/wire/web-trailers.ts";

const pairs = (fields: readonly Field[] | undefined) => fields?.map(({ name, value }) => [name, value]);
const parse = (text: string) => pairs(parseWebTrailers(Buffer.from(text, "latin1")));

describe("encodeWebTrailers()", () => {
  it("writes lower-case lines with one space", () => {
    const fields = [new Field("grpc-status", "13"), new Field("x-a", ""), new Field("x-a", "b: c")];
    expect(Buffer.from(encodeWebTrailers(fields)).toString("latin1")).toBe("grpc-status: 13\r\nx-a: \r\nx-a: b: c\r\n");
  });

  it("keeps an encoded line end encoded, and leaves out a bare one", () => {
    const fields = [
      new Field("grpc-message", "%0d%0aset-cookie:x"),
      new Field("x-bad", "a\r\nset-cookie:x"),
      new Field("te", "x"),
    ];
    expect(Buffer.from(encodeWebTrailers(fields)).toString("latin1")).toBe("grpc-message: %0d%0aset-cookie:x\r\n");
  });

  it("is empty for no trailers", () => {
    expect(encodeWebTrailers([])).toHaveLength(0);
  });
});

describe("parseWebTrailers()", () => {
  it.each([
    ["", []],
    ["grpc-status: 0\r\n", [["grpc-status", "0"]]],
    ["grpc-status:0", [["grpc-status", "0"]]],
    [
      "Grpc-Status :\t0 \r\n\r\nX-A: b:c\n",
      [
        ["grpc-status", "0"],
        ["x-a", "b:c"],
      ],
    ],
    [
      "x-a: \xc3\xbc\r\nx-a:\r\n",
      [
        ["x-a", "\xc3\xbc"],
        ["x-a", ""],
      ],
    ],
  ])("reads %j", (text, fields) => {
    expect(parse(text)).toEqual(fields);
  });

  it.each(["grpc-status 0", ": 0", "a b: 0", "connection: close\r\n", ":path: /x", "x: a\0b", "x: a\rb"])(
    "refuses %j",
    (text) => {
      expect(parse(text)).toBeUndefined();
    },
  );

  it("reads past what is for one hop", () => {
    const fields = parseWebTrailers(Buffer.from("grpc-status: 0\r\nproxy-authenticate: Basic\r\nx-a: 1\r\n"));
    expect(pairs(fields)).toEqual([
      ["grpc-status", "0"],
      ["x-a", "1"],
    ]);
  });

  it("reads what was written", () => {
    const name = fc.stringMatching(/^x-[a-z0-9_-]{1,10}$/);
    const value = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((byte) => String.fromCharCode(byte)) });
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            name,
            value.map((text) => text.replace(/^ +| +$/g, "")),
          ),
        ),
        (list) => {
          const fields = list.map(([name, value]) => new Field(name, value));
          expect(pairs(parseWebTrailers(encodeWebTrailers(fields)))).toEqual(list);
        },
      ),
    );
  });

  it("never throws, whatever the bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void parseWebTrailers(bytes)));
  });

  it("takes its time from the length alone", () => {
    const spaces = Buffer.from(`x: a${" ".repeat(200_000)}b`);
    const before = performance.now();
    expect(parseWebTrailers(spaces)).toHaveLength(1);
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});
