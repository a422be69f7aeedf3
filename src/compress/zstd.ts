/**
 * Zstandard, read only, for runtimes whose zlib doesn't have it, as Node 20: the reference decoder as WebAssembly (`zstddec`).
 * Decoders in JavaScript were tried: `fzstd` takes 5 s for a frame of 19 bytes that asks for matches beyond the block's end.
 */
import { ZSTDDecoder } from "zstddec";
import { outputTooLarge } from "./too-large.ts";

type Decompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** All that is decoded is in the WebAssembly's memory at once, which never shrinks. */
const maxOutput = 256 << 20;

/** A frame of the one byte 0. */
const oneByte = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 0x09, 0, 0, 0);

const magic = 0xfd2fb528;
/** Of frames to be skipped; the last digit is anything. */
const skippableMagic = 0x184d2a50;
/** No block has more, compressed or not. */
const maxBlock = 128 << 10;

/**
 * Makes the decoder ready, which takes some turns. It throws an Error for bytes that aren't of this format, and a RangeError
 * "ERR_BUFFER_TOO_LARGE" over the limit. It writes where the output goes, at most as much as is allowed: the window that a frame asks
 * for is never allocated.
 *
 * @throws where there is no WebAssembly
 */
export async function loadZstd(): Promise<Decompress> {
  const decoder = new ZSTDDecoder();
  await decoder.init();
  return (bytes, { maxOutputLength }) => {
    const room = Math.max(1, Math.min(maxOutputLength, maxOutput)); // 0 would be "what the frame says"
    const plain = decoder.decode(bytes, room);
    if (plain.length > maxOutputLength) throw outputTooLarge(maxOutputLength);
    if (plain.length > 0 || isEmpty(decoder, bytes)) return plain;
    if (mostOutput(bytes) > room) throw outputTooLarge(room);
    throw new Error("not of zstd");
  };
}

/** The decoder gives no bytes for an error, as for an empty message; but one more if there is one more behind the message alone. */
function isEmpty(decoder: ZSTDDecoder, bytes: Uint8Array): boolean {
  const oneMore = new Uint8Array(bytes.length + oneByte.length);
  oneMore.set(bytes);
  oneMore.set(oneByte, bytes.length);
  return decoder.decode(oneMore, oneByte.length).length === 1;
}

/**
 * The most that frames can hold, by what they say of themselves and by the number of their blocks (RFC 8878 sections 3.1.1 and 3.1.2).
 *
 * @throws Error for what isn't a row of whole frames
 */
function mostOutput(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let most = 0;
  for (let at = 0; at < bytes.length; ) {
    const first = view.getUint32(at, true);
    if ((first & ~15) >>> 0 === skippableMagic) {
      at += 8 + view.getUint32(at + 4, true);
      continue;
    }
    if (first !== magic) throw new Error("no frame of zstd");
    const head = view.getUint8(at + 4);
    const single = (head & 0x20) !== 0;
    const sizeAt = at + 5 + (single ? 0 : 1) + [0, 1, 2, 4][head & 3]!;
    const blocksAt = sizeAt + [single ? 1 : 0, 2, 4, 8][head >> 6]!;
    const { count, end } = walkBlocks(view, blocksAt);
    most += contentSize(view, sizeAt, blocksAt - sizeAt) ?? count * maxBlock;
    at = end + ((head & 4) !== 0 ? 4 : 0);
  }
  return most;
}

function walkBlocks(view: DataView, start: number): { count: number; end: number } {
  let end = start;
  for (let count = 1; ; count++) {
    const block = view.getUint16(end, true) | (view.getUint8(end + 2) << 16);
    end += 3 + (((block >> 1) & 3) === 1 ? 1 : block >> 3);
    if ((block & 1) === 1) return { count, end };
  }
}

/** @returns undefined where a frame doesn't say how much there is in it */
function contentSize(view: DataView, at: number, length: number): number | undefined {
  if (length === 1) return view.getUint8(at);
  if (length === 2) return view.getUint16(at, true) + 256;
  if (length === 4) return view.getUint32(at, true);
  return length === 8 ? Number(view.getBigUint64(at, true)) : undefined;
}
