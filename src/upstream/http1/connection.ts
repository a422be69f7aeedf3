/** Connection: HTTP/1.1 to an upstream over one socket, one request after another (RFC 9112 section 9). */
import { RequestError } from "../../http1/request-error.ts";
import { writeChunkEnd, writeChunkHead, writeLastChunk } from "../../http1/writer.ts";
import type { ByteSocket, ConnectionListener, ResetCause, StreamListener } from "../../http2/api.ts";
import { ErrorCode } from "../../http2/errors.ts";
import type { Field } from "../../http2/field.ts";
import { writeLatin1 } from "../../http2/hpack/latin1.ts";
import { Output } from "../../http2/output.ts";
import { startTurn, turn } from "../../http2/turn.ts";
import { unwatch, type Watched, watch } from "../../http2/watch.ts";
import type { UpstreamConnection } from "../connection.ts";
import { writeRequestHead } from "./request-head.ts";
import { ResponseError, type ResponseHead } from "./response-head.ts";
import { ResponseParser, type ResponseSink } from "./response-parser.ts";
import { type ClientStreamOwner, Http1ClientStream } from "./stream.ts";

export interface Http1ClientOptions {
  readonly listener: ConnectionListener;
  /** Milliseconds without a byte either way after which a call is given up; 0 turns it off. */
  readonly streamIdleTimeoutMs: number;
  /** Bytes of a response that its reader hasn't got rid of before the socket isn't read any more. */
  readonly initialWindowSize: number;
  /** Bytes that may wait in the socket before body is held back. */
  readonly maxSocketBuffer: number;
}

/**
 * Milliseconds that an unused connection is kept, where the server doesn't say: less than servers keep theirs (5 s is the
 * shortest that is common), for a request that crosses with the server's close is lost and can't be sent again.
 */
const keepAliveMs = 4_000;

/** By so much earlier than the server says: its answer took a while to come. */
const keepAliveMarginMs = 1_000;

export class Http1ClientConnection implements UpstreamConnection, ClientStreamOwner, ResponseSink, Watched {
  place = -1;
  readonly resetsSent = 0;
  readonly #socket: ByteSocket;
  readonly #options: Http1ClientOptions;
  readonly #output: Output;
  readonly #parser = new ResponseParser(this);
  #state: "open" | "draining" | "closed" = "open";
  #stream: Http1ClientStream | undefined;
  /** What had been written before this stream's request. */
  #writtenBefore = 0;
  /** The connection can take another request behind this one. */
  #persists = true;
  #keepAliveMs = keepAliveMs;
  #idleSince = startTurn();
  #lastActive = turn.now;
  #paused = false;
  /** `receive` is on the stack. */
  #receiving = false;

