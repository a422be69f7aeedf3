/** Decompression bombs: 1 GiB of zeros, compressed. */
import { once } from "node:events";
import { constants, createBrotliCompress, deflateRawSync } from "node:zlib";

const mebibyte = Buffer.alloc(1 << 20);
const mebibytes = 1024;

/** CRC-32 of 1 GiB of zeros. */
const crc = 0x5b64c2b0;

/** About 1 MB. Blocks that stand for themselves are repeated, so that making it costs nothing. */
export function gzipBomb(): Buffer {
  const block = deflateRawSync(mebibyte, { finishFlush: constants.Z_FULL_FLUSH });
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  const trailer = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // the empty last block, CRC, length
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(mebibytes << 20, 6);
  return Buffer.concat([header, ...Array.from({ length: mebibytes }, () => block), trailer]);
}

/** About 200 kB. */
export async function brotliBomb(): Promise<Buffer> {
  const stream = createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  const parts: Buffer[] = [];
  stream.on("data", (part: Buffer) => parts.push(part));
  const end = once(stream, "end");
  for (let at = 0; at < mebibytes; at++) if (!stream.write(mebibyte)) await once(stream, "drain");
  stream.end();
  await end;
  return Buffer.concat(parts);
}
