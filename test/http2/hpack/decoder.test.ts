import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConnectionError, ErrorCode } from "../../../src/http2/errors.ts";
import { Field, Indexing } from "../../../src/http2/field.ts";
import { HpackDecoder } from "../../../src/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http2/hpack/encoder.ts";
import { anyField, decode, decodeHex, encode, linesOf } from "./fields.ts";

const limits = { maxTableSize: 4096, maxListSize: 16_384, maxFields: 128 };

function compressionErrorOf(decodeIt: () => unknown): ConnectionError {
  try {
    decodeIt();
  } catch (error) {
    if (error instanceof ConnectionError && error.code === ErrorCode.compressionError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** A literal with incremental indexing, name and value of so many letters, without the Huffman code. */
function literal(name: string, valueLength: number): string {
  const length =
    valueLength < 127 ? [valueLength] : [0x7f, ((valueLength - 127) & 0x7f) | 0x80, (valueLength - 127) >> 7];
  const head = Buffer.from([0x40, name.length, ...Buffer.from(name), ...length]);
  return Buffer.concat([head, Buffer.alloc(valueLength, "v")]).toString("hex");
}

describe("decode() of a block that isn't valid", () => {
  it.each([
    ["index 0", "80"],
    ["an index beyond an empty dynamic table", "be"],
    ["an index far beyond", "ffffffff07"],
    ["a name index beyond the table", "7e0161"],
    ["no name", "40"],
    ["no value", "400161"],
    ["a value that is cut off", "40016105626364"],
    ["a name that is cut off", "400a6162"],
    ["an index without its end", "ff"],
    ["an index without its end, of several bytes", "ff8080"],
    ["a length without its end", "4001617f"],
    ["an index of 2^31", "ff81ffffff07"],
    ["an index in more than 5 bytes", "ff808080808001"],
    ["a length with endless zeros", `40${"7f"}${"80".repeat(30)}00`],
    ["a string that isn't in the Huffman code", "40016181ff"],
    ["a size update after a field", "8220"],
    ["a size update after a field, before what could be its name", "8220016100"],
    ["a size update at the end", "828620"],
    ["a size update above the limit", "3fe21f"],
    ["a size update of 2^31", "3fe1ffffff07"],
  ])("refuses %s", (_, hex) => {
    compressionErrorOf(() => decodeHex(new HpackDecoder(limits), hex));
  });

  it("names the index and how many there are", () => {
    expect(compressionErrorOf(() => decodeHex(new HpackDecoder(limits), "be")).message).toContain("index 62 of 61");
  });

  it("is refused at the end given, whatever the buffer has after it", () => {
    const bytes = Buffer.from("0001610162", "hex");
    expect(linesOf(new HpackDecoder(limits).decode(bytes, 0, 5))).toEqual(["a: b (without)"]);
    for (let end = 1; end < 5; end++) {
      compressionErrorOf(() => new HpackDecoder(limits).decode(bytes, 0, end));
    }
  });
});

describe("decode()", () => {
  it("gives the very field that is in a table", () => {
    const decoder = new HpackDecoder(limits);
    const [method, custom] = decodeHex(decoder, `82${literal("x-custom", 4)}`)!;
    expect(decodeHex(decoder, "be82")).toEqual([custom, method]);
    expect(decodeHex(decoder, "be82")![0]).toBe(custom);
    expect(decodeHex(new HpackDecoder(limits), "82")![0]).toBe(method);
  });

  it("keeps no reference to the bytes it was given", () => {
    const decoder = new HpackDecoder(limits);
    const bytes = Buffer.from(literal("x-custom", 40), "hex");
    const [field] = decoder.decode(bytes, 0, bytes.length)!;
    bytes.fill(0);
    expect([field!.name, field!.value]).toEqual(["x-custom", "v".repeat(40)]);
  });

  it("gives the same field for a literal that comes again, but not if it is never indexed", () => {
    const decoder = new HpackDecoder(limits);
    const bytes = Buffer.alloc(40); // one buffer for all, as a connection may have
    const read = (first: string, value: string, at = 0) => {
      const end = at + Buffer.from([Number(first), value.length]).copy(bytes, at) + bytes.write(value, at + 2);
      return decoder.decode(bytes, at, end)![0]!;
    };
    const [, second] = [read("0x04", "/a.S/Method"), read("0x04", "/a.S/Method")];
    expect(read("0x04", "/a.S/Another").value).toBe("/a.S/Another");
    expect(read("0x04", "/a.S/Method", 20)).toBe(second);
    expect(read("0x05", "/a.S/Method").name).toBe(":path");
    expect(read("0x01", "/a.S/Method").name).toBe(":authority");
    expect(read("0x14", "/a.S/Method")).not.toBe(read("0x14", "/a.S/Method"));
  });

  it("gives a repeated literal the name that its index has by then", () => {
    const decoder = new HpackDecoder(limits);
    const block = Buffer.concat([Buffer.from([0x0f, 62 - 15, 10]), Buffer.from("same value")]);
    for (const name of ["x-a", "x-b"]) {
      decodeHex(decoder, literal(name, 1));
      for (let i = 0; i < 3; i++) expect(linesOf(decode(decoder, block))).toEqual([`${name}: same value (without)`]);
    }
  });

  it("tells repeated literals apart that differ in their last byte, whatever their length", () => {
    const decoder = new HpackDecoder(limits);
    for (const length of [1, 6, 7, 8, 9, 125, 126, 127, 128, 130, 157, 158, 159, 160, 300]) {
      for (const last of ["a", "a", "a", "b", "b", "b", "a"]) {
        const value = "v".repeat(length - 1) + last;
        const head = length < 127 ? [length] : [127, ((length - 127) & 0x7f) | (length >= 255 ? 0x80 : 0), 1];
        const block = Buffer.concat([Buffer.from([0x04, ...head.slice(0, length >= 255 ? 3 : 2)]), Buffer.from(value)]);
        expect(linesOf(decode(decoder, block))).toEqual([`:path: ${value} (without)`]);
      }
    }
  });

  it("tells repeated literals apart by each of their bytes", () => {
    const decoder = new HpackDecoder(limits);
    const text = "/package.of.some.Service/Method";
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < text.length; i++) {
        const value = `${text.slice(0, i)}~${text.slice(i + 1)}`;
        const block = Buffer.concat([Buffer.from([0x04, value.length]), Buffer.from(value)]);
        expect(linesOf(decode(decoder, block))).toEqual([`:path: ${value} (without)`]);
      }
    }
  });

  it("keeps bytes above 0x7f as they are", () => {
    expect(linesOf(decodeHex(new HpackDecoder(limits), "0001ff04c3a4fe80"))).toEqual([
      "\xff: \xc3\xa4\xfe\x80 (without)",
    ]);
  });

  it("reads an empty block as an empty list", () => {
    expect(decodeHex(new HpackDecoder(limits), "")).toEqual([]);
  });

  it("empties its table for a field that is larger, and keeps it out", () => {
    const decoder = new HpackDecoder(limits);
    decodeHex(decoder, literal("x-small", 10));
    expect(decodeHex(decoder, literal("x-large", 5000))).toHaveLength(1);
    compressionErrorOf(() => decodeHex(decoder, "be"));
  });

  it("evicts the oldest field for one of its own name", () => {
    const decoder = new HpackDecoder({ ...limits, maxListSize: 20_000 });
    decodeHex(decoder, literal("x-a", 4000));
    // 0x7e: the name of index 62, which goes for the sake of this very field
    const fields = decodeHex(decoder, `7e7fa11e${"76".repeat(4000)}be`)!;
    expect(fields.map((field) => [field.name, field.value.length])).toEqual([
      ["x-a", 4000],
      ["x-a", 4000],
    ]);
    compressionErrorOf(() => decodeHex(decoder, "bf"));
  });
});

describe("decode() of a list that is larger than allowed", () => {
  const small = { maxTableSize: 4096, maxListSize: 200, maxFields: 4 };

  it.each([
    ["4 of 4 fields", "82848682", 4],
    ["5 of 4 fields", "8284868282", undefined],
    ["the list size itself", literal("abcd", 164), 1],
    ["a byte more", literal("abcd", 165), undefined],
    ["a repeated large field", `${literal("abcd", 100)}be`, undefined],
  ])("counts %s", (_, hex, length) => {
    expect(decodeHex(new HpackDecoder(small), hex)?.length).toBe(length);
  });

  it("stays in step: what the rest of the block inserts is there", () => {
    const decoder = new HpackDecoder(small);
    expect(decodeHex(decoder, "82".repeat(5) + literal("x-after", 3))).toBeUndefined();
    expect(linesOf(decodeHex(decoder, "be"))).toEqual(["x-after: vvv"]);
  });

  it("still finds what is wrong with the rest of the block", () => {
    compressionErrorOf(() => decodeHex(new HpackDecoder(small), `${"82".repeat(5)}be`));
  });

  it("keeps nothing of a block that repeats a large field many times", () => {
    const decoder = new HpackDecoder(limits);
    decodeHex(decoder, literal("x-bomb", 4000));
    for (let i = 0; i < 20; i++) expect(decodeHex(decoder, "be".repeat(100_000))).toBeUndefined();
    expect(decodeHex(decoder, "be")).toHaveLength(1);
  });
});

describe("setMaxTableSize()", () => {
  it("refuses blocks until one begins with a size update, once a smaller table was acknowledged", () => {
    for (const hex of ["82", "", "8220"]) {
      const decoder = new HpackDecoder({ ...limits, maxTableSize: 100 });
      expect(decodeHex(decoder, "82")).toHaveLength(1); // not acknowledged yet
      decoder.setMaxTableSize(100);
      compressionErrorOf(() => decodeHex(decoder, hex));
    }
  });

  it.each([
    ["the size itself", "3f4582"],
    ["a smaller one", "2082"],
    ["a smaller one and the size", "203f4582"],
  ])("takes an update to %s", (_, hex) => {
    const decoder = new HpackDecoder({ ...limits, maxTableSize: 100 });
    decoder.setMaxTableSize(100);
    expect(decodeHex(decoder, hex)).toHaveLength(1);
    expect(decodeHex(decoder, "82")).toHaveLength(1);
    compressionErrorOf(() => decodeHex(decoder, "3f4682"));
  });

  it("wants to hear of the smallest of several sizes", () => {
    const make = () => {
      const decoder = new HpackDecoder(limits);
      decoder.setMaxTableSize(100);
      decoder.setMaxTableSize(4096);
      return decoder;
    };
    expect(decodeHex(make(), "3f453fe11f82")).toHaveLength(1);
    compressionErrorOf(() => decodeHex(make(), "3fe11f82"));
    const grown = new HpackDecoder(limits);
    for (const size of [100, 200]) grown.setMaxTableSize(size);
    compressionErrorOf(() => decodeHex(grown, "3fa90182")); // to 200 only
  });

  it("wants nothing of a peer whose table is that small already", () => {
    const decoder = new HpackDecoder(limits);
    decodeHex(decoder, "20");
    decoder.setMaxTableSize(100);
    expect(decodeHex(decoder, "82")).toHaveLength(1);
  });

  it("lets a table grow to a larger limit", () => {
    const decoder = new HpackDecoder({ maxTableSize: 8192, maxListSize: 20_000, maxFields: 128 });
    decodeHex(decoder, `3fe13f${literal("x-a", 4000)}${literal("x-b", 4000)}`);
    expect(decodeHex(decoder, "bebf")?.map((field) => field.name)).toEqual(["x-b", "x-a"]);
    compressionErrorOf(() => decodeHex(decoder, "3fe23f"));
  });
});

describe("decode() of anything", () => {
  /** Runs blocks through one decoder until it throws, and lets nothing pass but a list or the one error it may throw. */
  function run(blocks: readonly Uint8Array[]): void {
    const decoder = new HpackDecoder({ maxTableSize: 300, maxListSize: 500, maxFields: 6 });
    for (const block of blocks) {
      try {
        const fields = decode(decoder, block);
        if (fields === undefined) continue;
        expect(fields.length).toBeLessThanOrEqual(6);
        expect(fields.reduce((size, field) => size + field.size, 0)).toBeLessThanOrEqual(500);
        expect(fields.every((field) => field instanceof Field)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(ConnectionError);
        expect((error as ConnectionError).code).toBe(ErrorCode.compressionError);
        return;
      }
    }
  }

  it("throws a ConnectionError or nothing, for random bytes", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 5 }), run), { numRuns: 2000 });
  });

  it("throws a ConnectionError or nothing, for valid blocks with bytes changed", () => {
    const change = fc.tuple(fc.nat(), fc.nat(255));
    const blocks = fc.array(fc.tuple(fc.array(anyField, { maxLength: 6 }), fc.array(change, { maxLength: 2 })), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(blocks, (lists) => {
        const encoder = new HpackEncoder({ maxTableSize: 300 });
        run(
          lists.map(([fields, changes]) => {
            const block = encode(encoder, fields);
            for (const [at, byte] of changes) if (block.length > 0) block[at % block.length] = byte;
            return block;
          }),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("has the same table as one with no limits after any blocks", () => {
    const blocks = fc.array(fc.array(anyField, { maxLength: 12 }), { maxLength: 6 });
    fc.assert(
      fc.property(blocks, (lists) => {
        const encoder = new HpackEncoder(limits);
        const strict = new HpackDecoder({ maxTableSize: 4096, maxListSize: 250, maxFields: 3 });
        const free = new HpackDecoder({ maxTableSize: 4096, maxListSize: 1e9, maxFields: 1e9 });
        for (const fields of lists) {
          const block = encode(encoder, fields);
          const all = decode(free, block)!;
          const fits = all.length <= 3 && all.reduce((size, field) => size + field.size, 0) <= 250;
          expect(linesOf(decode(strict, block))).toEqual(fits ? linesOf(all) : undefined);
        }
      }),
    );
  });
});

describe("Field.indexing of a decoded field", () => {
  it.each([
    ["40016100", Indexing.incremental],
    ["00016100", Indexing.without],
    ["10016100", Indexing.never],
    ["82", Indexing.incremental],
  ])("of %s is %i", (hex, indexing) => {
    expect(decodeHex(new HpackDecoder(limits), hex)?.[0]?.indexing).toBe(indexing);
  });
});
