/** Body: parts of a body that have to wait, kept in little more memory than they have bytes. */

/** A part of a body: `bytes` from `start` to `stop`. */
export interface BodyRange {
  bytes: Uint8Array;
  start: number;
  stop: number;
  /** The buffer is the list's own: what lies behind `stop` in it may be filled. */
  owned?: boolean;
}

/** A part that is less than this fraction of its buffer is copied, so that it doesn't keep all of the buffer. */
const pinFactor = 8;

/** Small parts are gathered in buffers of this size: one for each byte would cost a hundred times what it holds. */
const gatherSize = 4 << 10;

/** Appends a part to those that wait. The list may keep `bytes`, to which nobody may write any more. */
export function keepRange(ranges: BodyRange[], bytes: Uint8Array, start: number, stop: number): void {
  const length = stop - start;
  if (length * pinFactor >= bytes.buffer.byteLength) {
    ranges.push({ bytes, start, stop, owned: false });
    return;
  }
  const part = bytes.subarray(start, stop);
  const last = ranges[ranges.length - 1];
  if (last?.owned !== true) {
    ranges.push({ bytes: new Uint8Array(part), start: 0, stop: length, owned: true });
  } else if (last.bytes.length - last.stop >= length) {
    last.bytes.set(part, last.stop);
    last.stop += length;
  } else {
    const gathered = new Uint8Array(Math.max(length, gatherSize));
    gathered.set(part);
    ranges.push({ bytes: gathered, start: 0, stop: length, owned: true });
  }
}

/** All of the parts in one piece: a view where there is but one. */
export function joinRanges(ranges: readonly BodyRange[]): Uint8Array {
  const [only] = ranges;
  if (ranges.length === 1 && only !== undefined) return only.bytes.subarray(only.start, only.stop);
  const all = new Uint8Array(ranges.reduce((sum, { start, stop }) => sum + stop - start, 0));
  let at = 0;
  for (const { bytes, start, stop } of ranges) {
    all.set(bytes.subarray(start, stop), at);
    at += stop - start;
  }
  return all;
}
