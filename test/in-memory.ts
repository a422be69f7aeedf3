/** A proxy between connections in memory: a caller in front of it, endpoints behind it, and an upstream that does as told. */

import type { ConnectError } from "@connectrpc/connect";
import type { Origin, Protocol } from "../src/call.ts";
import { Http2Connection } from "../src/http2/connection.ts";
import type { Http2Settings } from "../src/http2/settings.ts";
import type { CallRecord } from "../src/observe/call-record.ts";
import { createProxy, type ProxyOptions } from "../src/proxy.ts";
import { Breaker, defaultBreaker } from "../src/upstream/breaker.ts";
import type { Endpoint } from "../src/upstream/endpoint.ts";
import type { Outcome } from "../src/upstream/outlier.ts";
import type { Upstream } from "../src/upstream/upstream.ts";
import type { Reached, Waiter } from "../src/upstream/waiter.ts";
import { type MemorySocket, settle, socketPair } from "./http2/memory-socket.ts";
import { preface, RawPeer, settingsAck, settingsFrame } from "./http2/raw-peer.ts";
import { ConnectionRecorder, fieldsOf, type Pairs, StreamRecorder } from "./http2/recorder.ts";

export const grpcRequest: Pairs = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "users.example"],
  [":path", "/acme.v1.Users/Get"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
];

export const grpcResponse: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

export const okTrailers: Pairs = [["grpc-status", "0"]];

export const origin: Origin = { peer: { address: "192.0.2.1", port: 40_000 }, secure: false };

/** The request's headers, some replaced in their places, others added at the end. */
export function requestWith(...pairs: [name: string, value: string][]): Pairs {
  const replaced = grpcRequest.map((own) => pairs.find(([name]) => name === own[0]) ?? own);
  return [...replaced, ...pairs.filter(([name]) => !grpcRequest.some(([own]) => own === name))];
}

/** One endpoint: a connection of the proxy, and the server at its other end. */
export interface Backend {
  readonly endpoint: Endpoint;
  /** What the endpoint was told of them. */
  readonly attempts: { begun: number; readonly outcomes: Outcome[] };
  readonly connection: Http2Connection;
  readonly server: Http2Connection;
  /** The streams that have come, and `onStream`. */
  readonly owner: ConnectionRecorder;
  /** The server's end of the socket. */
  readonly socket: MemorySocket;
}

export async function startBackend(name: string, settings: Partial<Http2Settings> = {}): Promise<Backend> {
  const [near, far] = socketPair();
  const owner = new ConnectionRecorder();
  const connection = new Http2Connection(near, { role: "client", listener: new ConnectionRecorder() });
  const server = new Http2Connection(far, { role: "server", listener: owner, settings });
  await settle();
  const attempts: Backend["attempts"] = { begun: 0, outcomes: [] };
  const endpoint = {
    name,
    address: `${name}:50051`,
    secure: false,
    begin: () => attempts.begun++,
    report: (outcome: Outcome) => attempts.outcomes.push(outcome),
  } as unknown as Endpoint;
  return { endpoint, attempts, connection, server, owner, socket: far };
}

/** Hands out its backends in turn, at once or when it is released. */
export class FakeUpstream implements Upstream {
  readonly name = "users";
  readonly protocols: readonly Protocol[] = ["grpc"];
  readonly codecs = ["proto"];
  readonly schema = undefined;
  readonly http = "2";
  readonly breaker = new Breaker(defaultBreaker, "users");
  readonly stats = this.breaker.stats;
  readonly backends: Backend[] = [];
  /** Waiters wait until `release`. */
  holds = false;
  readonly waiting = new Set<Waiter>();
  /** What each call of `acquire` was to avoid. */
  readonly avoided: (string | undefined)[] = [];
  #next = 0;

  get endpoints(): readonly Endpoint[] {
    return this.backends.map(({ endpoint }) => endpoint);
  }

  acquire(_call: unknown, waiter: Waiter, avoid?: Reached): (() => void) | undefined {
    this.avoided.push(avoid?.name);
    if (!this.holds) {
      this.#give(waiter, avoid);
      return undefined;
    }
    this.waiting.add(waiter);
    return () => this.waiting.delete(waiter);
  }