  constructor(socket: ByteSocket, options: Http1ClientOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#output = new Output(socket, options.maxSocketBuffer);
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("error", (error) => this.#lost(error));
    socket.on("end", () => this.#lost(undefined));
    socket.on("close", () => this.#lost(undefined));
    watch(this);
  }

  get room(): number {
    return this.#state === "open" && this.#stream === undefined ? 1 : 0;
  }

  get streamCount(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  request(fields: readonly Field[], end: boolean, listener: StreamListener): Http1ClientStream {
    const head = writeRequestHead(fields, end);
    const stream = new Http1ClientStream(this, listener, head?.contentLength ?? 0);
    this.#stream = stream;
    this.#lastActive = turn.now;
    if (head === undefined) {
      // later, as the caller doesn't have the stream yet
      queueMicrotask(() => this.#endStream(stream, ErrorCode.protocolError, "peer"));
      return stream;
    }
    this.#writtenBefore = this.#output.written;
    this.#persists = true;
    this.#parser.expect(head.isHead);
    this.#output.reserve(head.text.length);
    this.#output.at = writeLatin1(head.text, this.#output.block, this.#output.at);
    if (end) stream.end();
    return stream;
  }

  shutdown(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    if (this.#stream === undefined) this.#close(undefined);
  }

  destroy(error?: Error): void {
    this.#close(error);
  }

  check(now: number): void {
    const { streamIdleTimeoutMs } = this.#options;
    const stream = this.#stream;
    if (stream === undefined) {
      if (now - this.#idleSince >= this.#keepAliveMs) this.#retire();
    } else if (streamIdleTimeoutMs > 0 && now - this.#lastActive >= streamIdleTimeoutMs) {
      this.#endStream(stream, ErrorCode.cancel, "idle");
    }
  }

  // --- what a stream asks of its connection

  get congested(): boolean {
    return this.#output.congested;
  }

  writeBody(bytes: Uint8Array, start: number, stop: number, chunked: boolean): void {
    this.#lastActive = turn.now;
    if (chunked) writeChunkHead(this.#output, stop - start);
    this.#output.append(bytes, start, stop);
    if (chunked) writeChunkEnd(this.#output);
  }

  writeEnd(trailers: readonly Field[], chunked: boolean): void {
    if (chunked) writeLastChunk(this.#output, trailers);
    this.#freeIfDone();
  }

  onUnconsumed(bytes: number): void {
    const { initialWindowSize } = this.#options;
    if (!this.#paused && bytes >= initialWindowSize) {
      this.#paused = true;
      this.#socket.pause();
    } else if (this.#paused && bytes < initialWindowSize / 2) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  /** There is no way to end a request but to end the connection. */
  resetStream(): void {
    this.#retire();
  }

  // --- what the parser reads

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status >= 200) {
      this.#persists = !head.close;
      if (head.keepAliveMs !== undefined) this.#keepAliveMs = head.keepAliveMs - keepAliveMarginMs;
    }
    this.#stream!.receiveHead(head.fields, end);
  }

  onBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#stream!.receiveBody(bytes, start, stop, end);
  }

  onTrailers(fields: Field[]): void {
    this.#stream!.receiveTrailers(fields);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#state === "closed") return;
    this.#lastActive = startTurn();
    // nobody was asked: a server that gives up an idle connection may say so before it closes it
    if (this.#stream === undefined) return this.#retire();
    this.#receiving = true;
    try {
      const read = this.#parser.receive(chunk);
      if (read < chunk.length) this.#persists = false;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#receiving = false;
    }
    this.#freeIfDone();
  }

  /** What is no fault of the peer's is one of ours: it ends this connection, and not the process. */
  #failed(error: unknown): void {
    const stream = this.#stream;
    // the parts that read lines and chunks are those of the server's side, and so is their error
    if (!(error instanceof ResponseError) && !(error instanceof RequestError)) {
      this.#close(error instanceof Error ? error : new Error(String(error)));
    } else if (stream !== undefined && !stream.closed) {
      this.#endStream(stream, ErrorCode.protocolError, "malformed");
    }
  }

  /** Not while the parser runs: only when it has stopped is it known whether anything came behind the response. */
  #freeIfDone(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#receiving || !stream.remoteEnded || !stream.sentAll) return;
    stream.close();
    this.#stream = undefined;
    this.#idleSince = turn.now;
    if (this.#state !== "open" || !this.#persists || this.#keepAliveMs <= 0) return this.#retire();
    this.onUnconsumed(0);
    this.#options.listener.onRoom?.();
  }

  #drained(): void {
    startTurn();
    this.#output.drained();
    this.#stream?.pump();
  }

  /** The peer is gone. Behind a response without a length that is its end. */
  #lost(error: Error | undefined): void {
    if (this.#state === "closed") return;
    startTurn();
    if (error === undefined && this.#stream !== undefined && this.#parser.finish()) {
      this.#persists = false;
      this.#freeIfDone();
      if (this.#stream === undefined) return;
    }
    if (this.#stream === undefined) return this.#retire();
    this.#close(error ?? new Error("closed by the peer"));
  }

  /** Takes no more calls, and wasn't lost: a call that is under way is over. */
  #retire(): void {
    if (this.#state === "closed") return;
    if (this.#state === "open") {
      this.#state = "draining";
      this.#options.listener.onGoaway?.(ErrorCode.noError);
    }
    this.#stream?.close();
    this.#stream = undefined;
    this.#close(undefined);
  }

  #endStream(stream: Http1ClientStream, code: ErrorCode, cause: ResetCause): void {
    if (stream !== this.#stream) return;
    this.#retire();
    stream.listener.onReset(code, cause);
  }

  #close(error: Error | undefined): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    unwatch(this);
    this.#parser.stop();
    this.#output.close();
    this.#socket.destroy();
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) {
      stream.close();
      // nothing of it has left this process: nobody can have worked on it
      const unsent = this.#output.written === this.#writtenBefore;
      stream.listener.onReset(ErrorCode.internalError, unsent ? "unprocessed" : "connection");
    }
    this.#options.listener.onClose(error);
  }
}
