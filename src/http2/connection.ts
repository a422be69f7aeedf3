/** Connection: HTTP/2 over one socket, in either role: its streams, and how it begins and ends (RFC 9113 sections 3, 5 and 6.8). */
import type { ByteSocket, ConnectionListener, ResetCause, StreamListener } from "./api.ts";
import { Budget } from "./budget.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import { type Field, FieldKind } from "./field.ts";
import * as frame from "./frame.ts";
import { Inbound, type InboundOwner } from "./inbound.ts";
import { Keepalive } from "./keepalive.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { defaultSettings, type Http2Settings } from "./settings.ts";
import { Http2Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";
import { startTurn, turn } from "./turn.ts";
import { unwatch, type Watched, watch } from "./watch.ts";

export interface ConnectionOptions {
  readonly role: "client" | "server";
  readonly listener: ConnectionListener;
  /** What differs from `defaultSettings`. */
  readonly settings?: Partial<Http2Settings>;
}

/** Streams a client opens before it has read the server's limit; what grpc-go assumes as well. */
const assumedMaxStreams = 100;

/** Milliseconds for the last GOAWAY to be read by the peer before the socket is destroyed. */
const lingerMs = 1_000;

/** Bytes of frames that no window holds back, which may be on their way all the same. */
const spareBytes = 256 << 10;

/** So many times `maxSocketBuffer` may wait for a client before nothing more is read from it. */
const unreadFactor = 4;

/** Payloads of our PINGs, which say what their acks are for. */
const drainPing = Buffer.from("draining", "latin1");
const keepalivePing = Buffer.from("keepaliv", "latin1");

export class Http2Connection implements StreamOwner, InboundOwner, Watched {
  readonly settings: Http2Settings;
  readonly isServer: boolean;
  readonly listener: ConnectionListener;
  readonly streams: StreamTable;
  readonly sender: Sender;
  acceptUpTo = frame.maxInt31;
  peerMaxStreams = assumedMaxStreams;
  /** RST_STREAM frames sent in the life of the connection. Servers count them, so its owner must know. */
  resetsSent = 0;
  #state: "open" | "draining" | "closed" = "open";
  readonly #socket: ByteSocket;
  readonly #receiver: Receiver;
  readonly #inbound: Inbound;
  readonly #resetBudget: Budget;
  readonly #openedAt = startTurn();
  #idleSince = turn.now;
  #sweptAt = turn.now;
  readonly #keepalive: Keepalive | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  /** Bytes that came after the end. */
  #dropped = 0;
  #pumping = false;
  /** The socket is paused, until the peer has read. */
  #holding = false;

  constructor(socket: ByteSocket, options: ConnectionOptions) {
    this.settings = { ...defaultSettings, ...options.settings };
    this.#socket = socket;
    this.listener = options.listener;
    this.isServer = options.role === "server";
    this.streams = new StreamTable(this.isServer);
    this.sender = new Sender(socket, this.settings);
    this.#inbound = new Inbound(this);
    this.#receiver = new Receiver(this.#inbound, this.settings, this.isServer);
    this.#resetBudget = new Budget(this.settings.resetBurst, this.settings.resetsPerSecond, turn.now);
    socket.on("data", (chunk) => this.receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("error", (error) => this.#lost(error));
    socket.on("end", () => this.#lost(undefined));
    socket.on("close", () => this.#lost(undefined));
    this.#greet();
    watch(this);
    if (this.settings.keepaliveIntervalMs > 0) this.#keepalive = this.#startKeepalive();
  }

  /** Streams that may be opened now (client role); 0 once no more will be. */
  get room(): number {
    if (this.#state !== "open" || this.isServer || this.streams.nextId > frame.maxInt31) return 0;
    return Math.max(0, this.peerMaxStreams - this.streams.size);
  }

  /** Streams that are open. */
  get streamCount(): number {
    return this.streams.size;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Opens a stream with a request (client role). Call only while `room` is above 0. */
  request(fields: readonly Field[], end: boolean, listener: StreamListener): Http2Stream {
    const stream = this.#newStream(this.streams.nextId);
    this.streams.nextId += 2;
    stream.listener = listener;
    stream.bodyless = fields[0]?.kind === FieldKind.method && fields[0].value === "HEAD";
    stream.sendHeaders(fields, end);
    if (this.streams.nextId > frame.maxInt31) this.#idsUsedUp();
    return stream;
  }

  /** Takes bytes from the socket; public for those that were read before the connection was made. */
  receive(chunk: Uint8Array): void {
    if (this.#state === "closed") return this.#drop(chunk.length);
    startTurn();
    try {
      this.#receiver.receive(chunk);
      if (this.sender.output.congested) this.#holdReading();
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Ends in order: no new streams, GOAWAY, closed with the last stream; `onClose` tells when. A server first names no
   * last stream, for requests may be on their way; the ack of a PING tells that none is (section 6.8).
   */
  shutdown(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    this.sender.goaway(this.isServer ? frame.maxInt31 : 0, ErrorCode.noError, "");
    if (this.isServer) this.sender.ping(drainPing, false);
    else this.#closeIfDrained();
  }

  /** Ends at once; every stream is told. */
  destroy(error?: Error): void {
    this.#end(ErrorCode.noError, "", error);
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
      this.#pumpSoon();
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

  accept(id: number): Http2Stream {
    return this.#newStream(id);
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
    if (keepalivePing.equals(payload)) return this.#keepalive?.acked();
    if (!drainPing.equals(payload) || this.#state !== "draining" || !this.isServer) return;
    if (this.acceptUpTo !== frame.maxInt31) return; // acked before: the last id may not grow (section 6.8)
    this.acceptUpTo = this.streams.lastPeerId;
    this.sender.goaway(this.acceptUpTo, ErrorCode.noError, "");
    this.#closeIfDrained();
  }

  /** First of all there is no more room: those who are told that they may try again mustn't come back here. */
  goneAway(lastStreamId: number, code: ErrorCode): void {
    if (this.#state === "open") this.#state = "draining";
    this.listener.onGoaway?.(code);
    for (const stream of this.streams.all()) {
      if (stream.id > lastStreamId && !stream.closed) this.abandon(stream, ErrorCode.refusedStream, "unprocessed");
    }
    this.#closeIfDrained();
  }

  // --- deadlines

  /** Looks at the deadlines that are counted in seconds; see `watch`. */
  check(now: number): void {
    const { settings } = this;
    const { waitsSince, greeted } = this.#receiver;
    if (!greeted && now - this.#openedAt > settings.prefaceTimeoutMs) {
      return this.#end(ErrorCode.protocolError, "no SETTINGS in time", undefined);
    }
    if (waitsSince !== undefined && now - waitsSince > settings.headerBlockTimeoutMs) {
      return this.#end(ErrorCode.protocolError, "frame or header block not whole in time", undefined);
    }
    if (this.streams.size === 0) {
      if (now - this.#idleSince > settings.connectionIdleTimeoutMs) this.#end(ErrorCode.noError, "idle", undefined);
      return;
    }
    if (settings.streamIdleTimeoutMs === 0 || (now - this.#sweptAt) * 10 < settings.streamIdleTimeoutMs) return;
    this.#sweptAt = now;
    for (const stream of this.streams.all()) {
      if (stream.closed || now - stream.lastActive <= settings.streamIdleTimeoutMs) continue;
      this.resetStream(stream, ErrorCode.cancel);
      stream.listener.onReset(ErrorCode.cancel, "idle");
    }
  }

  #startKeepalive(): Keepalive {
    const { keepaliveIntervalMs: intervalMs, keepaliveTimeoutMs: timeoutMs } = this.settings;
    return new Keepalive({
      intervalMs,
      timeoutMs,
      needed: () => this.streams.size > 0,
      ping: () => this.sender.ping(keepalivePing, false),
      heard: () => this.#receiver.chunks,
      onDead: () => this.#lost(new Error(`no answer to a PING within ${timeoutMs} ms`)),
    });
  }

  // --- begin and end

  #greet(): void {
    const { settings, sender } = this;
    if (!this.isServer) sender.raw(Buffer.from(frame.connectionPreface, "latin1"));
    const entries: [number, number][] = [
      [frame.SettingId.headerTableSize, settings.headerTableSize],
      [frame.SettingId.initialWindowSize, settings.initialWindowSize],
      [frame.SettingId.maxFrameSize, settings.maxFrameSize],
      [frame.SettingId.maxHeaderListSize, settings.maxHeaderListSize],
    ];
    if (this.isServer) entries.push([frame.SettingId.maxConcurrentStreams, settings.maxConcurrentStreams]);
    else entries.push([frame.SettingId.enablePush, 0]);
    sender.settings(entries);
    const beyondInitial = settings.connectionWindowSize - frame.initialWindowSize;
    if (beyondInitial > 0) sender.windowUpdate(0, beyondInitial);
  }

  /** Section 5.1.1: ids are never used again, so a client has to go on with a new connection. */
  #idsUsedUp(): void {
    this.listener.onGoaway?.(ErrorCode.noError);
    this.shutdown();
  }

  #newStream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this, this.#inbound.peerInitialWindow, this.settings.initialWindowSize);
    this.streams.add(stream);
    return stream;
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
      this.#idleSince = turn.now;
      if (this.#state === "draining") this.#closeIfDrained();
    }
    if (!this.isServer && this.#state === "open") this.listener.onRoom?.();
  }

  /** Not within the call that queued: whoever sends isn't told that it was sent before it knows that it had to wait. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #drained(): void {
    startTurn();
    this.sender.output.drained();
    if (this.#holding) this.#socket.resume();
    this.#holding = false;
    this.#pump();
  }

  /**
   * A client that asks and doesn't read is not listened to until it does: DATA waits in its streams, but the header blocks
   * of answers, which no window holds back, would pile up (CVE-2019-9517). Servers only, for these are strangers.
   */
  #holdReading(): void {
    if (!this.isServer || this.#holding || this.sender.output.buffered < this.settings.maxSocketBuffer * unreadFactor)
      return;
    this.#holding = true;
    this.#socket.pause();
  }

  #pump(): void {
    try {
      if (this.#state !== "closed") this.sender.pump();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A server waits for the second GOAWAY, a client that has streams for their end. */
  #closeIfDrained(): void {
    if (this.#state !== "draining" || this.streams.size > 0) return;
    if (this.isServer && this.acceptUpTo === frame.maxInt31) return;
    this.#end(undefined, "", undefined);
  }

  #fail(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    const known = cause instanceof ConnectionError;
    this.#end(known ? cause.code : ErrorCode.internalError, known ? cause.message : "", cause);
  }

  /** Says GOAWAY (where there is a code), ends our side and gives the peer a moment to read it. */
  #end(code: ErrorCode | undefined, why: string, error: Error | undefined): void {
    if (this.#state === "closed") return;
    if (code !== undefined) this.sender.goaway(Math.min(this.streams.lastPeerId, this.acceptUpTo), code, why);
    this.#conclude(error, () => {
      this.sender.output.flush();
      this.#socket.end();
      this.#socket.resume(); // what the peer still sends is read and dropped: a reset by unread bytes could overtake the GOAWAY
      this.#linger = setTimeout(() => this.#socket.destroy(), lingerMs);
    });
  }

  /** More than a peer can have had on its way when it was told that it is over: it doesn't listen, so it is cut off. */
  #drop(bytes: number): void {
    this.#dropped += bytes;
    if (this.#dropped > this.settings.connectionWindowSize + spareBytes) this.#socket.destroy();
  }

  /** The socket has ended or failed. */
  #lost(error: Error | undefined): void {
    clearTimeout(this.#linger);
    this.#conclude(error, () => undefined);
    this.#socket.destroy();
  }

  /** The one place where a connection becomes closed: streams are told, then the owner. */
  #conclude(error: Error | undefined, lastWords: () => void): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    unwatch(this);
    this.#keepalive?.stop();
    this.#receiver.stop();
    lastWords();
    this.sender.output.close();
    for (const stream of this.streams.all()) {
      if (stream.closed) continue; // by what one before it was told
      this.#forget(stream, false);
      stream.listener.onReset(ErrorCode.internalError, "connection");
    }
    this.listener.onClose(error);
  }
}
