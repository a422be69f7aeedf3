import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field, Indexing } from "../../../src/http2/field.ts";
import { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http2/hpack/encoder.ts";
import { staticFields } from "../../../src/http2/hpack/static-table.ts";
import { anyField, decode, encode, linesOf, toHex } from "./fields.ts";

const noLimits = { maxTableSize: 4096, maxListSize: 1e9, maxFields: 1e9 };

describe("encode()", () => {
  it("writes each field of the static table as its index", () => {
    for (let index = 1; index <= 61; index++) {
      const block = encode(new HpackEncoder({ maxTableSize: 4096 }), [staticFields[index]!]);
      expect(toHex(block)).toBe((0x80 | index).toString(16));
    }
  });

  it("finds a field by what it says, not by which object it is", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encode(encoder, [new Field("x-a", "1"), new Field("x-b", "2")]);
    expect(toHex(encode(encoder, [new Field("x-b", "2"), new Field("x-a", "1")]))).toBe("bebf");
  });

  it("doesn't take the parts of another field for the whole of this one", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    const decoder = new HpackDecoder(noLimits);
    for (const [name, value] of [
      ["ab", "c"],
      ["a", "bc"],
      ["", "abc"],
      ["abc", ""],
    ] as const) {
      expect(linesOf(decode(decoder, encode(encoder, [new Field(name, value)])))).toEqual([`${name}: ${value}`]);
    }
  });

  it("takes the name from a table where only that is known", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    expect(toHex(encode(encoder, [new Field("te", "x"), new Field("user-agent", "x")]))).toBe("4002746501787a0178");
    expect(toHex(encode(encoder, [new Field("te", "y")]))).toBe("7f000179");
  });

  it("still knows a name when an older field with it has gone", () => {
    const encoder = new HpackEncoder({ maxTableSize: 110 });
    const fields = ["x-a: 1", "x-a: 2", "x-b: 1", "x-b: 2"].map((line) => new Field(line.slice(0, 3), line.slice(5)));
    for (const field of fields) encode(encoder, [field]); // three fit
    expect(toHex(encode(encoder, [new Field("x-a", "3", Indexing.without)]))).toBe("0f310133"); // the name at 64
  });

  it("uses the Huffman code only where it is shorter", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    expect(toHex(encode(encoder, [new Field(":path", "\xff\xff", Indexing.without)]))).toBe("0402ffff");
    expect(toHex(encode(encoder, [new Field(":path", "/a", Indexing.without)]))).toBe("04022f61");
    expect(toHex(encode(encoder, [new Field(":path", "/aa", Indexing.without)]))).toBe("04826063");
  });

  it("writes an empty name and value", () => {
    expect(toHex(encode(new HpackEncoder({ maxTableSize: 4096 }), [new Field("", "")]))).toBe("400000");
  });

  it("leaves a field out of the table that would take most of it", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    const field = new Field("x-large", "\xff".repeat(3100));
    expect(encode(encoder, [field])[0]).toBe(0x00);
    expect(encode(encoder, [field]).length).toBeGreaterThan(3100);
  });

  it("leaves a field out of the table whose value hardly ever comes again", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encode(encoder, [new Field("x-a", "1")]);
    encode(encoder, [new Field("grpc-timeout", "9999999u")]);
    expect(toHex(encode(encoder, [new Field("x-a", "1")]))).toBe("be");
  });

  it("never puts a never indexed field into a table, nor takes it from one", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encode(encoder, [new Field("x-token", "s3cret")]);
    const block = encode(encoder, [new Field("x-token", "s3cret", Indexing.never)]);
    expect(block[0]! >>> 4).toBe(1);
    expect(
      linesOf(
        decode(
          new HpackDecoder(noLimits),
          encode(new HpackEncoder({ maxTableSize: 0 }), [new Field("x-token", "s3cret", Indexing.never)]),
        ),
      ),
    ).toEqual(["x-token: s3cret (never)"]);
    expect(encode(encoder, [new Field(":method", "GET", Indexing.never)])[0]).toBe(0x12);
  });

  it("writes a field that is repeated without indexing the same each time, whatever the table has by then", () => {
    const field = new Field(":path", "/a.S/Method", Indexing.without);
    const named = new Field("x-named", "value of it", Indexing.without);
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    const decoder = new HpackDecoder(noLimits);
    const out = Buffer.alloc(200);
    for (let i = 0; i < 5; i++) {
      const end = encoder.encode([new Field(i === 0 ? "x-named" : "x-other", `${i}`), field, named], out, 0);
      expect(linesOf(decoder.decode(out, 0, end))).toEqual([
        `x-${i === 0 ? "named" : "other"}: ${i}`,
        ":path: /a.S/Method (without)",
        "x-named: value of it (without)",
      ]);
      out.fill(0); // what is kept must be a copy
    }
    const block = encode(new HpackEncoder({ maxTableSize: 4096 }), [
      new Field(":path", "/a.S/Method", Indexing.without),
    ]);
    expect(encode(new HpackEncoder({ maxTableSize: 4096 }), [field])).toEqual(block);
  });

  it("gives the other side back what went in, over many blocks and sizes", () => {
    const step = fc.record({
      fields: fc.array(anyField, { maxLength: 10 }),
      sizes: fc.oneof(
        { weight: 4, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(fc.nat(6000), { maxLength: 3 }) },
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.nat(5000), (steps, maxTableSize) => {
        const encoder = new HpackEncoder({ maxTableSize });
        const decoder = new HpackDecoder(noLimits);
        for (const { fields, sizes } of steps) {
          for (const size of sizes) {
            encoder.setPeerTableSize(size);
            decoder.setMaxTableSize(size);
          }
          const lines = linesOf(decode(decoder, encode(encoder, fields)))!;
          // An incremental field may have been written without indexing: how, is the encoder's choice.
          const choices = fields.map((field) => linesOf([field])!.flatMap((line) => [line, `${line} (without)`]));
          expect(lines.length).toBe(fields.length);
          for (const [i, line] of lines.entries()) {
            expect(fields[i]!.indexing === Indexing.incremental ? choices[i] : [choices[i]![0]]).toContain(line);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("setPeerTableSize()", () => {
  const a = new Field("x-a", "1");

  it.each<[string, number, number[], string]>([
    ["nothing for the initial size", 4096, [4096], "82"],
    ["nothing for a limit that it won't use", 4096, [8192], "82"],
    ["a larger table", 8192, [8192], "3fe13f82"],
    ["its own limit of a larger one", 5000, [8192], "3fe92682"],
    ["a smaller table", 4096, [100], "3f4582"],
    ["no table", 4096, [0], "2082"],
    ["the last of sizes that grow", 8192, [5000, 8192], "3fe13f82"],
    ["the last of sizes that shrink", 4096, [200, 100], "3f4582"],
    ["the smallest and the last", 4096, [200, 100, 4096], "3f453fe11f82"],
    ["a small table of its own", 100, [], "3f4582"],
    ["a limit that shrinks to no less than what it uses", 100, [200], "3f4582"],
  ])("announces %s", (_, maxTableSize, sizes, hex) => {
    const encoder = new HpackEncoder({ maxTableSize });
    for (const size of sizes) encoder.setPeerTableSize(size);
    expect(toHex(encode(encoder, [staticFields[2]!]))).toBe(hex);
    expect(toHex(encode(encoder, [staticFields[2]!]))).toBe("82");
  });

  it("announces a limit that shrinks, where the table has been smaller all along", () => {
    const encoder = new HpackEncoder({ maxTableSize: 100 });
    encode(encoder, []);
    encoder.setPeerTableSize(200);
    expect(toHex(encode(encoder, []))).toBe("3f45");
  });

  it("gives up its table between two updates, as Go's decoder wants", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encode(encoder, [a]);
    encoder.setPeerTableSize(100);
    encoder.setPeerTableSize(4096);
    expect(toHex(encode(encoder, [a])).startsWith("203fe11f40")).toBe(true);
  });

  it("forgets the fields that no longer fit", () => {
    const encoder = new HpackEncoder({ maxTableSize: 4096 });
    encode(encoder, [a, new Field("x-b", "2")]);
    encoder.setPeerTableSize(40);
    expect(toHex(encode(encoder, [new Field("x-b", "2")]))).toBe("3f09be");
    expect(encode(encoder, [a])[0]).not.toBe(0xbf);
  });
});
