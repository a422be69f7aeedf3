/**
 * Zstandard, read only (RFC 8878): for runtimes whose zlib doesn't have it, as Node 20. Ten times slower than a native one, which is
 * what ends of streams and messages of a few kilobytes can bear. Checksums aren't checked, dictionaries aren't known.
 */
import { LimitedOutput } from "./limited-output.ts";
import { little } from "./zstd-bits.ts";
import { BlockDecoder, maxBlock } from "./zstd-block.ts";

const magic = 0xfd2fb528;
/** Of frames to be skipped; the last digit is anything. */
const skippableMagic = 0x184d2a50;

/** @throws Error for bytes that aren't of this format, RangeError "ERR_BUFFER_TOO_LARGE" over the limit */
export function decompressZstd(bytes: Uint8Array, { maxOutputLength }: { maxOutputLength: number }): Uint8Array {
  const out = new LimitedOutput(maxOutputLength);
  let at = 0;
  do {
    const first = little(bytes, at, 4);
    if ((first & ~15) >>> 0 === skippableMagic) at += 8 + little(bytes, at + 4, 4);
    else if (first === magic) at = readFrame(bytes, at + 4, out);
    else throw new Error("no frame of zstd");
  } while (at < bytes.length);
  if (at > bytes.length) throw new Error("cut off in a frame");
  return out.bytes;
}

/** @returns where the frame ends */
function readFrame(bytes: Uint8Array, start: number, out: LimitedOutput): number {
  const head = little(bytes, start, 1);
  const single = (head & 0x20) !== 0;
  if ((head & 0x08) !== 0) throw new Error("a reserved bit of a frame is set");
  let at = start + 1 + (single ? 0 : 1);
  const dictionary = [0, 1, 2, 4][head & 3]!;
  if (little(bytes, at, dictionary) !== 0) throw new Error("a dictionary that isn't known");
  at += dictionary + [single ? 1 : 0, 2, 4, 8][head >> 6]!;
  const decoder = new BlockDecoder(out);
  for (let last = false; !last; ) {
    const block = little(bytes, at, 3);
    last = (block & 1) === 1;
    const size = block >> 3;
    const type = (block >> 1) & 3;
    at += 3;
    const end = at + (type === 1 ? 1 : size);
    if (end > bytes.length) throw new Error("cut off in a block");
    if (size > maxBlock || type === 3) throw new Error(`a block of type ${type} and ${size} bytes`);
    if (type === 0) out.append(bytes.subarray(at, end));
    else if (type === 1) out.fill(bytes[at]!, size);
    else decoder.read(bytes.subarray(at, end));
    at = end;
  }
  return at + ((head & 4) !== 0 ? 4 : 0);
}
