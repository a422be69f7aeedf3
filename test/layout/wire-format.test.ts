import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cursor, Malformed } from "../../src/layout/cursor.ts";
import { allocate, concat, copy, fieldOf, varintSize, writeVarint } from "../../src/layout/writing.ts";

describe("writeVarint()", () => {
  it("writes what protobuf-es writes, in as many bytes as varintSize() says", () => {
    const number = fc.oneof(fc.nat(20_000), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
    fc.assert(
      fc.property(number, (value) => {
        const out = new Uint8Array(8);
        const end = writeVarint(out, 1, value);
        expect(out.subarray(1, end)).toEqual(new BinaryWriter().uint32(value).finish());
        expect(end - 1).toBe(varintSize(value));
      }),
    );
  });
});

describe("fieldOf()", () => {
  it("writes a field for every number", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 29 - 1 }), fc.uint8Array({ maxLength: 300 }), (number, value) => {
        const reader = new BinaryReader(fieldOf(number, value));
        expect(reader.tag()).toEqual([number, 2]);
        expect(reader.bytes()).toEqual(value);
        expect(reader.pos).toBe(reader.len);
      }),
    );
  });
});

describe("Cursor", () => {
  it("reads tags and lengths, and passes values, as protobuf-es writes them", () => {
    const number = fc.integer({ min: 1, max: 2 ** 29 - 1 });
    const field = fc.oneof(
      fc.tuple(fc.constant(0), number, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      fc.tuple(fc.constant(1), number, fc.double()),
      fc.tuple(fc.constant(2), number, fc.uint8Array({ maxLength: 300 })),
      fc.tuple(fc.constant(5), number, fc.float()),
    );
    fc.assert(
      fc.property(fc.array(field), fc.nat(9), (fields, before) => {
        const writer = new BinaryWriter().raw(new Uint8Array(before));
        for (const [type, number, value] of fields) {
          writer.tag(number, type);
          if (typeof value === "bigint") writer.int64(value);
          else if (typeof value !== "number") writer.bytes(value);
          else if (type === 1) writer.double(value);
          else writer.float(value);
        }
        const bytes = writer.finish();
        const cursor = new Cursor();
        cursor.enter(bytes, before, bytes.length);
        for (const [type, number] of fields) {
          const tag = cursor.tag();
          expect([tag & 7, Math.floor(tag / 8)]).toEqual([type, number]);
          cursor.skip(tag);
        }
        expect(cursor.done).toBe(true);
      }),
    );
  });

  it("refuses a tag in more bytes than other decoders take, and no such length", () => {
    const cursor = new Cursor();
    const read = (...bytes: number[]) => {
      cursor.enter(Uint8Array.from(bytes), 0, bytes.length);
      return cursor.tag();
    };
    expect(read(0x8a, 0x80, 0x80, 0x80, 0x00)).toBe(10);
    expect(() => read(0x8a, 0x80, 0x80, 0x80, 0x80, 0x00)).toThrow(Malformed);
    cursor.enter(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x00), 0, 6);
    expect(cursor.length()).toBe(0);
  });

  it("never reads over the end of a message", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(20), (bytes, end) => {
        const stop = Math.min(end, bytes.length);
        const cursor = new Cursor();
        cursor.enter(bytes, 0, stop);
        try {
          while (!cursor.done) cursor.skip(cursor.tag());
        } catch {}
        expect(cursor.at).toBeLessThanOrEqual(stop);
      }),
    );
  });
});

describe("allocate()", () => {
  it("gives each its own bytes", () => {
    const all: Uint8Array[] = [];
    for (let size = 0; size < 20_000; size += 7) all.push(allocate(size).fill(all.length % 256));
    for (const [at, bytes] of all.entries()) {
      expect(bytes).toHaveLength(at * 7);
      expect(bytes.every((byte) => byte === at % 256)).toBe(true);
    }
  });
});

describe("copy()", () => {
  it("copies a part, however long", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), fc.nat(200), (bytes, one, other) => {
        const start = Math.min(one, other, bytes.length);
        const stop = Math.min(Math.max(one, other), bytes.length);
        const out = new Uint8Array(210);
        expect(copy(out, 5, bytes, start, stop)).toBe(5 + stop - start);
        expect(out).toEqual(concat([new Uint8Array(5), bytes.slice(start, stop), new Uint8Array(205 - stop + start)]));
      }),
    );
  });
});
