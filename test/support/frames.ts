/** HTTP/2 frames made and read by hand (RFC 9113 section 4), so that a test can send what no library would. */

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** What a client says first (RFC 9113 section 3.4). */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export interface Frame {
  type: number;
  flags: number;
  streamId: number;
  payload: Buffer;
}

const nothing = Buffer.alloc(0);

/** One frame's bytes, as told: no value is checked. */
export function frame(type: number, flags: number, streamId: number, payload: Buffer = nothing): Buffer {
  const bytes = Buffer.allocUnsafe(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  payload.copy(bytes, 9);
  return bytes;
}

/** A SETTINGS frame of any identifiers and values, in order. */
export function settingsFrame(entries: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return frame(FrameType.settings, 0, 0, payload);
}

/** RST_STREAM. */
export function resetFrame(streamId: number, code: number): Buffer {
  return frame(FrameType.rstStream, 0, streamId, uint32(code));
}

/** WINDOW_UPDATE; stream 0 is the connection. */
export function windowUpdateFrame(streamId: number, increment: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, uint32(increment));
}

/** GOAWAY. */
export function goawayFrame(lastStreamId: number, code: number): Buffer {
  return frame(FrameType.goaway, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code)]));
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** Returns a function that takes chunks as they come and tells each whole frame; padding and priority are cut off. */
export function frameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let rest: Buffer = nothing;
  return (chunk) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (bytes.length >= 9) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < 9 + length) break;
      const type = bytes[3]!;
      const flags = bytes[4]!;
      const payload = bytes.subarray(9, 9 + length);
      onFrame({ type, flags, streamId: bytes.readUInt32BE(5) & 0x7fffffff, payload: unpad(type, flags, payload) });
      bytes = bytes.subarray(9 + length);
    }
    rest = bytes;
  };
}

function unpad(type: number, flags: number, payload: Buffer): Buffer {
  if (type !== FrameType.data && type !== FrameType.headers) return payload;
  let start = 0;
  let end = payload.length;
  if (flags & Flag.padded) {
    end -= payload[0]!;
    start = 1;
  }
  if (type === FrameType.headers && flags & Flag.priority) start += 5;
  return payload.subarray(start, end);
}
