/** Frames of HTTP/2: types, flags and the nine-byte header (RFC 9113 sections 4.1 and 6). */

export const DATA = 0x0;
export const HEADERS = 0x1;
export const PRIORITY = 0x2;
export const RST_STREAM = 0x3;
export const SETTINGS = 0x4;
export const PUSH_PROMISE = 0x5;
export const PING = 0x6;
export const GOAWAY = 0x7;
export const WINDOW_UPDATE = 0x8;
export const CONTINUATION = 0x9;

/** Flags; ACK is of SETTINGS and PING, END_STREAM of DATA and HEADERS. */
export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const HAS_PRIORITY = 0x20;

/** Identifiers in a SETTINGS frame (section 6.5.2). */
export const SettingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

export const frameHeaderSize = 9;

/** The largest window, stream id and most other numbers of HTTP/2: 31 bits. */
export const maxInt31 = 0x7fff_ffff;

/** What both peers assume of each other until a SETTINGS frame says otherwise (section 6.5.2). */
export const initialWindowSize = 65_535;
export const initialMaxFrameSize = 16_384;

/** The 24 bytes that open a client's side of a connection (section 3.4), as a binary string. */
export const connectionPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** What "HTT", with which an HTTP/1 response begins, reads as where a frame's length should be. */
export const http1Start = 0x48_54_54;

/** Writes a frame header at `at`; returns the offset behind it. */
export function writeFrameHeader(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  return writeUint32(out, at + 5, streamId);
}

/** Writes 32 bits in network order; returns the offset behind them. */
export function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** Reads 32 bits in network order, unsigned. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Reads the 31 bits of a stream id or increment; the reserved bit is ignored, as section 4.1 asks. */
export function readUint31(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
