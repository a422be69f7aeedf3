/** The other side of a connection under test, played frame by frame. */
import { Http2Connection } from "../../src/http2/connection.ts";
import type { Http2Settings } from "../../src/http2/settings.ts";
import type { Http2Stream } from "../../src/http2/stream.ts";
import { Flag, type Frame, FrameType, frame, frameReader, preface, settingsFrame, uint32 } from "../support/frames.ts";
import { encodeBlock, HpackDecoder } from "../support/hpack.ts";
import { type MemorySocket, settle, socketPair } from "./memory-socket.ts";
import { ConnectionRecorder, fieldsOf, type Pairs, request, StreamRecorder } from "./recorder.ts";

export interface GoawayRead {
  readonly last: number;
  readonly code: number;
}

/** Checks nothing of what it sends, and keeps all that it was sent. */
export class RawPeer {
  readonly socket: MemorySocket;
  /** In the order in which they came. */
  readonly frames: Frame[] = [];
  ended = false;
  readonly #decoder = new HpackDecoder();

  /** @param skip bytes of a preface to skip */
  constructor(socket: MemorySocket, skip: number) {
    this.socket = socket;
    const read = frameReader((received) => this.frames.push(received));
    let left = skip;
    socket.on("data", (chunk: Buffer) => {
      const rest = chunk.subarray(Math.min(left, chunk.length));
      left -= chunk.length - rest.length;
      read(rest);
    });
    socket.on("end", () => {
      this.ended = true;
    });
  }

  /** Sends bytes and waits until what comes of them is here. */
  async send(...parts: Buffer[]): Promise<void> {
    this.socket.write(Buffer.concat(parts));
    await settle();
  }

  /** Frames of one type, and of one stream where an id is given. */
  of(type: number, id?: number): Frame[] {
    return this.frames.filter((one) => one.type === type && (id === undefined || one.streamId === id));
  }

  /** Codes of the RST_STREAM frames of a stream. */
  resets(id: number): number[] {
    return this.of(FrameType.rstStream, id).map(({ payload }) => payload.readUInt32BE(0));
  }

  get goaways(): GoawayRead[] {
    return this.of(FrameType.goaway).map(({ payload }) => ({
      last: payload.readUInt32BE(0),
      code: payload.readUInt32BE(4),
    }));
  }

  /** The header blocks of a stream, as "name=value" lists. Call once, for all blocks have to be decoded in order. */
  blocks(id: number): string[] {
    const lists: string[] = [];
    const parts: Buffer[] = [];
    for (const { type, flags, streamId, payload } of this.frames) {
      if (type !== FrameType.headers && type !== FrameType.continuation) continue;
      parts.push(payload);
      if ((flags & Flag.endHeaders) === 0) continue;
      const fields = this.#decoder.decode(Buffer.concat(parts.splice(0)));
      if (streamId === id) lists.push(fields.map(([name, value]) => `${name}=${value}`).join(" "));
    }
    return lists;
  }

  /** The body that came on a stream. */
  body(id: number): Buffer {
    return Buffer.concat(this.of(FrameType.data, id).map(({ payload }) => payload));
  }
}

export interface Under {
  readonly connection: Http2Connection;
  readonly owner: ConnectionRecorder;
  /** The connection's end of the socket. */
  readonly socket: MemorySocket;
  readonly peer: RawPeer;
}

export interface StartOptions {
  readonly settings?: Partial<Http2Settings>;
  /** What the peer announces. Default: nothing. */
  readonly announced?: readonly (readonly [id: number, value: number])[];
  /** Whether the peer greets, and forgets how it was greeted. Default: true. */
  readonly greet?: boolean;
}

/** A server under test and a hand-made client. */
export async function startServer({ settings = {}, announced = [], greet = true }: StartOptions = {}): Promise<Under> {
  const [here, there] = socketPair();
  const owner = new ConnectionRecorder();
  const connection = new Http2Connection(here, { role: "server", listener: owner, settings });
  const peer = new RawPeer(there, 0);
  await greeting(peer, greet, [preface, settingsFrame(announced), settingsAck]);
  return { connection, owner, socket: here, peer };
}

/** A client under test and a hand-made server. */
export async function startClient({ settings = {}, announced = [], greet = true }: StartOptions = {}): Promise<Under> {
  const [here, there] = socketPair();
  const owner = new ConnectionRecorder();
  const connection = new Http2Connection(here, { role: "client", listener: owner, settings });
  const peer = new RawPeer(there, preface.length);
  await greeting(peer, greet, [settingsFrame(announced), settingsAck]);
  return { connection, owner, socket: here, peer };
}

async function greeting(peer: RawPeer, greet: boolean, words: Buffer[]): Promise<void> {
  if (!greet) return settle();
  await peer.send(...words);
  peer.frames.length = 0;
}

/** A request of the client under test. */
export function ask(connection: Http2Connection, end = true, pairs: Pairs = request): StreamRecorder {
  const recorder = new StreamRecorder();
  recorder.stream = connection.request(fieldsOf(pairs), end, recorder);
  return recorder;
}

/** Two connections that talk to each other. */
export async function startPair(settings: Partial<Http2Settings> = {}, [near, far] = socketPair()) {
  const clientOwner = new ConnectionRecorder();
  const serverOwner = new ConnectionRecorder();
  const client = new Http2Connection(near, { role: "client", listener: clientOwner, settings });
  const server = new Http2Connection(far, { role: "server", listener: serverOwner, settings });
  await settle();
  return { client, server, clientOwner, serverOwner, near, far };
}

export const settingsAck = frame(FrameType.settings, Flag.ack, 0);

export function headersFrame(id: number, pairs: Pairs, flags: number = Flag.endHeaders): Buffer {
  return frame(FrameType.headers, flags, id, encodeBlock(pairs));
}

export function dataFrame(id: number, body: string | Buffer, flags = 0): Buffer {
  return frame(FrameType.data, flags, id, Buffer.from(body as string));
}

/** A frame's payload behind its pad length and before its padding. */
export function padded(payload: Buffer, padding: number): Buffer {
  return Buffer.concat([Buffer.from([padding]), payload, Buffer.alloc(padding)]);
}

export const pingFrame = frame(FrameType.ping, 0, 0, Buffer.from("12345678"));

export { goawayFrame, resetFrame, Setting, windowUpdateFrame } from "../support/frames.ts";
export type { Http2Stream };
export { Flag, FrameType, frame, preface, settingsFrame, uint32 };
