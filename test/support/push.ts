/** Senders of 1 GiB, as fast as the other side takes it. */
import { connect, createServer, type Socket } from "node:net";
import type { PeerStream } from "./peer-stream.ts";
import { sleep } from "./until.ts";

const gibibyte = 2 ** 30;

/** One that pushes. */
export interface Pusher {
  /** Bytes that this process has got rid of: some may still be in the kernel. */
  sent(): number;
}

/** Pushes a piece again and again, for it costs this process nothing. HTTP/2: as the windows allow. */
export function pushStream(stream: PeerStream, piece: Buffer): Pusher {
  let total = 0;
  for (; total < gibibyte; total += piece.length) stream.sendData(piece);
  return { sent: () => total - stream.queued };
}

/** The same over a socket: as its buffer allows. */
export function pushSocket(socket: Socket, piece: Buffer): Pusher {
  const before = socket.bytesWritten;
  let total = 0;
  const more = () => {
    while (total < gibibyte && !socket.destroyed) {
      total += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", more);
  more();
  return { sent: () => socket.bytesWritten - before - socket.writableLength };
}

/** Waits until none of them could send any more for half a second. */
export async function untilBlocked(pushers: readonly Pusher[]): Promise<void> {
  const total = () => pushers.reduce((sum, pusher) => sum + pusher.sent(), 0);
  for (let last = -1; last !== total(); await sleep(500)) last = total();
}

/** Bytes that two sockets and the kernel between them hold while nobody reads. */
export async function socketCapacity(): Promise<number> {
  const server = createServer((socket) => socket.pause().on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  const pusher = pushSocket(socket, Buffer.alloc(64 << 10));
  await untilBlocked([pusher]);
  socket.destroy();
  server.close();
  return pusher.sent();
}
