import * as zlib from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompressSnappy } from "../../src/compress/snappy.ts";
import { loadZstd } from "../../src/compress/zstd.ts";
import { samples } from "./samples.ts";
import { vectors } from "./vectors.ts";

const decompressZstd = await loadZstd();
const decoders = { snappy: decompressSnappy, zstd: decompressZstd };
const decoderOf = (how: string) => decoders[how.startsWith("snappy") ? "snappy" : "zstd"];
const limit = { maxOutputLength: 1 << 20 };

describe.each(vectors)("%s of %s", (how, sample, base64) => {
  const bytes = Buffer.from(base64, "base64");
  const plain = samples[sample]!();
  const decode = decoderOf(how);

  it("is read", () => {
    expect(Buffer.from(decode(bytes, { maxOutputLength: plain.length })).equals(plain)).toBe(true);
  });

  it("isn't read beyond a limit", () => {
    if (plain.length === 0) return expect(decode(bytes, { maxOutputLength: 0 })).toHaveLength(0);
    expect(() => decode(bytes, { maxOutputLength: plain.length - 1 })).toThrow(
      expect.objectContaining({ code: "ERR_BUFFER_TOO_LARGE" }),
    );
  });

  it("isn't read where it was cut off, unless that is between two parts of it", () => {
    for (let length = 1; length < bytes.length; length += Math.ceil(bytes.length / 300)) {
      const cut = () => decode(bytes.subarray(0, length), limit);
      if (how.startsWith("snappy")) expectPrefix(cut, plain);
      else expect(cut, `${length} of ${bytes.length}`).toThrow(Error);
    }
  });

  it("ends in output or in an error where it was spoilt", () => {
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const spoilt = Buffer.from(bytes);
        if (at < spoilt.length) spoilt[at]! ^= change;
        try {
          expect(decode(spoilt, limit).length).toBeLessThanOrEqual(limit.maxOutputLength);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(TypeError);
        }
      }),
      { numRuns: 60 },
    );
  });
});

/** A stream of snappy may end behind any chunk. */
function expectPrefix(decode: () => Uint8Array, plain: Buffer): void {
  let out: Uint8Array;
  try {
    out = decode();
  } catch {
    return;
  }
  expect(plain.subarray(0, out.length).equals(out)).toBe(true);
}

describe("decompressSnappy()", () => {
  const chunk = (type: number, ...bytes: number[]) => [type, bytes.length, 0, 0, ...bytes];
  const start = chunk(0xff, ...Buffer.from("sNaPpY"));

  it("skips what may be skipped", () => {
    const hello = Buffer.from("/wYAAHNOYVBwWQEKAABTVf9TaGVsbG8K", "base64");
    const bytes = Buffer.concat([hello, Buffer.from(chunk(0xfe, 1, 2, 3)), Buffer.from(start)]);
    expect(Buffer.from(decompressSnappy(bytes, limit)).toString()).toBe("hello\n");
  });

  it.each([
    ["no identifier", chunk(0x01, 0x53, 0x55, 0xff, 0x53)],
    ["another identifier", chunk(0xff, ...Buffer.from("sNaPpX"))],
    ["a chunk that must not be skipped", [...start, ...chunk(0x02, 0, 0, 0, 0)]],
    ["a wrong checksum", [...start, ...chunk(0x01, 1, 2, 3, 4, 0x68)]],
    ["a chunk without a checksum", [...start, ...chunk(0x01, 1, 2, 3)]],
    ["a block without a length", [...start, ...chunk(0x00, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)]],
    ["a block of 4 GiB", [...start, ...chunk(0x00, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0x0f)]],
    ["a literal of nearly 4 GiB", [...start, ...chunk(0x00, 1, 2, 3, 4, 10, 0xfc, 0xfa, 0xff, 0xff, 0xff, 0, 0, 0, 0)]],
    ["a copy of nothing", [...start, ...chunk(0x00, 1, 2, 3, 4, 4, 0x01, 0x01)]],
  ])("refuses %s", (_what, bytes) => {
    expect(() => decompressSnappy(Uint8Array.from(bytes), limit)).toThrow(Error);
  });
});

describe("loadZstd()", () => {
  it("reads frames one behind the other, and skips those that may be", () => {
    const [, , base64] = vectors.find(([how, sample]) => how.startsWith("zstd") && sample === "short")!;
    const frame = Buffer.from(base64, "base64");
    const skippable = Uint8Array.of(0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
    const plain = samples.short!();
    expect(Buffer.from(decompressZstd(Buffer.concat([frame, skippable, frame]), limit))).toEqual(
      Buffer.concat([plain, plain]),
    );
  });

  it.each([
    ["another format", [0x1f, 0x8b, 8, 0]],
    ["a reserved bit", [0x28, 0xb5, 0x2f, 0xfd, 0x08, 0]],
    ["a dictionary", [0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 0, 1, 0, 0]],
    ["a reserved type of block", [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 7, 0, 0]],
    ["a block in a Huffman code of none before it", [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 0x25, 0, 0, 0x13, 0, 0, 0]],
  ])("refuses %s", (_what, bytes) => {
    expect(() => decompressZstd(Uint8Array.from(bytes), limit)).toThrow(Error);
  });

  it("takes no time and no memory for a block that asks for gigabytes of matches", () => {
    // 33,000 sequences in codes of one symbol each, the longest match, and no bits for any of it
    const block = [0x01, 0x41, 0xff, 0xff, 0x00, 0x54, 0, 0, 52, 1];
    const frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38, (block.length << 3) | 5, 0, 0, ...block];
    const bytes = Uint8Array.from(Array.from({ length: 100 }, () => frame).flat());
    const before = process.memoryUsage().rss;
    expect(() => decompressZstd(bytes, limit)).toThrow(Error);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it("allocates no window, however large", () => {
    const before = process.memoryUsage().rss;
    const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 0x09, 0, 0, 0x41); // 1 GiB for one byte
    for (let i = 0; i < 100; i++) expect(decompressZstd(frame, limit)).toEqual(Uint8Array.of(0x41));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });

  it("refuses a frame by the size that it says, and by that of its blocks where it says none", () => {
    const says1GiB = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 0x09, 0, 0, 0x41];
    const blocks = Array.from({ length: 9 }, (_, i) => [0x02 | (i === 8 ? 1 : 0), 0, 0x10, 0x41]).flat(); // 9 x 128 KiB
    for (const bytes of [says1GiB, [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38, ...blocks]]) {
      expect(() => decompressZstd(Uint8Array.from(bytes), limit)).toThrow(
        expect.objectContaining({ code: "ERR_BUFFER_TOO_LARGE" }),
      );
    }
  });

  it("refuses a wrong checksum, of an empty message too", () => {
    for (const base64 of ["KLUv/SQAAQAAmenYUQ==", "KLUv/QRIAQEAeyJlcnJvciI6eyJjb2RlIjoidW5hdmFpbGFibGUifX0r59EI"]) {
      const bytes = Buffer.from(base64, "base64");
      expect(() => decompressZstd(bytes, limit)).not.toThrow();
      bytes[bytes.length - 1]! ^= 1;
      expect(() => decompressZstd(bytes, limit)).toThrow("not of zstd");
    }
  });

  const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Uint8Array) => Buffer };
  it.skipIf(zstdCompressSync === undefined)("reads what the runtime's own zlib writes (absent in Node 20)", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("alpha", "beta", "gamma", "\0"), { maxLength: 3_000 }), (words) => {
        const plain = Buffer.from(words.join(""));
        expect(Buffer.from(decompressZstd(zstdCompressSync!(plain), limit))).toEqual(plain);
      }),
    );
  });
});
