import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHuffman, huffmanLength, writeHuffman } from "../../../src/http2/hpack/huffman.ts";

const binaryString = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));

/** Enough letters of a short code that a string of so many other bytes gets shorter. */
function padding(length: number): string {
  return "a".repeat(8 * length + 3);
}

function encode(text: string): Uint8Array {
  const out = new Uint8Array(huffmanLength(text) + 2).fill(0xaa);
  const end = writeHuffman(text, out, 1);
  expect(end).toBe(out.length - 1);
  expect([out[0], out[end]]).toEqual([0xaa, 0xaa]);
  return out.subarray(1, end);
}

function decode(hex: string): string | undefined {
  return decodeHuffman(Buffer.from(hex, "hex"), 0, hex.length / 2);
}

describe("writeHuffman() and decodeHuffman()", () => {
  it("give each byte back, alone and between others", () => {
    for (let code = 0; code < 256; code++) {
      const char = String.fromCharCode(code);
      for (const text of [char, `${char}${char}`, `a${char}Z${char}\xff`]) {
        for (const padded of [text + padding(text.length), padding(text.length) + text]) {
          const bytes = encode(padded);
          expect(decodeHuffman(bytes, 0, bytes.length)).toBe(padded);
        }
      }
    }
  });

  it("give any string back, from anywhere in a buffer", () => {
    fc.assert(
      fc.property(binaryString, fc.nat(9), (part, offset) => {
        const text = part + padding(part.length);
        const bytes = new Uint8Array(offset + huffmanLength(text) + 3).fill(0xff);
        const end = writeHuffman(text, bytes, offset);
        expect(decodeHuffman(bytes, offset, end)).toBe(text);
      }),
    );
  });

  it("give a string back that is longer than the decoder's own buffer", () => {
    const text = "012345678901234567890\xf9".repeat(10_000);
    const bytes = encode(text);
    expect(decodeHuffman(bytes, 0, bytes.length)).toBe(text);
  });

  it("write one text for each encoded string: what decodes is what would be written", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const text = decodeHuffman(bytes, 0, bytes.length);
        if (text !== undefined && bytes.length < text.length) expect(encode(text)).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("writeHuffman()", () => {
  it("gives up where the result is no shorter, before it writes more than the string itself would take", () => {
    fc.assert(
      fc.property(binaryString, (text) => {
        const out = new Uint8Array(text.length * 4 + 8).fill(0xaa);
        const end = writeHuffman(text, out, 0);
        const length = huffmanLength(text);
        expect(end).toBe(length < text.length ? length : -1);
        expect(out.subarray(text.length).every((byte) => byte === 0xaa)).toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(writeHuffman("", new Uint8Array(0), 0)).toBe(-1);
    expect(writeHuffman("aa", new Uint8Array(2), 0)).toBe(-1);
    expect(writeHuffman("aaa", new Uint8Array(2), 0)).toBe(2);
  });

  it("writes a character that isn't a byte as a question mark", () => {
    expect(encode("aaa\u010aaaa")).toEqual(encode("aaa?aaa"));
  });
});

describe("decodeHuffman()", () => {
  it.each([
    ["", ""],
    ["f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"],
    ["07", "0"],
    ["feff", ")"],
  ])("reads %j as %j", (hex, text) => {
    expect(decode(hex)).toBe(text);
  });

  it.each([
    ["8 bits of padding after nothing", "ff"],
    ["8 bits of padding after a whole code", "1fff"],
    ["15 bits of padding", "ffff"],
    ["padding that isn't all ones", "00"],
    ["padding that isn't all ones, longer than it", "f1e3c2e5f23a6ba0ab90f4fe"],
    ["the end of string", "fffffffc"],
    ["the end of string, with text after it", "fffffffcf1e3c2e5"],
    ["the end of string, after text and padded with ones", "1fffffffff"],
    ["a code that is cut off", "fffffe"],
  ])("refuses %s", (_, hex) => {
    expect(decode(hex)).toBeUndefined();
  });
});
