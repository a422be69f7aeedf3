/**
 * Snappy, read only: the framing format, which is what "snappy" is in gRPC and Connect. No runtime has it, and `snappyjs` turns forever
 * on a block of ten bytes whose literal has a negative length.
 */
import { outputTooLarge } from "./too-large.ts";

/** Types of chunks. Others are skipped from `firstSkippable` on, and an error below. */
const Chunk = { compressed: 0x00, plain: 0x01, firstSkippable: 0x80, identifier: 0xff } as const;

const identifier = "sNaPpY";

/** Bytes that a chunk may hold. */
const maxChunk = 64 << 10;

/**
 * @throws Error for bytes that aren't of this format, RangeError "ERR_BUFFER_TOO_LARGE" over the limit
 * @see framing_format.txt and format_description.txt of google/snappy
 */
export function decompressSnappy(bytes: Uint8Array, { maxOutputLength }: { maxOutputLength: number }): Uint8Array {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let at = 0;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new Error("cut off in the header of a chunk");
    const type = bytes[at]!;
    const from = at + 4;
    at = from + (bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16));
    if (at > bytes.length) throw new Error("cut off in a chunk");
    if (from === 4 && type !== Chunk.identifier) throw new Error("no stream identifier");
    const chunk = readChunk(type, bytes.subarray(from, at));
    if (chunk === undefined) continue;
    length += chunk.length;
    if (length > maxOutputLength) throw outputTooLarge(maxOutputLength);
    chunks.push(chunk);
  }
  return joined(chunks, length);
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** @returns undefined for a chunk that holds nothing of the message */
function readChunk(type: number, chunk: Uint8Array): Uint8Array | undefined {
  if (type === Chunk.identifier) {
    if (String.fromCharCode(...chunk) !== identifier) throw new Error("another stream identifier");
    return undefined;
  }
  if (type >= Chunk.firstSkippable) return undefined;
  if (type > Chunk.plain || chunk.length < 4) throw new Error(`chunk of type ${type}`);
  const data = chunk.subarray(4);
  const plain = type === Chunk.plain ? data : readBlock(data);
  if (plain.length > maxChunk) throw new Error("a chunk of more than 64 KiB");
  const sum = new DataView(chunk.buffer, chunk.byteOffset).getUint32(0, true);
  if (sum !== maskedCrc(plain)) throw new Error("wrong checksum");
  return plain;
}

/** A block: its length, then literals and copies. */
function readBlock(block: Uint8Array): Uint8Array {
  let length = 0;
  let at = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = at < block.length ? block[at++]! : 0x80;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
    if (shift === 28) throw new Error("no length");
  }
  if (length > maxChunk) throw new Error(`a block of ${length} bytes`);
  const out = new Uint8Array(length);
  let done = 0;
  while (at < block.length) {
    const tag = block[at++]!;
    const high = tag >>> 2;
    const kind = tag & 3;
    const extra = kind === 0 ? Math.max(0, high - 59) : kind === 3 ? 4 : kind;
    if (at + extra > block.length) throw new Error("cut off in a block");
    let value = 0;
    for (let i = extra - 1; i >= 0; i--) value = value * 256 + block[at + i]!;
    at += extra;
    const count = kind === 0 ? (extra === 0 ? high : value) + 1 : kind === 1 ? 4 + (high & 7) : 1 + high;
    if (done + count > length) throw new Error(`a block of more than ${length} bytes`);
    if (kind === 0) {
      if (at + count > block.length) throw new Error("cut off in a literal");
      out.set(block.subarray(at, at + count), done);
      at += count;
    } else {
      const distance = kind === 1 ? value + ((tag >>> 5) << 8) : value;
      if (distance < 1 || distance > done) throw new Error(`a copy from ${distance} bytes ago, of ${done}`);
      for (let i = done; i < done + count; i++) out[i] = out[i - distance]!; // what this writes may be what it reads
    }
    done += count;
  }
  if (done !== length) throw new Error(`a block of ${done} bytes, not ${length}`);
  return out;
}

const crcTable = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C, rotated and added to, as the format has it. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
