/** Chunk size: the line before each chunk, of a size and perhaps extensions (RFC 9112 section 7.1). */
import { latin1 } from "../http2/hpack/latin1.ts";
import { hexValue, isHexDigit, stopOf } from "./characters.ts";
import { badRequest } from "./request-error.ts";

/** Digits of a chunk size at most: 52 bits, which a number holds exactly. Leading zeros count. */
export const maxSizeDigits = 13;

/**
 * Section 7.1.1, but without the white space that it lets pass beside semicolon and equals sign: parsers differ in what they do
 * with it, and no client sends it.
 */
const extensions =
  /^(?:;[!#$%&'*+\-.^`|~\w]+(?:=(?:[!#$%&'*+\-.^`|~\w]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*$/;

/** Where the digits of a chunk size end, and the extensions begin. */
export function sizeStop(bytes: Uint8Array, start: number, stop: number): number {
  return stopOf(isHexDigit, bytes, start, stop);
}

/**
 * Reads the digits from `start` to `digitsStop` and looks at the extensions behind them, which mean nothing to us.
 *
 * @throws RequestError 400
 */
export function parseChunkSize(bytes: Uint8Array, start: number, digitsStop: number, stop: number): number {
  if (digitsStop === start || digitsStop - start > maxSizeDigits) throw badRequest("invalid chunk size");
  if (digitsStop < stop && !extensions.test(latin1(bytes, digitsStop, stop))) {
    throw badRequest("invalid chunk size or extension");
  }
  let size = 0;
  for (let at = start; at < digitsStop; at++) size = size * 16 + hexValue(bytes[at]!);
  return size;
}
