/** A TCP relay that is a bad network: it delays, cuts into slices, stalls, and resets connections. */
import { connect, createServer, type Socket } from "node:net";
import { randomOf } from "./random.ts";

export interface BadNetworkOptions {
  /** The port on loopback that it leads to. */
  to: number;
  /** Milliseconds that everything takes longer, each way. Default 0. */
  delayMs?: number;
  /** Chunks of which every byte is sent by itself, from 0 to 1. Default 0. */
  sliced?: number;
  /** Chunks at which the connection is reset, from 0 to 1. Default 0. */
  reset?: number;
  /** Chunks before which nothing goes on for `stallMs`, from 0 to 1. Default 0. */
  stalled?: number;
  /** Default 2 s. */
  stallMs?: number;
  seed?: number;
}

export interface BadNetwork {
  port: number;
  /** Connections that came, and those that were reset. */
  connections: number;
  resets: number;
  stalls: number;
  close(): Promise<void>;
}

/** Longest piece that is sent byte by byte. */
const maxSliced = 200;

export async function startBadNetwork(options: BadNetworkOptions): Promise<BadNetwork> {
  const random = randomOf(options.seed ?? 1);
  const sockets = new Set<Socket>();
  const network = { connections: 0, resets: 0, stalls: 0 };
  const server = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port: options.to });
    network.connections++;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    carry(near, far);
    carry(far, near);
  });

  function carry(from: Socket, to: Socket): void {
    let before = Promise.resolve();
    from.on("data", (chunk: Buffer) => {
      const cameAt = performance.now();
      from.pause(); // no more than one chunk is on its way: a peer feels it
      before = before.then(async () => {
        await pause((options.delayMs ?? 0) - (performance.now() - cameAt));
        if (random() < (options.stalled ?? 0)) {
          network.stalls++;
          await pause(options.stallMs ?? 2_000);
        }
        if (random() < (options.reset ?? 0)) {
          network.resets++;
          from.resetAndDestroy();
          to.resetAndDestroy();
          return;
        }
        await send(to, chunk, random() < (options.sliced ?? 0));
        from.resume();
      });
    });
    from.on("end", () => void before.then(() => to.end()));
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(network, {
    port: (server.address() as { port: number }).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  });
}

async function send(to: Socket, chunk: Buffer, sliced: boolean): Promise<void> {
  const slices = sliced ? Math.min(chunk.length, maxSliced) : 0;
  for (let at = 0; at < slices && !to.destroyed; at++) {
    to.write(chunk.subarray(at, at + 1));
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (slices < chunk.length && !to.destroyed) to.write(chunk.subarray(slices));
}

function pause(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
