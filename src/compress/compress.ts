/**
 * Compression of single messages, by what the runtime has: gzip, deflate, br, and zstd where there is one (not in Node 20); what it
 * hasn't can still be read.
 * Synchronous: messages are small, and a round through the thread pool costs more than most of them.
 */

import * as zlib from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { isCompressed } from "../wire/encoding.ts";
import { decompressSnappy } from "./snappy.ts";
import { tooLargeCode } from "./too-large.ts";
import { loadZstd } from "./zstd.ts";

interface Encoding {
  readonly compress: (bytes: Uint8Array) => Uint8Array;
  readonly decompress: (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;
}

/** With `info`, a method tells how far it read. The types don't know of it. */
type Informed = (
  bytes: Uint8Array,
  options: { maxOutputLength: number; info: true },
) => { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };

/** zstd came with Node 22.15; the types are those of Node 20. */
const newer = zlib as unknown as {
  readonly zstdCompressSync?: Encoding["compress"];
  readonly zstdDecompressSync?: Informed;
};

/** Brotli's default of 11 is for files that are compressed once. */
const brotliOptions = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } };

/** By name, the one to be preferred first: nearly everybody has gzip. "deflate" is zlib's format (RFC 1950), as HTTP has it. */
const encodings = new Map<string, Encoding>([
  ["gzip", { compress: (bytes) => zlib.gzipSync(bytes), decompress: zlib.gunzipSync }],
  [
    "br",
    {
      compress: (bytes) => zlib.brotliCompressSync(bytes, brotliOptions),
      decompress: exactly(zlib.brotliDecompressSync as unknown as Informed),
    },
  ],
  ["deflate", { compress: (bytes) => zlib.deflateSync(bytes), decompress: zlib.inflateSync }],
]);
const { zstdCompressSync, zstdDecompressSync } = newer;
if (zstdCompressSync !== undefined && zstdDecompressSync !== undefined) {
  encodings.set("zstd", { compress: (bytes) => zstdCompressSync(bytes), decompress: exactly(zstdDecompressSync) });
}

/** Names of the encodings that can be read and written here, the most common first; "identity" isn't among them. */
export const supportedEncodings: readonly string[] = [...encodings.keys()];

/** Those that can be read, by other decoders where the runtime has none. */
const decoders = new Map<string, Encoding["decompress"]>([
  ...[...encodings].map(([name, { decompress }]) => [name, decompress] as const),
  ["snappy", decompressSnappy],
]);
/** Not awaited: it is ready before a listener is, and where there is no WebAssembly, there is no zstd. */
if (!decoders.has("zstd")) {
  void loadZstd().then(
    (decompressZstd) => decoders.set("zstd", decompressZstd),
    () => {},
  );
}

/**
 * Decompresses a message, and stops as soon as there would be more of it than the limit: a few kilobytes can be a gigabyte.
 *
 * @param encoding a name as in grpc-encoding; "identity" and "" give `bytes` back
 * @param bytes one compressed message; an empty one is empty in every encoding
 * @param limit the most bytes there may be
 * @throws ConnectError `unimplemented` for an encoding that isn't known here, `resource_exhausted` over the limit,
 *   `invalid_argument` for bytes that aren't of this encoding, or were cut off
 */
export function decompress(encoding: string, bytes: Uint8Array, limit: number): Uint8Array {
  if (!isCompressed(encoding) || bytes.length === 0) return withinLimit(bytes, limit);
  const decompress = decoders.get(encoding);
  if (decompress === undefined) throw unknown(encoding, decoders);
  let plain: Uint8Array;
  try {
    plain = decompress(bytes, { maxOutputLength: Math.max(limit, 1) }); // zlib wants at least one
  } catch (error) {
    if ((error as { code?: unknown }).code === tooLargeCode) throw tooLarge(limit);
    throw new ConnectError(`the message is not ${encoding}`, Code.InvalidArgument, undefined, undefined, error);
  }
  return withinLimit(plain, limit);
}

/**
 * Compresses a message.
 *
 * @param encoding a name as in grpc-encoding; "identity" and "" give `bytes` back
 * @throws ConnectError `unimplemented` for an encoding that isn't known here
 */
export function compress(encoding: string, bytes: Uint8Array): Uint8Array {
  if (!isCompressed(encoding)) return bytes;
  const known = encodings.get(encoding);
  if (known === undefined) throw unknown(encoding, encodings);
  return known.compress(bytes);
}

/**
 * Deno takes half of a brotli stream for a whole one, Bun and Deno do so with zstd. A byte behind it tells: who has come to the end
 * leaves it unread.
 */
function exactly(decompress: Informed): Encoding["decompress"] {
  return (bytes, { maxOutputLength }) => {
    const oneMore = new Uint8Array(bytes.length + 1);
    oneMore.set(bytes);
    const { buffer, engine } = decompress(oneMore, { maxOutputLength, info: true });
    if (engine.bytesWritten !== bytes.length)
      throw new Error(`it ends at byte ${engine.bytesWritten} of ${bytes.length}`);
    return buffer;
  };
}

/** gRPC, "Compression": the error names what would be understood. */
function unknown(name: string, known: ReadonlyMap<string, unknown>): ConnectError {
  const expected = [...known.keys()].join(", ");
  return new ConnectError(`unknown compression "${name}", expected one of ${expected}`, Code.Unimplemented);
}

function withinLimit(bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.length > limit) throw tooLarge(limit);
  return bytes;
}

function tooLarge(limit: number): ConnectError {
  return new ConnectError(`message is larger than ${limit} bytes`, Code.ResourceExhausted);
}
