/** Connection: HTTP/1.1 over one socket, server side: one exchange after another, and how it begins and ends (RFC 9112 section 9). */
import type { ByteSocket, ConnectionListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";
import { Output } from "../http2/output.ts";
import { startTurn, turn } from "../http2/turn.ts";
import { unwatch, type Watched, watch } from "../http2/watch.ts";
import { overdue } from "./deadlines.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import type { RequestHead } from "./head.ts";
import { Intake, type IntakeOwner } from "./intake.ts";
import { Linger } from "./linger.ts";
import { RequestParser, type RequestSink } from "./parser.ts";
import { byPeer, byUs, idle, internalError, malformed, type Reason, unavailable, unfinished } from "./reasons.ts";
import { RequestError } from "./request-error.ts";
import { defaultSettings, type Http1Settings } from "./settings.ts";
import { writeRefusal } from "./writer.ts";

export interface Http1ConnectionOptions {
  /** Only `onRequest`, `onUnreadable` and `onClose` are told. */
  readonly listener: ConnectionListener;
  /** The connection is TLS: requests have `:scheme` https. */
  readonly secure: boolean;
  /** What differs from `defaultSettings`. */
  readonly settings?: Partial<Http1Settings>;
}

export class Http1Connection implements ExchangeOwner, IntakeOwner, RequestSink, Watched {
  readonly settings: Http1Settings;
  readonly output: Output;
  #state: "open" | "draining" | "closed" = "open";
  #exchange: Exchange | undefined;
  #requests = 0;
  place = -1;
  #idleSince = startTurn();
  #linger: Linger | undefined;
  readonly #listener: ConnectionListener;
  readonly #parser: RequestParser;
  readonly #intake: Intake;
  readonly #socket: ByteSocket;

  constructor(socket: ByteSocket, { listener, secure, settings }: Http1ConnectionOptions) {
    this.settings = { ...defaultSettings, ...settings };
    this.#socket = socket;
    this.#listener = listener;
    this.output = new Output(socket, this.settings.maxSocketBuffer);
    this.#parser = new RequestParser(this, this.settings, secure);
    this.#intake = new Intake(this, this.#parser, socket);
    socket.on("data", (chunk) => this.receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("error", (error) => this.#lost(error));
    socket.on("end", () => this.#peerEnded());
    socket.on("close", () => this.#lost(undefined));
    watch(this);
  }

  /** Requests that are being answered: one or none. */
  get streamCount(): number {
    return this.#exchange === undefined ? 0 : 1;
  }

  /** The same, as on HTTP/2. */
  get streams(): { all(): Exchange[] } {
    return { all: () => (this.#exchange === undefined ? [] : [this.#exchange]) };
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Takes bytes from the socket; public for those that were read before the connection was made. Never throws. */
  receive(chunk: Uint8Array): void {
    if (this.#state === "closed") return;
    startTurn();
    this.#intake.receive(chunk);
  }

  /** Ends in order: after the request that is under way or has begun to come, else at once; `onClose` tells when. */
  shutdown(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    if (this.#exchange === undefined && !this.#parser.inHead) this.#end(undefined);
  }

  /** Ends at once; a request under way is told. A response that isn't whole is seen to be cut. */
  destroy(error?: Error): void {
    if (this.#exchange?.isCut === true) this.#cut(error, byUs);
    else this.#end(error);
  }

  // --- what the bytes of a request mean

  get mayBegin(): boolean {
    return this.#exchange === undefined && !this.output.congested;
  }

  get unconsumed(): number {
    return this.#exchange?.unconsumed ?? 0;
  }

  onHead(head: RequestHead, end: boolean): void {
    this.#requests++;
    const exchange = new Exchange(this, head, end);
    this.#exchange = exchange;
    exchange.listener = this.#listener.onRequest!(exchange, head.fields, end);
    if (exchange.isUnasked && !exchange.begun && !exchange.closed) exchange.continue();
  }

  onBody(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#exchange!.onBody(bytes, start, stop, end);
  }

  onTrailers(fields: Field[]): void {
    this.#exchange!.onTrailers(fields);
  }

  failed(error: unknown): void {
    if (error instanceof RequestError) this.#abort(error, malformed, error);
    else this.#abort(internalError, byUs, error instanceof Error ? error : new Error(String(error)));
  }

  // --- what an exchange asks of its connection

  isLast(exchange: Exchange): boolean {
    const { maxRequests } = this.settings;
    return exchange.head.close || this.#state === "draining" || (maxRequests > 0 && this.#requests >= maxRequests);
  }

  /**
   * A response before the request's end: the rest of the request is read and dropped within bounds, so that the connection can
   * serve another; beyond them, or where a close was announced, it is closed.
   */
  responded(exchange: Exchange): void {
    if (exchange.remoteEnded) return this.#finish(exchange);
    if (exchange.willClose) return this.overrun();
    exchange.unconsumed = 0;
    this.#intake.update();
  }

  requested(exchange: Exchange): void {
    if (exchange.respondedAt > 0) this.#finish(exchange);
  }

  consumed(): void {
    if (this.#intake.paused) this.#intake.update();
  }

  overrun(): void {
    this.#end(undefined, unfinished);
  }

  resetExchange(exchange: Exchange, code: ErrorCode): void {
    exchange.close();
    this.#abort(code === ErrorCode.refusedStream ? unavailable : internalError, byUs, undefined);
  }

  /** Not within the call: whoever sends isn't told of the end before it knows what came of sending. */
  fault(exchange: Exchange, why: string): void {
    if (exchange.begun) this.output.close(); // what this turn has gathered could make the response look whole
    queueMicrotask(() => {
      if (!exchange.closed) this.#abort(internalError, byUs, new Error(why));
    });
  }

  /** Looks at the deadlines; see `watch`. */
  check(now: number): void {
    const found = overdue(now, {
      settings: this.settings,
      intake: this.#intake,
      exchange: this.#exchange,
      idleSince: this.#idleSince,
      requests: this.#requests,
    });
    if (found === "over") this.overrun();
    else if (found !== undefined) this.#abort(found, idle, found);
  }

  // --- begin and end

  /** Request and response are whole. */
  #finish(exchange: Exchange): void {
    exchange.close();
    this.#exchange = undefined;
    this.#idleSince = turn.now;
    if (exchange.willClose || this.#state === "draining") this.#end(undefined);
    else this.#intake.resume();
  }

  #drained(): void {
    if (this.#state === "closed") return;
    startTurn();
    this.output.drained();
    try {
      this.#exchange?.pump();
    } catch (error) {
      this.failed(error);
    }
    this.#intake.resume();
  }

  /** A response that hasn't begun says what is wrong; one that is whole stands; any other is cut. */
  #abort(answer: RequestError, reason: Reason, error: Error | undefined): void {
    if (this.#state === "closed") return;
    const exchange = this.#exchange;
    if (exchange?.isCut === true) return this.#cut(error, reason);
    if (exchange === undefined) this.#listener.onUnreadable?.(answer.status, answer.message);
    if (exchange === undefined || !exchange.begun) writeRefusal(this.output, answer, exchange?.head.isHead === true);
    this.#end(error, reason);
  }

  /** The peer sends nothing more. While it waits for a response that means, as elsewhere, that it is gone. */
  #peerEnded(): void {
    if (this.#exchange === undefined || this.#exchange.respondedAt > 0) this.#end(undefined, byPeer);
    else this.#lost(undefined);
  }

  /** Ends our side and gives the peer time to read what it is owed. */
  #end(error: Error | undefined, reason: Reason = byUs): void {
    this.#conclude(error, reason, () => {
      this.output.flush();
      this.#linger = new Linger(this.#socket, this.settings.bodyIdleTimeoutMs);
    });
  }

  /**
   * Ends in the midst of a response, which is seen by what is missing of its chunks or its length. With HTTP/1.0 and neither, nothing
   * shows it (section 8): Node has no reset that isn't preceded by an end.
   */
  #cut(error: Error | undefined, reason: Reason): void {
    this.#conclude(error, reason, () => {
      this.output.flush();
      this.#socket.destroy();
    });
  }

  /** The socket has ended or failed. */
  #lost(error: Error | undefined): void {
    this.#linger?.stop();
    this.#conclude(error, byPeer, () => undefined);
    this.#socket.destroy();
  }

  /** The one place where a connection becomes closed: the request under way is told, then the owner. */
  #conclude(error: Error | undefined, { code, cause }: Reason, lastWords: () => void): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    unwatch(this);
    this.#intake.stop();
    lastWords();
    this.output.close();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange?.closed === false) exchange.abandon(code, cause);
    this.#listener.onClose(error);
  }
}
