import { gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compress, decompress, supportedEncodings } from "../../src/compress/compress.ts";
import { loadZstd } from "../../src/compress/zstd.ts";
import { samples } from "./samples.ts";
import { vectors } from "./vectors.ts";

const mebi = 1 << 20;

await loadZstd(); // the runtime's own is there at once, the other after some turns

function codeOf(run: () => unknown): Code | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectError);
    return (error as ConnectError).code;
  }
}

describe("supportedEncodings", () => {
  it("are those of every runtime, and zstd where there is one", () => {
    const zstd = "zstdDecompressSync" in (process.getBuiltinModule("node:zlib") as object) ? ["zstd"] : [];
    expect(supportedEncodings).toEqual(["gzip", "br", "deflate", ...zstd]);
  });
});

describe.each(["snappy", "zstd"])("decompress() of %s, which can be read on every runtime", (encoding) => {
  it("keeps to the limit, and says whose fault it is", () => {
    const [, , base64] = vectors.find(([how, sample]) => how.startsWith(encoding) && sample === "records")!;
    const bytes = Buffer.from(base64, "base64");
    const plain = samples.records!();
    expect(Buffer.from(decompress(encoding, bytes, mebi))).toEqual(plain);
    expect(codeOf(() => decompress(encoding, bytes, plain.length - 1))).toBe(Code.ResourceExhausted);
    expect(codeOf(() => decompress(encoding, Buffer.from("plain"), mebi))).toBe(Code.InvalidArgument);
  });
});

describe.each(supportedEncodings)("decompress() of %s", (encoding) => {
  it("gives back what was compressed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(Buffer.from(decompress(encoding, compress(encoding, bytes), mebi))).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 50 },
    );
  });

  it("takes as much as the limit, and not a byte more", () => {
    const bytes = compress(encoding, new Uint8Array(1000));
    expect(decompress(encoding, bytes, 1000)).toHaveLength(1000);
    expect(codeOf(() => decompress(encoding, bytes, 999))).toBe(Code.ResourceExhausted);
    expect(codeOf(() => decompress(encoding, compress(encoding, Uint8Array.of(1)), 0))).toBe(Code.ResourceExhausted);
  });

  it("stops a bomb at the limit, in eight legs too", () => {
    const bomb = compress(encoding, new Uint8Array(256 * mebi));
    expect(bomb.length).toBeLessThan(mebi);
    const before = process.memoryUsage().rss;
    for (let leg = 0; leg < 8; leg++) {
      expect(codeOf(() => decompress(encoding, bomb, 4 * mebi))).toBe(Code.ResourceExhausted);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(2 * 8 * 4 * mebi);
  });

  it("refuses what is of no or of another encoding, or was cut off", () => {
    const whole = compress(encoding, Buffer.from("a message that is a little longer"));
    const other = compress(encoding === "gzip" ? "deflate" : "gzip", Buffer.from("x"));
    const cut = Array.from({ length: whole.length - 1 }, (_, at) => whole.subarray(0, at + 1));
    for (const bytes of [Buffer.from("plain"), other, ...cut]) {
      expect(codeOf(() => decompress(encoding, bytes, mebi))).toBe(Code.InvalidArgument);
    }
  });

  it("takes an empty message for an empty message", () => {
    expect(decompress(encoding, new Uint8Array(0), mebi)).toHaveLength(0);
  });

  it("throws nothing but ConnectError, whatever the bytes", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void codeOf(() => decompress(encoding, bytes, 100))));
  });
});

describe("decompress()", () => {
  it.each(["", "identity"])("gives back the same bytes for %j, within the limit", (encoding) => {
    const bytes = new Uint8Array(10);
    expect(decompress(encoding, bytes, 10)).toBe(bytes);
    expect(compress(encoding, bytes)).toBe(bytes);
    expect(codeOf(() => decompress(encoding, bytes, 9))).toBe(Code.ResourceExhausted);
  });

  it("answers unimplemented for an encoding that it doesn't know, and says what it knows", () => {
    const bytes = gzipSync("x");
    expect(codeOf(() => decompress("lzma", bytes, mebi))).toBe(Code.Unimplemented);
    expect(() => decompress("lzma", bytes, mebi)).toThrow(/"lzma".*gzip, br, deflate, .*snappy/);
    expect(() => compress("snappy", bytes)).toThrow(/"snappy".*gzip, br, deflate/);
  });
});
