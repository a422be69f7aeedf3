import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { schemaOfImage } from "../../src/schema/image.ts";
import type { MethodSchema } from "../../src/schema/schema.ts";
import { jsonToProto, protoToJson, type TranscodeOptions } from "../../src/schema/transcode.ts";
import { image, things, thingsService } from "./descriptors.ts";

const {
  input: note,
  output: thing,
  types,
} = schemaOfImage(image(things, thingsService)).method("/acme.v1.Things/Get") as MethodSchema;
const options: TranscodeOptions = { types, limit: 10_000, fault: Code.InvalidArgument };

const hex = (type: DescMessage, json: string) =>
  Buffer.from(jsonToProto(type, Buffer.from(json), options)).toString("hex");
const json = (type: DescMessage, hex: string, more: Partial<TranscodeOptions> = {}) =>
  Buffer.from(protoToJson(type, Buffer.from(hex, "hex"), { ...options, ...more })).toString();

function errorOf(run: () => unknown): ConnectError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConnectError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** JSON, the bytes of protobuf, and what is written for them. */
const pairs: [DescMessage, string, string, string?][] = [
  [note, "{}", ""],
  [note, '{"text":"ü"}', "0a02c3bc"],
  [note, ' {"text":"\\u00fc","unknown":[1]} ', "0a02c3bc", '{"text":"ü"}'],
  [note, '{"text":""}', "", "{}"],
  [note, '{"text":null}', "", "{}"],
  [thing, '{"bigNumber":"9007199254740993"}', "088180808080808010"],
  [thing, '{"big_number":5}', "0805", '{"bigNumber":"5"}'],
  [thing, '{"data":"+/8"}', "1202fbff", '{"data":"+/8="}'],
  [thing, '{"names":["a","b"]}', "1a01611a0162"],
  [thing, '{"at":"1970-01-01T00:00:01Z"}', "22020801"],
  [
    thing,
    '{"extra":{"@type":"type.googleapis.com/acme.v1.Note","text":"x"}}',
    `2a27${"0a20"}${Buffer.from("type.googleapis.com/acme.v1.Note").toString("hex")}12030a0178`,
    '{"extra":{"text":"x","@type":"type.googleapis.com/acme.v1.Note"}}', // the order of names is the library's
  ],
  [thing, '{"inner":{"inner":{}}}', "32023200"],
  [thing, '{"ratio":"NaN"}', "39000000000000f87f"],
];

describe("jsonToProto()", () => {
  it.each(pairs)("reads a %s of %s", (type, text, bytes) => {
    expect(hex(type, text)).toBe(bytes);
  });

  it.each([
    [note, '{"text":5}', "acme.v1.Note.text"],
    [thing, '{"bigNumber":"x"}', "acme.v1.Thing.big_number"],
    [thing, '{"inner":{"inner":{"names":[1]}}}', "acme.v1.Thing.names"],
    [thing, '{"at":"yesterday"}', "google.protobuf.Timestamp"],
    [thing, '{"extra":{"@type":"type.googleapis.com/acme.v1.Other"}}', "acme.v1.Other"],
    [note, "", "acme.v1.Note"],
    [note, "{", "acme.v1.Note"],
    [note, "[]", "acme.v1.Note"],
    [note, "null", "acme.v1.Note"],
    [note, '{"text":"a","text":"b"}', "acme.v1.Note"],
  ])("refuses a %s of %j, and names what is wrong", (type, text, name) => {
    const error = errorOf(() => jsonToProto(type, Buffer.from(text), options));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toContain(name);
  });

  it("refuses what is no UTF-8", () => {
    const error = errorOf(() => jsonToProto(note, Buffer.from('{"text":"\xff"}', "latin1"), options));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toContain("acme.v1.Note");
  });

  it("refuses what nests too deep, and lives", () => {
    for (const depth of [101, 100_000]) {
      const deep = `${'{"inner":'.repeat(depth)}{}${"}".repeat(depth)}`;
      const error = errorOf(() => jsonToProto(thing, Buffer.from(deep), { ...options, limit: 1e7 }));
      expect(error.code).toBe(Code.InvalidArgument);
    }
  });

  it("keeps its errors short", () => {
    const error = errorOf(() => jsonToProto(thing, Buffer.from(`{"bigNumber":"${"x".repeat(9_000)}"}`), options));
    expect(error.rawMessage.length).toBeLessThan(600);
  });

  it("refuses messages over the limit before it reads them", () => {
    const large = Buffer.from(`{"text":"${"x".repeat(10_000)}"}`);
    expect(errorOf(() => jsonToProto(note, large, options)).code).toBe(Code.ResourceExhausted);
    expect(jsonToProto(note, large, { ...options, limit: large.length })).toHaveLength(10_003);
  });

  it("throws nothing but ConnectError, whatever the JSON", () => {
    const names = fc.constantFrom("bigNumber", "data", "names", "at", "extra", "inner", "ratio", "@type", "x");
    const value = fc.letrec((tie) => ({
      any: fc.oneof(fc.jsonValue(), fc.dictionary(names, tie("any")), fc.constant("type.googleapis.com/acme.v1.Thing")),
    })).any;
    fc.assert(
      fc.property(value, (any) => {
        const bytes = Buffer.from(JSON.stringify(any));
        try {
          jsonToProto(thing, bytes, { ...options, limit: 1e6 });
        } catch (error) {
          expect(error).toBeInstanceOf(ConnectError);
        }
      }),
    );
  });
});

