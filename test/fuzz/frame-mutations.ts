/** Frame mutations: changes of HTTP/2 bytes after which they still are frames, so that they get past the first length. */
import { type Frame, FrameType, frame } from "../support/frames.ts";
import type { Next } from "./mutate.ts";

/** Bytes that say how the target feeds the rest, and aren't frames. */
const decisions = 2;

type Raw = Omit<Frame, "payload"> & { readonly payload: Buffer };

/** As far as there are whole frames; the others keep their lengths. */
export function mutateFrames(bytes: Buffer, next: Next): Buffer | undefined {
  const frames = framesOf(bytes.subarray(decisions));
  if (frames.length === 0) return undefined;
  const at = next(frames.length);
  const one = frames[at]!;
  switch (next(7)) {
    case 0:
      frames.splice(at, 1);
      break;
    case 1:
      frames.splice(next(frames.length + 1), 0, one);
      break;
    case 2:
      frames[at] = { ...one, flags: one.flags ^ (1 << next(8)) };
      break;
    case 3:
      frames[at] = { ...one, streamId: next(4) === 0 ? 2 ** 31 - 1 - next(3) : next(12) };
      break;
    case 4:
      frames[at] = { ...one, type: next(11) };
      break;
    case 5:
      frames[at] = { ...one, payload: changed(one.payload, next) };
      break;
    default:
      frames.splice(at, 0, made(next));
  }
  return Buffer.concat([bytes.subarray(0, decisions), ...frames.map(bytesOf)]);
}

function framesOf(bytes: Buffer): Raw[] {
  const frames: Raw[] = [];
  for (let at = 0; bytes.length - at >= 9; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    const [type, flags, streamId] = [bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5)];
    frames.push({ type, flags, streamId, payload: bytes.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}

function bytesOf({ type, flags, streamId, payload }: Raw): Buffer {
  return frame(type, flags, streamId, payload);
}

function changed(payload: Buffer, next: Next): Buffer {
  const at = next(payload.length + 1);
  const [head, tail] = [payload.subarray(0, at), payload.subarray(at)];
  const some = Buffer.from(Array.from({ length: 1 + next(5) }, () => next(256)));
  if (next(3) === 0) return Buffer.concat([head, tail.subarray(1 + next(4))]);
  return Buffer.concat([head, some, next(2) === 0 ? tail : tail.subarray(some.length)]);
}

/** A frame of a length that its type asks for. */
function made(next: Next): Raw {
  const lengths = [next(40), next(30), 5, 4, 6 * next(4), 4, 8, 8 + next(4), 4, next(20)];
  const type = next(lengths.length);
  const payload = Buffer.from(Array.from({ length: lengths[type]! }, () => (next(3) === 0 ? next(256) : 0)));
  const onConnection = type === FrameType.settings || type === FrameType.ping || type === FrameType.goaway;
  return { type, flags: next(2) * next(256), streamId: onConnection ? 0 : next(9), payload };
}
