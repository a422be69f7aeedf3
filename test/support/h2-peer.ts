/**
 * A hand-made HTTP/2 peer, as client or as server. It does what the RFC wants unless it is told otherwise, it checks
 * nothing it sends, and it remembers all that it was sent.
 */
import type { Socket } from "node:net";
import {
  Flag,
  type Frame,
  FrameType,
  frame,
  frameReader,
  goawayFrame,
  preface,
  Setting,
  settingsFrame,
  windowUpdateFrame,
} from "./frames.ts";
import { encodeBlock, type FieldPair, HpackDecoder } from "./hpack.ts";
import { PeerStream } from "./peer-stream.ts";
import { until } from "./until.ts";

export interface H2PeerOptions {
  role: "client" | "server";
  /** Sent at once. Default: no limit of streams, a window of 1 MiB a stream. */
  settings?: readonly (readonly [id: number, value: number])[];
  /** Acknowledge SETTINGS and PING. Default true. */
  acks?: boolean;
  /** Give credit for DATA back: "both", only the "connection"'s, or "none". Default "both". */
  credit?: "both" | "connection" | "none";
  /** Server: told when the header block of a request has come. */
  onStream?: (stream: PeerStream) => void;
}

export class H2Peer {
  readonly socket: Socket;
  readonly role: "client" | "server";
  readonly streams = new Map<number, PeerStream>();
  /** The newest value of every setting the other side announced. */
  readonly settings = new Map<number, number>();
  /** Every GOAWAY received. */
  readonly goaways: { lastStreamId: number; code: number; debug: string }[] = [];
  /** Frames received, by type. */
  readonly received: number[] = new Array(256).fill(0);
  closed = false;
  /** Bytes the other side still takes on the connection. */
  window = 65_535;
  #nextId: number;
  #blocks = new WeakMap<readonly FieldPair[], Buffer>();
  #decoder = new HpackDecoder();
  #credit: "both" | "connection" | "none";
  #acks: boolean;
  #onStream: ((stream: PeerStream) => void) | undefined;
  /** A header block that CONTINUATION will end. */
  #block: { frame: Frame; parts: Buffer[] } | undefined;
  #blocked = new Set<PeerStream>();