describe("protoToJson()", () => {
  it.each(pairs)("writes a %s of %s", (type, text, bytes, written = text) => {
    expect(json(type, bytes)).toBe(written);
  });

  it("leaves out fields that it doesn't know", () => {
    expect(json(note, "0a0178520179")).toBe('{"text":"x"}');
  });

  it.each([
    ["cut short", "0a05"],
    ["of another kind", "0b"],
    ["not UTF-8", "0a01ff"],
  ])("refuses a message that is %s with the code for the side that sent it", (_what, bytes) => {
    const error = errorOf(() => json(note, bytes, { fault: Code.Internal }));
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).toContain("acme.v1.Note");
  });

  it("names the type that it doesn't know in an Any", () => {
    const url = Buffer.from("type.googleapis.com/a.Unknown").toString("hex");
    const error = errorOf(() => json(thing, `2a1f0a1d${url}`, { fault: Code.Internal }));
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).toContain("a.Unknown");
  });

  it("stops at the limit, of the bytes as of the JSON", () => {
    const bytes = jsonToProto(thing, Buffer.from('{"names":["","","","","","","",""]}'), options);
    expect(errorOf(() => protoToJson(thing, bytes, { ...options, limit: bytes.length - 1 })).code).toBe(
      Code.ResourceExhausted,
    );
    expect(errorOf(() => protoToJson(thing, bytes, { ...options, limit: 30 })).code).toBe(Code.ResourceExhausted);
    expect(protoToJson(thing, bytes, { ...options, limit: 35 })).toHaveLength(35);
    const wide = jsonToProto(note, Buffer.from('{"text":"漢漢漢"}'), options);
    expect(errorOf(() => protoToJson(note, wide, { ...options, limit: 19 })).code).toBe(Code.ResourceExhausted);
  });

  it("writes as it is told", () => {
    const told = { alwaysEmitImplicit: true, useProtoFieldName: true };
    expect(JSON.parse(json(thing, "0805", { json: told }))).toEqual({ big_number: "5", data: "", names: [], ratio: 0 });
  });

  it("throws nothing but ConnectError, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          protoToJson(thing, bytes, options);
        } catch (error) {
          expect(error).toBeInstanceOf(ConnectError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("writes what jsonToProto() reads as the same", () => {
    const whole = fc.record(
      {
        bigNumber: fc
          .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
          .filter((n) => n !== 0n)
          .map(String),
        data: fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes).toString("base64")),
        names: fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }),
        ratio: fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => n !== 0),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(whole, (value) => {
        const bytes = jsonToProto(thing, Buffer.from(JSON.stringify(value)), options);
        expect(JSON.parse(Buffer.from(protoToJson(thing, bytes, options)).toString())).toEqual(value);
      }),
    );
  });
});