  acquireAt(endpoint: Endpoint, call: unknown, waiter: Waiter): (() => void) | undefined {
    const { holds } = this;
    const only: Waiter = {
      onConnection: () => {
        const { connection } = this.backends.find((backend) => backend.endpoint === endpoint)!;
        waiter.onConnection(connection, endpoint);
      },
      onUnavailable: (error) => waiter.onUnavailable(error),
    };
    return holds ? this.acquire(call, only) : void only.onConnection(undefined as never, endpoint);
  }

  resolved(): undefined {}

  release(): void {
    this.holds = false;
    for (const waiter of this.#takeWaiting()) this.#give(waiter, undefined);
  }

  fail(error: ConnectError): void {
    for (const waiter of this.#takeWaiting()) waiter.onUnavailable(error);
  }

  close(): void {}

  #takeWaiting(): Waiter[] {
    const waiting = [...this.waiting];
    this.waiting.clear();
    return waiting;
  }

  #give(waiter: Waiter, avoid: Reached | undefined): void {
    const others = this.backends.filter(({ endpoint }) => endpoint !== avoid);
    const among = others.length > 0 ? others : this.backends;
    const { connection, endpoint } = among[this.#next++ % among.length]!;
    waiter.onConnection(connection, endpoint);
  }
}

export interface Stage {
  readonly upstream: FakeUpstream;
  /** Every call that is over. */
  readonly records: CallRecord[];
  /** Opens a call; the recorder tells what the caller gets. */
  call(pairs?: Pairs, end?: boolean): StreamRecorder;
  /** The stream that call number `index` (from 0) of all made it to, at a backend. */
  at(backend: number, index?: number): StreamRecorder;
  /** The proxy's side of the caller's connection. */
  readonly front: Http2Connection;
  readonly caller: Http2Connection;
}

export interface StageOptions extends Partial<ProxyOptions> {
  readonly backends?: number;
  /** Of the caller's connection. */
  readonly settings?: Partial<Http2Settings>;
  /** Of the servers' connections. */
  readonly backendSettings?: Partial<Http2Settings>;
}

async function startFront({ backends = 1, backendSettings, ...options }: StageOptions) {
  const upstream = new FakeUpstream();
  for (let at = 0; at < backends; at++) {
    const backend = await startBackend(`node-${at}`, backendSettings);
    upstream.backends.push({ ...backend, endpoint: { ...backend.endpoint, upstream } as unknown as Endpoint });
  }
  const records: CallRecord[] = [];
  const proxy = createProxy({
    director: () => ({ mode: "one-to-one", upstream }),
    onCall: (record) => void records.push(record),
    ...options,
  });
  const [near, far] = socketPair();
  const front = new Http2Connection(far, {
    role: "server",
    listener: { onRequest: (stream, fields) => proxy.accept({ stream, fields, origin }), onClose() {} },
  });
  return { upstream, records, front, near };
}

export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const { near, ...front } = await startFront(options);
  const settings = options.settings ?? {};
  const caller = new Http2Connection(near, { role: "client", listener: new ConnectionRecorder(), settings });
  await settle();
  return {
    ...front,
    caller,
    call(pairs = grpcRequest, end = false) {
      const recorder = new StreamRecorder();
      recorder.stream = caller.request(fieldsOf(pairs), end, recorder);
      return recorder;
    },
    at: (backend, index = 0) => [...front.upstream.backends[backend]!.owner.streams.values()][index]!,
  };
}

/** The same with a hand-made caller. */
export async function startRawStage(options: StageOptions = {}) {
  const { near, ...front } = await startFront(options);
  const peer = new RawPeer(near, 0);
  await peer.send(preface, settingsFrame([]), settingsAck);
  peer.frames.length = 0;
  return { ...front, peer };
}

/** What a server does for a call of one message each way. */
export function answerWith(trailers: Pairs, message = Buffer.from("\0\0\0\0\x05reply", "latin1")) {
  return ({ stream }: StreamRecorder): void => {
    stream.sendHeaders(fieldsOf(grpcResponse), false);
    stream.sendData(message, 0, message.length, false);
    stream.sendHeaders(fieldsOf(trailers), true);
  };
}

export function send({ stream }: StreamRecorder, body: Buffer | string, end = false): void {
  const bytes = Buffer.from(body as string);
  stream.sendData(bytes, 0, bytes.length, end);
}

export { fieldsOf, settle };
