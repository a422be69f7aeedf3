/** Headroom: the nine bytes before a DATA payload, where its frame header stood and the header of the next hop can stand. */
import { frameHeaderSize } from "./frame.ts";

/** Bytes of it: a frame's header. */
export const headroom = frameHeaderSize;

const claimed = new Uint8Array(0);

/** Whose headroom is free: that of the part of a body that is being handed on right now. */
let bytes: Uint8Array = claimed;
let start = 0;

/**
 * A frame's header has been read, and nobody needs it any more; or there is none, and room was left for one. `at` is where the payload
 * begins. To be called right before it is handed on.
 */
export function freeHeadroom(chunk: Uint8Array, at: number): void {
  bytes = chunk;
  start = at;
}

/**
 * Takes the headroom of a part of a body. The first who asks for it gets it, and may write to those nine bytes. It is not a
 * parameter along with the body because it means something only to a frame that goes out as it came in.
 */
export function claimHeadroom(chunk: Uint8Array, at: number): boolean {
  if (chunk !== bytes || at !== start) return false;
  bytes = claimed;
  return true;
}
