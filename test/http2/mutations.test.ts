/** Fault A10: a recorded connection, mutated 10,000 times in each role. Seeded, so that a failure can be run again. */
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ByteSocket } from "../../src/http2/api.ts";
import { Http2Connection } from "../../src/http2/connection.ts";
import { ErrorCode } from "../../src/http2/errors.ts";
import { integersOf } from "../support/random.ts";
import { settle, socketPair } from "./memory-socket.ts";
import { ask, startPair } from "./raw-peer.ts";
import { ConnectionRecorder, fieldsOf, ok, request, type StreamRecorder } from "./recorder.ts";

const mutations = 10_000;

/** Seconds of work where the machine is busy with other suites. */
const timeout = 120_000;

/** What is written to it is gone; nothing comes but what the test hands in. */
class Sink extends EventEmitter implements ByteSocket {
  readonly writableLength = 0;
  write(): boolean {
    return true;
  }
  end(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  destroy(): void {}
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("receive() of a mutated connection", () => {
  it(
    "of a client ends it or goes on, and nothing else",
    async () => {
      const { client } = await record();
      survive(client, readAsServer);
    },
    timeout,
  );

  it(
    "of a server ends it or goes on, and nothing else",
    async () => {
      const { server } = await record();
      survive(server, readAsClient);
    },
    timeout,
  );
});

/** Bytes of both sides of a connection with a bit of everything in it. */
async function record(): Promise<{ client: Buffer; server: Buffer }> {
  const [near, far] = socketPair();
  const sent: { client: Buffer[]; server: Buffer[] } = { client: [], server: [] };
  far.on("data", (chunk: Buffer) => sent.client.push(chunk));
  near.on("data", (chunk: Buffer) => sent.server.push(chunk));
  const { client, server, serverOwner } = await startPair({ connectionWindowSize: 70_000 }, [near, far]);
  serverOwner.onStream = answer;
  const recorders = Array.from({ length: 6 }, (_, at) =>
    ask(client, at === 0, [...request, [`x-${at}`, "some value"]]),
  );
  for (const [at, { stream }] of recorders.entries()) {
    stream.sendData(Buffer.alloc(300 * at), 0, 300 * at, at % 2 === 0);
    if (at === 3) stream.reset(ErrorCode.cancel);
    if (at % 2 === 1) stream.sendHeaders(fieldsOf([["x-trailer", "value"]]), true);
  }
  await settle();
  ask(client, true, [...request, ["x-long", "~".repeat(16_500)]]);
  await settle();
  server.shutdown();
  await settle();
  expect(client.closed && server.closed).toBe(true);
  return { client: Buffer.concat(sent.client), server: Buffer.concat(sent.server) };
}

function answer({ stream }: StreamRecorder): void {
  stream.sendHeaders(fieldsOf([...ok, ["content-type", "application/grpc"]]), false);
  stream.sendData(Buffer.alloc(1_000), 0, 1_000, false);
  stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
}

function survive(bytes: Buffer, run: (mutated: Buffer) => boolean): void {
  let ended = 0;
  for (let seed = 1; seed <= mutations; seed++) {
    try {
      if (run(mutate(bytes, integersOf(seed)))) ended++;
    } catch (cause) {
      throw new Error(`mutation ${seed} got out`, { cause });
    }
  }
  expect(ended).toBeGreaterThan(mutations / 2); // else what was mutated is not what is looked at
  expect(ended).toBeLessThan(mutations);
}

function readAsServer(mutated: Buffer): boolean {
  const owner = new ConnectionRecorder();
  owner.onStream = answer;
  const socket = new Sink();
  const connection = new Http2Connection(socket, { role: "server", listener: owner });
  return feed({ connection, owner, socket }, mutated);
}

function readAsClient(mutated: Buffer): boolean {
  const owner = new ConnectionRecorder();
  const socket = new Sink();
  const connection = new Http2Connection(socket, { role: "client", listener: owner });
  for (let at = 0; at < 7; at++) ask(connection, at % 2 === 0);
  return feed({ connection, owner, socket }, mutated);
}

interface Fed {
  readonly connection: Http2Connection;
  readonly owner: ConnectionRecorder;
  readonly socket: Sink;
}

/** Whether the connection ended. It must have told all that it had to tell, and left no timer. */
function feed({ connection, owner, socket }: Fed, bytes: Buffer): boolean {
  const middle = bytes.length >>> 1;
  connection.receive(Buffer.from(bytes.subarray(0, middle)));
  connection.receive(Buffer.from(bytes.subarray(middle)));
  const ended = connection.closed;
  socket.emit("end");
  socket.emit("close");
  // not by expect(), which would cost more than all the rest
  const closes = owner.events.filter((event) => event === "close").length;
  const resets = [...owner.streams.values()].map(
    ({ events }) => events.filter((one) => one.startsWith("reset")).length,
  );
  if (connection.streamCount !== 0 || closes !== 1 || resets.some((count) => count > 1)) {
    throw new Error(`${connection.streamCount} streams left, closed ${closes} times, resets ${resets}`);
  }
  return ended;
}

/** One to four changes: a bit, a byte, bytes left out, put in, or repeated, or the rest cut off. */
function mutate(bytes: Buffer, next: (below: number) => number): Buffer {
  let mutated = Buffer.from(bytes);
  for (let changes = 1 + next(4); changes > 0; changes--) {
    const at = next(mutated.length);
    const length = next(20);
    const [head, tail] = [mutated.subarray(0, at), mutated.subarray(at)];
    const kind = next(6);
    if (kind === 0) mutated[at] = mutated[at]! ^ (1 << next(8));
    else if (kind === 1) mutated[at] = next(256);
    else if (kind === 2) mutated = Buffer.concat([head, tail.subarray(length)]);
    else if (kind === 3) mutated = Buffer.concat([head, Buffer.from(Array.from({ length }, () => next(256))), tail]);
    else if (kind === 4) mutated = Buffer.concat([head, tail.subarray(0, length * 10), tail]);
    else if (head.length > 100) mutated = Buffer.from(head);
  }
  return mutated;
}
