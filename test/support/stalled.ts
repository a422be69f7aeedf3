/** 100 streams of gRPC that nobody reads while 1 GiB is pushed into each: row D2 of the table of faults. */
import { call, describeOutcome, requestFields } from "./grpc.ts";
import type { H2Peer } from "./h2-peer.ts";
import type { PeerStream } from "./peer-stream.ts";
import { type Pusher, pushStream } from "./push.ts";
import { okHeaders, type StreamHandler } from "./upstream.ts";

export const stalledStreams = 100;
/** Of the hand-made peers. */
const window = 65_535;
/** For clients and upstreams: no stream gets credit, but for those that give it themselves. */
export const noStreamCredit = { settings: [[4, window]], credit: "connection" } as const;
const mebibyte = Buffer.alloc(1 << 20, 1);

/** An upstream's reply of 1 GiB. */
export function pushReply(pushers: Pusher[]): StreamHandler {
  return (stream) => {
    stream.sendHeaders(okHeaders);
    pushers.push(pushStream(stream, mebibyte));
  };
}

/** A client's request of 1 GiB. */
export function pushRequest(stream: PeerStream): Pusher {
  return pushStream(stream, mebibyte);
}

/** 100 streams a connection is the limit: 95 and 5, so that a sibling has room on each. */
export function openOnBoth(peers: readonly H2Peer[], path: string): PeerStream[] {
  return Array.from({ length: stalledStreams }, (_, at) => peers[at < 95 ? 0 : 1]!.open(requestFields(path)));
}

/** Bytes that each of them has sent at most beyond what its reader's window let through. */
export function excess(pushers: readonly Pusher[]): number {
  return Math.max(...pushers.map((pusher) => pusher.sent() - window));
}

/** 40 small calls on each connection that has stalled streams: their credit is not needed, the connection's is. Returns the first failure. */
export async function callSiblings(peers: readonly H2Peer[], path: string): Promise<string | undefined> {
  for (const peer of peers) {
    for (let at = 0; at < 40; at++) {
      const result = await call(peer, path, { messages: [Buffer.alloc(40_000, at)] });
      const whole = result.status === 0 && result.messages?.[0]?.bytes.length === 40_000;
      if (!whole) return `sibling ${at}: ${describeOutcome(result)}`;
    }
  }
  return undefined;
}
