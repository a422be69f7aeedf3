/** Header blocks that attack their reader: rows A4 and A9 of the table of faults. */
import { Flag, FrameType, frame } from "./frames.ts";
import { outcome, requestFields } from "./grpc.ts";
import type { H2Peer } from "./h2-peer.ts";
import { encodeBlock, integer, literal } from "./hpack.ts";
import type { PeerStream } from "./peer-stream.ts";

/** A4: a request's block, a byte in HEADERS and the rest in 8 CONTINUATION frames. */
export function sendInEight(peer: H2Peer, path: string): PeerStream {
  const stream = peer.adopt();
  const block = encodeBlock(requestFields(path));
  const size = Math.ceil((block.length - 1) / 8);
  peer.send(frame(FrameType.headers, 0, stream.id, block.subarray(0, 1)));
  for (let at = 1; at < block.length; at += size) {
    const last = at + size >= block.length;
    peer.send(frame(FrameType.continuation, last ? Flag.endHeaders : 0, stream.id, block.subarray(at, at + size)));
  }
  return stream;
}

/** A4: HEADERS that so many empty CONTINUATION frames don't end. */
export function sendEndless(peer: H2Peer, path: string, continuations: number): void {
  peer.send(frame(FrameType.headers, 0, 1, encodeBlock(requestFields(path))));
  for (let at = 0; at < continuations; at++) peer.send(frame(FrameType.continuation, 0, 1));
}

/** The table's newest entry. */
const newest = integer(62, 7, 0x80);
const inTable = ["x-in-table", "y".repeat(3_000)] as const;

/** A9: blocks over a limit. The first leaves `inTable` as the table's newest entry, and none of the others changes that. */
export function bombs(path: string): [what: string, block: Buffer][] {
  const request = encodeBlock(requestFields(path));
  return [
    ["a 200 KiB list of indexed fields", Buffer.concat([request, literal(...inTable, 0x40), times(newest, 70)])],
    ["129 fields", encodeBlock(requestFields(path, numbered(129 - 6)))],
    ["a value of 70 KiB", encodeBlock(requestFields(path, [["x-long", "z".repeat(70 << 10)]]))],
    ["a field indexed 4,000 times", Buffer.concat([request, times(newest, 4_000)])],
  ];
}

/** A9: opens a stream whose request leaves `inTable` in the table, for a bomb that isn't behind the first. */
export function openWithField(peer: H2Peer, path: string): PeerStream {
  const stream = peer.adopt();
  const block = Buffer.concat([encodeBlock(requestFields(path)), literal(...inTable, 0x40)]);
  peer.send(frame(FrameType.headers, Flag.endHeaders, stream.id, block));
  return stream;
}

/** A9: HEADERS and as many CONTINUATION frames as it takes. */
export function sendBomb(peer: H2Peer, block: Buffer): PeerStream {
  const stream = peer.adopt();
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length;
    const type = at === 0 ? FrameType.headers : FrameType.continuation;
    const flags = (last ? Flag.endHeaders : 0) | (at === 0 ? Flag.endStream : 0);
    peer.send(frame(type, flags, stream.id, block.subarray(at, at + 16_384)));
  }
  return stream;
}

/** A9: a request with `field` by its index, which is right where the first bomb was read. */
export function sendIndexed(peer: H2Peer, path: string): { stream: PeerStream; field: readonly [string, string] } {
  const stream = peer.adopt();
  const block = Buffer.concat([encodeBlock(requestFields(path)), newest]);
  peer.send(frame(FrameType.headers, Flag.endHeaders | Flag.endStream, stream.id, block));
  return { stream, field: inTable };
}

/** How a stream was refused: "" if it was not. */
export function refusal(stream: PeerStream): string {
  if (stream.cut) return "";
  if (stream.reset !== undefined) return `RST_STREAM ${stream.reset}`;
  if (stream.field(":status") === "431") return ":status 431";
  return outcome(stream).status === 8 ? "resource_exhausted" : "";
}

function times(bytes: Buffer, count: number): Buffer {
  return Buffer.alloc(bytes.length * count, bytes);
}

function numbered(count: number): [string, string][] {
  return Array.from({ length: count }, (_, index) => [`x-${index}`, "v"]);
}
