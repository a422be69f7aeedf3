/** What the targets of HTTP/2 share: a connection that is fed, a socket that reads what it writes, and users who do all kinds of things. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { ByteSocket, ConnectionListener, ResetCause, StreamListener } from "../../src/http2/api.ts";
import type { Http2Connection } from "../../src/http2/connection.ts";
import { Field } from "../../src/http2/field.ts";
import type { Http2Settings } from "../../src/http2/settings.ts";
import type { Http2Stream } from "../../src/http2/stream.ts";
import { type Frame, FrameType, frameReader } from "../support/frames.ts";
import { HpackDecoder } from "../support/hpack.ts";
import { Rules } from "./rules.ts";

/** Bytes that may wait in a socket which takes nothing for a while. */
const maxSocketBuffer = 4_000;

/** Takes all, and reads it as a peer would: each frame has to be one, and blocks of fields have to be readable. */
export class PeerSocket extends EventEmitter implements ByteSocket {
  writableLength = 0;
  /** Says that it is full, until it is drained. */
  stalls = false;
  ended = false;
  destroyed = false;
  #block: Buffer[] = [];
  readonly #hpack = new HpackDecoder();
  /** Streams on which all was said. */
  readonly #over = new Set<number>();
  readonly #read = frameReader((frame) => this.#onFrame(frame));
  #prefaceLeft: number;
  readonly #rules: Rules;

  /** @param preface bytes that are no frames */
  constructor(preface: number, rules: Rules) {
    super();
    this.#prefaceLeft = preface;
    this.#rules = rules;
  }

  write(chunk: Uint8Array): boolean {
    this.#rules.hold(!this.ended && !this.destroyed, "written behind the end");
    const skipped = Math.min(this.#prefaceLeft, chunk.length);
    this.#prefaceLeft -= skipped;
    this.#rules.run(() => this.#read(Buffer.from(chunk.subarray(skipped))));
    if (this.stalls) this.writableLength += chunk.length;
    return !this.stalls;
  }

  drain(): void {
    this.writableLength = 0;
    this.emit("drain");
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}

  #onFrame({ type, flags, streamId, payload }: Frame): void {
    assert(payload.length <= 16_384 || type === FrameType.data);
    if (this.#block.length > 0) assert.equal(type, FrameType.continuation, "a frame within a block of fields");
    if (type === FrameType.data || type === FrameType.headers) {
      assert(!this.#over.has(streamId), `frame ${type} on stream ${streamId}, which has ended`);
      if ((flags & 1) !== 0) this.#over.add(streamId);
    }
    if (type === FrameType.rstStream) this.#over.add(streamId);
    if (type !== FrameType.headers && type !== FrameType.continuation) return;
    this.#block.push(payload);
    if ((flags & 4) !== 0) this.#hpack.decode(Buffer.concat(this.#block.splice(0)));
  }
}

/** Keeps what it is told, and sees to it that nothing comes behind the end. */
export class User implements StreamListener {
  readonly told: string[] = [];
  stream: Http2Stream | undefined;
  #body = 0;
  #isOver = false;
  readonly #manner: number;
  readonly #rules: Rules;

  /** @param manner bits: gives credit, echoes, answers at once, resets at the first DATA, answers with much */
  constructor(manner: number, rules: Rules) {
    this.#manner = manner;
    this.#rules = rules;
  }

  onHeaders(fields: Field[], end: boolean): void {
    this.#tell(`headers ${textOf(fields)}`, end);
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#rules.hold(0 <= start && start <= stop && stop <= bytes.length, "a range of what was read");
    this.#rules.hold(!this.#isOver, "DATA behind the end");
    const { stream } = this;
    if (stream !== undefined && (this.#manner & 8) !== 0) {
      this.#isOver = true;
      return stream.reset(8);
    }
    this.#body += stop - start;
    if (end) this.#tell(`body of ${this.#body}`, true);
    if ((this.#manner & 2) !== 0) stream?.sendData(bytes, start, stop, end);
    if ((this.#manner & 1) !== 0) stream?.consume(stop - start);
  }

  onTrailers(fields: Field[]): void {
    this.#tell(`trailers ${textOf(fields)}`, true);
  }

  onSent(bytes: number): void {
    this.#rules.hold(bytes > 0, "nothing sent");
  }

  onReset(code: number, cause: ResetCause): void {
    this.#rules.hold(!this.told.some((event) => event.startsWith("reset")), "reset twice");
    this.told.push(`reset ${code} ${cause}`);
    this.#isOver = true;
  }

  /** What is sent when a request has come. */
  answer(): void {
    const { stream } = this;
    if (stream === undefined || (this.#manner & 4) === 0) return;
    stream.sendHeaders([new Field(":status", "200"), new Field("content-type", "application/grpc")], false);
    stream.sendData(Buffer.alloc(70_000, "x"), 0, (this.#manner & 16) !== 0 ? 70_000 : 30, false);
    stream.sendHeaders([new Field("grpc-status", "0")], true);
  }

  #tell(what: string, end: boolean): void {
    this.#rules.hold(!this.#isOver, `${what} behind the end`);
    this.told.push(end ? `${what} end` : what);
    if (end) this.#isOver = true;
  }
}

export class Owner implements ConnectionListener {
  readonly users: User[] = [];
  readonly rules = new Rules();
  closes = 0;
  readonly #manner: number;

  constructor(manner: number) {
    this.#manner = manner;
  }

  onRequest(stream: Http2Stream, fields: Field[], end: boolean): StreamListener {
    const user = new User(this.#manner, this.rules);
    this.users.push(user);
    user.stream = stream;
    stream.listener = user;
    user.onHeaders(fields, end);
    user.answer();
    return user;
  }

  onClose(): void {
    this.closes++;
  }
}

/** Whether the manner is such that all cuts mean the same: what is echoed piece by piece, or waits, changes budgets. */
export function isAlike(manner: number): boolean {
  return (manner & (2 | 128)) === 0;
}

/** What differs from the defaults for a manner of users. */
export function settingsOf(manner: number): Partial<Http2Settings> {
  const small = { maxHeaderListSize: 2_000, maxHeaderFields: 20, maxConcurrentStreams: 5, maxUselessFrames: 60 };
  return (manner & 128) === 0 ? small : { ...small, maxSocketBuffer, maxQueuedControlFrames: 20 };
}

export interface Fed {
  readonly connection: Http2Connection;
  readonly socket: PeerSocket;
  readonly owner: Owner;
}

/**
 * Feeds a connection, and ends it as a peer does that goes.
 *
 * @returns all that its users were told
 */
export async function feed({ connection, socket, owner }: Fed, chunks: readonly Buffer[]): Promise<string[]> {
  for (const [at, chunk] of chunks.entries()) {
    connection.receive(chunk);
    if (socket.stalls && at % 16 === 7) await new Promise((resolve) => setImmediate(resolve));
    if (socket.stalls && at % 64 === 39) socket.drain();
  }
  await new Promise((resolve) => setImmediate(resolve));
  if (socket.stalls) socket.drain();
  socket.emit("end");
  socket.emit("close");
  assert(connection.closed, "open behind the end");
  assert.equal(connection.streamCount, 0);
  assert.equal(owner.closes, 1);
  await new Promise((resolve) => setImmediate(resolve));
  owner.rules.check();
  return owner.users.map(({ told }) => told.join("; "));
}

function textOf(fields: readonly Field[]): string {
  return fields.map(({ name, value }) => `${name}=${value}`).join(" ");
}
