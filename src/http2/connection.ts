/** Connection: HTTP/2 over one socket, in either role: its streams, and what its parts ask of each other (RFC 9113 section 5). */
import type { ByteSocket, ConnectionListener, ResetCause, StreamListener } from "./api.ts";
import { Budget } from "./budget.ts";
import { ConnectionDeadlines, type DeadlineOwner } from "./deadlines.ts";
import { Ending, type EndingOwner } from "./ending.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import { type Field, FieldKind } from "./field.ts";
import * as frame from "./frame.ts";
import { greet } from "./greeting.ts";
import { Inbound, type InboundOwner } from "./inbound.ts";
import { Outflow } from "./outflow.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { defaultSettings, type Http2Settings } from "./settings.ts";
import { Http2Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";
import { startTurn, turn } from "./turn.ts";

export interface ConnectionOptions {
  readonly role: "client" | "server";
  readonly listener: ConnectionListener;
  /** What differs from `defaultSettings`. */
  readonly settings?: Partial<Http2Settings>;
}

/** Streams a client opens before it has read the server's limit; what grpc-go assumes as well. */
const assumedMaxStreams = 100;

export class Http2Connection implements StreamOwner, InboundOwner, DeadlineOwner, EndingOwner {
  readonly settings: Http2Settings;
  readonly isServer: boolean;
  readonly listener: ConnectionListener;
  readonly streams: StreamTable;
  readonly sender: Sender;
  acceptUpTo = frame.maxInt31;
  peerMaxStreams = assumedMaxStreams;
  /** RST_STREAM frames sent in the life of the connection. Servers count them, so its owner must know. */
  resetsSent = 0;
  readonly #receiver: Receiver;
  readonly #inbound: Inbound;
  readonly #outflow: Outflow;
  readonly #ending: Ending;
  readonly #deadlines: ConnectionDeadlines;
  readonly #resetBudget: Budget;

  constructor(socket: ByteSocket, options: ConnectionOptions) {
    startTurn();
    this.settings = { ...defaultSettings, ...options.settings };
    const { maxSocketBuffer, resetBurst, resetsPerSecond } = this.settings;
    this.listener = options.listener;
    this.isServer = options.role === "server";
    this.streams = new StreamTable(this.isServer);
    this.sender = new Sender(socket, this.settings);
    this.#inbound = new Inbound(this);
    this.#receiver = new Receiver(this.#inbound, this.settings, this.isServer);
    this.#resetBudget = new Budget(resetBurst, resetsPerSecond, turn.now);
    const { sender, isServer } = this;
    const fail = (error: unknown) => this.#ending.fail(error);
    socket.on("data", (chunk) => this.receive(chunk));
    this.#outflow = new Outflow({ socket, sender, maxSocketBuffer, isServer, fail });
    this.#ending = new Ending(socket, this);
    this.#deadlines = new ConnectionDeadlines(this, this.#receiver, this.#ending);
    greet(sender, this.settings, isServer);
  }

  /** Streams that may be opened now (client role); 0 once no more will be. */
  get room(): number {
    if (this.#ending.state !== "open" || this.isServer || this.streams.nextId > frame.maxInt31) return 0;
    return Math.max(0, this.peerMaxStreams - this.streams.size);
  }

  /** Streams that are open. */
  get streamCount(): number {
    return this.streams.size;
  }

  get closed(): boolean {
    return this.#ending.state === "closed";
  }

  /** Opens a stream with a request (client role). Call only while `room` is above 0. */
  request(fields: readonly Field[], end: boolean, listener: StreamListener): Http2Stream {
    const stream = this.newStream(this.streams.nextId);
    this.streams.nextId += 2;
    stream.listener = listener;
    stream.bodyless = fields[0]?.kind === FieldKind.method && fields[0].value === "HEAD";
    stream.sendHeaders(fields, end);
    if (this.streams.nextId > frame.maxInt31) {
      this.listener.onGoaway?.(ErrorCode.noError); // section 5.1.1: ids are never used again, so it goes on with another connection
      this.shutdown();
    }
    return stream;
  }

  /** Takes bytes from the socket; public for those that were read before the connection was made. */
  receive(chunk: Uint8Array): void {
    if (this.#ending.state === "closed") return this.#ending.drop(chunk.length);
    startTurn();
    try {
      this.#receiver.receive(chunk);
      if (this.sender.output.congested) this.#outflow.holdReading();
    } catch (error) {
      this.#ending.fail(error);
    }
  }

  /** Ends in order: no new streams, GOAWAY, closed with the last stream; `onClose` tells when. */
  shutdown(): void {
    this.#ending.drain();
  }

  /** Ends at once; every stream is told. */
  destroy(error?: Error): void {
    this.#ending.end(ErrorCode.noError, "", error);
  }

  // --- what a stream asks of its connection

  sendHeaders(stream: Http2Stream, fields: readonly Field[], end: boolean): void {
    this.sender.headers(stream.id, fields, end);
    stream.lastActive = turn.now;
    if (end) this.sentEnd(stream);
  }

  sendData(stream: Http2Stream, bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (!this.sender.admits(stream, stop - start)) {
      this.sender.wait(stream);
      this.#outflow.pumpSoon();
      return false;
    }
    this.sender.data(stream, bytes, start, stop, end);
    this.sender.partsSent++;
    if (end) this.sentEnd(stream);
    return true;
  }

  sentEnd(stream: Http2Stream): void {
    if (stream.remoteEnded) this.close(stream);
  }

  resetStream(stream: Http2Stream, code: ErrorCode): void {
    this.#sendReset(stream.id, code);
    this.#forget(stream, true);
    this.#left();
  }

  /** Half a window is worth a WINDOW_UPDATE; less would cost more frames, more would make the peer wait. */
  consumed(stream: Http2Stream, bytes: number): void {
    stream.uncredited += bytes;
    if (stream.uncredited * 2 < this.settings.initialWindowSize) return;
    stream.receiveWindow += stream.uncredited;
    this.sender.windowUpdate(stream.id, stream.uncredited);
    stream.uncredited = 0;
  }

  // --- what inbound frames ask of their connection

  newStream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this, this.#inbound.peerInitialWindow, this.settings.initialWindowSize);
    this.streams.add(stream);
    return stream;
  }

  fault(stream: Http2Stream, code: ErrorCode): void {
    this.#sendReset(stream.id, code);
    this.#forget(stream, true);
    stream.listener.onReset(code, "malformed");
    this.#left();
    this.countReset();
  }

  refuse(id: number, code: ErrorCode): void {
    this.#sendReset(id, code);
    this.streams.rememberReset(id);
    if (!this.sender.controlWithin(this.settings.maxQueuedControlFrames)) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "the peer doesn't read");
    }
  }

  close(stream: Http2Stream): void {
    this.#forget(stream, false);
    this.#left();
  }

  abandon(stream: Http2Stream, code: ErrorCode, cause: ResetCause): void {
    this.#forget(stream, false);
    stream.listener.onReset(code, cause);
    this.#left();
  }

  /** Resets by the peer and resets that it provokes are one budget: rapid reset, and the same by other means. */
  countReset(): void {
    if (this.isServer && !this.#resetBudget.spend(turn.now)) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many streams reset");
    }
  }

  pingAcked(payload: Uint8Array): void {
    if (!this.#deadlines.pingAcked(payload)) this.#ending.pingAcked(payload);
  }

  /** First of all there is no more room: those who are told that they may try again mustn't come back here. */
  goneAway(lastStreamId: number, code: ErrorCode): void {
    this.#ending.peerDrains();
    this.listener.onGoaway?.(code);
    for (const stream of this.streams.all()) {
      if (stream.id > lastStreamId && !stream.closed) this.abandon(stream, ErrorCode.refusedStream, "unprocessed");
    }
    this.#ending.closeIfDrained();
  }

  // --- what its ending asks of it

  stop(): void {
    this.#deadlines.stop();
    this.#outflow.stop();
    this.#receiver.stop();
  }

  loseStreams(): void {
    for (const stream of this.streams.all()) {
      if (stream.closed) continue; // by what one before it was told
      this.#forget(stream, false);
      stream.listener.onReset(ErrorCode.internalError, "connection");
    }
  }

  #sendReset(id: number, code: ErrorCode): void {
    this.resetsSent++;
    this.sender.resetStream(id, code);
  }

  /** Nothing goes out or comes in for the stream any more. Its listener is to be told before `#left` is called. */
  #forget(stream: Http2Stream, reset: boolean): void {
    stream.closed = true;
    stream.queue = undefined;
    this.sender.forget(stream);
    this.streams.delete(stream.id, reset);
  }

  /** What a stream that is gone means to the connection. */
  #left(): void {
    if (this.streams.size === 0) {
      this.#deadlines.idleSince = turn.now;
      if (this.#ending.state === "draining") this.#ending.closeIfDrained();
    }
    if (!this.isServer && this.#ending.state === "open") this.listener.onRoom?.();
  }
}
