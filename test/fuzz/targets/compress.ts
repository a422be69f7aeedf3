/** Fuzz: decompression: never more than the limit, nothing but our own error, and Snappy as a decoder of a few lines has it. */
import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";
import { compress, decompress, supportedEncodings } from "../../../src/compress/compress.ts";
import { Input } from "../input.ts";

const encodings = ["snappy", "gzip", "deflate", "br", "zstd", "snappy", "snappy"];
const limits = [0, 100, 70_000, 300_000];

export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const mode = input.byte();
  const encoding = encodings[mode % encodings.length]!;
  const limit = limits[(mode >>> 4) % limits.length]!;
  const bytes = new Uint8Array(input.rest());
  read(encoding, bytes, limit);
  if (encoding === "snappy") checkBlock(bytes, limit);
  else if (supportedEncodings.includes(encoding)) {
    const compressed = compress(encoding, bytes);
    assert.deepEqual(Buffer.from(read(encoding, compressed, bytes.length) ?? []), Buffer.from(bytes));
    if (compressed.length > 1)
      assert.equal(read(encoding, compressed.subarray(0, -1), 1 << 20), undefined, "half is no whole");
  }
}

function read(encoding: string, bytes: Uint8Array, limit: number): Uint8Array | undefined {
  try {
    const plain = decompress(encoding, bytes, limit);
    assert(plain.length <= limit);
    return plain;
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
    return undefined;
  }
}

/** The bytes as a block of Snappy within a frame whose checksum is right, so that the block is what is looked at. */
function checkBlock(block: Uint8Array, limit: number): void {
  const expected = readBlock(block);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(maskedCrc(expected ?? Buffer.alloc(0)));
  const size = Buffer.alloc(3);
  size.writeUIntLE(block.length + 4, 0, 3);
  const frame = Buffer.concat([Buffer.from("\xff\x06\0\0sNaPpY\0", "latin1"), size, sum, block]);
  const plain = read("snappy", frame, limit);
  const fits = expected !== undefined && expected.length <= Math.min(limit, 65_536);
  assert.deepEqual(plain && Buffer.from(plain), fits ? expected : undefined);
}

/** A block by the words of format_description.txt; undefined for what is none. */
function readBlock(block: Uint8Array): Buffer | undefined {
  let at = 0;
  const take = (bytes: number) => {
    let value = 0n;
    for (let i = 0; i < bytes; i++) value |= BigInt(block[at++] ?? Number.NaN) << BigInt(8 * i);
    return Number(value);
  };
  const out: number[] = [];
  try {
    let length = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (shift > 28n) return undefined;
      const byte = BigInt(take(1));
      length |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) break;
    }
    if (length > 65_536n) return undefined;
    while (at < block.length) {
      const tag = take(1);
      if ((tag & 3) === 0) {
        const count = tag >> 2 < 60 ? (tag >> 2) + 1 : take((tag >> 2) - 59) + 1;
        if (count > block.length - at) return undefined;
        out.push(...block.subarray(at, at + count));
        at += count;
      } else {
        const isShort = (tag & 3) === 1;
        const count = isShort ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
        const distance = isShort ? (tag >> 5) * 256 + take(1) : take((tag & 3) === 2 ? 2 : 4);
        if (distance === 0 || distance > out.length) return undefined;
        for (let i = 0; i < count; i++) out.push(out[out.length - distance]!);
      }
      if (BigInt(out.length) > length) return undefined;
    }
    return BigInt(out.length) === length ? Buffer.from(out) : undefined;
  } catch {
    return undefined; // cut off
  }
}

/** CRC-32C bit by bit, masked as the format has it. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