  constructor(socket: Socket, options: H2PeerOptions) {
    this.socket = socket;
    this.role = options.role;
    this.#nextId = options.role === "client" ? 1 : 2;
    this.#credit = options.credit ?? "both";
    this.#acks = options.acks ?? true;
    this.#onStream = options.onStream;
    socket.setNoDelay(true);
    const greeting = [settingsFrame(options.settings ?? [[Setting.initialWindowSize, 1 << 20]])];
    if (options.role === "client") greeting.unshift(preface);
    if (this.#credit !== "none") greeting.push(windowUpdateFrame(0, 16 << 20));
    socket.write(Buffer.concat(greeting));
    this.#listen(options.role === "server" ? preface.length : 0);
  }

  /** Client: opens a stream with the next free id. */
  open(fields: readonly FieldPair[], options: { end?: boolean } = {}): PeerStream {
    const stream = this.adopt();
    stream.sendHeaders(fields, options);
    return stream;
  }

  /** Watches a stream (default: the next free id) whose frames the test sends itself. */
  adopt(id = this.#nextId): PeerStream {
    if (id >= this.#nextId) this.#nextId = id + 2;
    const stream = new PeerStream(this, id);
    this.streams.set(id, stream);
    return stream;
  }

  /** Any bytes. */
  send(...parts: Buffer[]): void {
    if (!this.closed) this.socket.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  /** A header block as one HEADERS frame; the bytes of a list that comes again are made once. */
  sendBlock(streamId: number, fields: readonly FieldPair[], end: boolean): void {
    const block = this.#blocks.get(fields) ?? encodeBlock(fields);
    this.#blocks.set(fields, block);
    this.send(frame(FrameType.headers, Flag.endHeaders | (end ? Flag.endStream : 0), streamId, block));
  }

  goaway(lastStreamId: number, code = 0): void {
    this.send(goawayFrame(lastStreamId, code));
  }

  /** Waits until a PING has come back, so that all sent before it has been read. */
  async ping(): Promise<void> {
    const before = this.received[FrameType.ping]!;
    this.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
    await until("the ack of a PING", () => this.closed || this.received[FrameType.ping]! > before);
  }

  /** Closes with FIN once all has been written. */
  async close(): Promise<void> {
    this.socket.end();
    await until("the socket to close", () => this.closed).catch(() => this.socket.destroy());
  }

  /** A stream whose window or the connection's is used up waits here. */
  block(stream: PeerStream): void {
    this.#blocked.add(stream);
  }

  #listen(skip: number): void {
    const read = frameReader((received) => this.#onFrame(received));
    let toSkip = skip;
    this.socket.on("data", (chunk: Buffer) => {
      const rest = toSkip === 0 ? chunk : chunk.subarray(toSkip);
      toSkip -= chunk.length - rest.length;
      read(rest);
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
      for (const stream of this.streams.values()) stream.lost();
    });
  }

  #onFrame(received: Frame): void {
    this.received[received.type]! += 1;
    const { type, flags, streamId, payload } = received;
    const stream = this.streams.get(streamId);
    if (type === FrameType.data) this.#onData(received, stream);
    else if (type === FrameType.headers || type === FrameType.continuation) this.#onBlock(received);
    else if (type === FrameType.rstStream) stream?.onReset(payload.readUInt32BE(0));
    else if (type === FrameType.settings && !(flags & Flag.ack)) this.#onSettings(payload);
    else if (type === FrameType.ping && !(flags & Flag.ack) && this.#acks) {
      this.send(frame(FrameType.ping, Flag.ack, 0, payload));
    } else if (type === FrameType.goaway) {
      const debug = payload.toString("latin1", 8);
      this.goaways.push({ lastStreamId: payload.readUInt32BE(0), code: payload.readUInt32BE(4), debug });
    } else if (type === FrameType.windowUpdate) {
      if (streamId === 0) this.window += payload.readUInt32BE(0);
      else if (stream !== undefined) stream.window += payload.readUInt32BE(0);
      this.#unblock();
    }
  }

  #onData({ streamId, payload, flags }: Frame, stream: PeerStream | undefined): void {
    const end = (flags & Flag.endStream) !== 0;
    if (payload.length > 0 && this.#credit !== "none") {
      const updates = [windowUpdateFrame(0, payload.length)];
      if (this.#credit === "both" && !end) updates.push(windowUpdateFrame(streamId, payload.length));
      this.send(...updates);
    }
    stream?.onData(payload, end);
  }

  #onBlock(received: Frame): void {
    if (received.type === FrameType.headers) this.#block = { frame: received, parts: [] };
    const block = this.#block;
    if (block === undefined) return;
    block.parts.push(received.payload);
    if (!(received.flags & Flag.endHeaders)) return;
    this.#block = undefined;
    const fields = this.#decoder.decode(Buffer.concat(block.parts));
    const id = block.frame.streamId;
    const known = this.streams.get(id);
    const stream = known ?? this.adopt(id);
    stream.onFields(fields, (block.frame.flags & Flag.endStream) !== 0);
    if (known === undefined && this.role === "server") this.#onStream?.(stream);
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = payload.readUInt16BE(at);
      const value = payload.readUInt32BE(at + 2);
      if (id === Setting.initialWindowSize) {
        const change = value - (this.settings.get(id) ?? 65_535);
        for (const stream of this.streams.values()) stream.window += change;
      }
      this.settings.set(id, value);
    }
    if (this.#acks) this.send(frame(FrameType.settings, Flag.ack, 0));
    this.#unblock();
  }

  #unblock(): void {
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    for (const stream of blocked) stream.flush();
  }
}
