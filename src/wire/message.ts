/** `grpc-message`: percent-encoded UTF-8 to text and back (gRPC over HTTP/2, "Responses"). */

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const encoder = new TextEncoder();

/** Most messages are plain: these pass without a look at each byte. */
const plainToWrite = /^(?! )[ -$&-~]*(?<! )$/;
const plainToRead = /^[\0-$&-\x7f]*$/;

/**
 * Writes a message as a header value: every byte of its UTF-8 that isn't printable ASCII, and `%`, becomes `%XX`.
 * So CR, LF and NUL can never get into a header. So does a space at either end, where a value may have none (RFC 9113 section
 * 8.2.1) and readers cut it off. Lone surrogates become U+FFFD.
 */
export function encodeMessage(text: string): string {
  if (plainToWrite.test(text)) return text;
  let value = "";
  const bytes = encoder.encode(text);
  for (const [at, byte] of bytes.entries()) {
    const inside = at > 0 && at < bytes.length - 1;
    const printable = (byte > 0x20 || (byte === 0x20 && inside)) && byte <= 0x7e && byte !== 0x25;
    value += printable ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return value;
}

/**
 * Reads a header value as a message. Never throws: a `%` that isn't followed by two hex digits stays as it is ("50% off"),
 * and where the decoded bytes aren't UTF-8 the percent signs stay all of them.
 *
 * @param value a binary string, one character for each byte; raw UTF-8, which some servers send, is understood
 */
export function decodeMessage(value: string): string {
  if (plainToRead.test(value)) return value;
  try {
    return strictUtf8.decode(percentDecode(value));
  } catch {
    return utf8.decode(bytesOf(value));
  }
}

function percentDecode(value: string): Uint8Array {
  const bytes = new Uint8Array(value.length);
  let length = 0;
  for (let at = 0; at < value.length; at++) {
    const high = value[at] === "%" ? hexDigit(value.charCodeAt(at + 1)) : -1;
    const low = high === -1 ? -1 : hexDigit(value.charCodeAt(at + 2));
    if (low === -1) {
      bytes[length++] = value.charCodeAt(at);
    } else {
      bytes[length++] = high * 16 + low;
      at += 2;
    }
  }
  return bytes.subarray(0, length);
}

/** The digit's value, or -1 (also for the NaN that stands behind the end of a string). */
function hexDigit(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30;
  const lower = char | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
