/** Exchange: one universal request and its response, as a stream of the proxy's. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { HttpStream, StreamListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import { type Field, valueOf } from "../http2/field.ts";
import { startTurn } from "../http2/turn.ts";
import { headersOf } from "./headers.ts";
import { ReplyBody, type ReplyBodyOwner } from "./reply-body.ts";

/** Bytes of a request that the proxy has and hasn't got rid of, before the next piece is pulled from the host. */
const maxUnconsumed = 64 << 10;

const nothing = new Uint8Array(0);

export interface ExchangeOptions {
  readonly body: AsyncIterable<Uint8Array>;
  /** The caller's, or the host's: the request is over. */
  readonly signal: AbortSignal;
  /** Nothing comes in the body, as of a GET. */
  readonly bodyless: boolean;
  /**
   * The response goes over a network, through a host that writes it: the head is announced, and the status of a Trailers-Only
   * response becomes trailers, for hosts can't end a stream with its head.
   */
  readonly hosted: boolean;
}

export class UniversalExchange implements HttpStream, ReplyBodyOwner {
  listener!: StreamListener;
  remoteEnded: boolean;
  localEnded = false;
  closed = false;
  /** Rejects if the stream was reset before its head. */
  readonly response: Promise<UniversalServerResponse>;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal;
  readonly #hosted: boolean;
  readonly #reply: ReplyBody;
  readonly #trailer = new Headers();
  readonly #onAbort = () => this.#aborted();
  #settle: { resolve(response: UniversalServerResponse): void; reject(error: unknown): void } | undefined;
  #unconsumed = 0;
  #pulling = false;

  constructor({ body, signal, bodyless, hosted }: ExchangeOptions) {
    this.#source = body[Symbol.asyncIterator]();
    this.#signal = signal;
    this.#hosted = hosted;
    this.remoteEnded = bodyless;
    this.#reply = new ReplyBody(this, hosted);
    this.response = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  /** Begins to read the request. */
  start(listener: StreamListener): void {
    this.listener = listener;
    if (this.#signal.aborted) return this.#aborted();
    if (this.closed) return;
    this.#signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#pull();
  }

  /** Interim heads go nowhere: a universal response has one. */
  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed || this.localEnded) return;
    if (this.#settle === undefined) {
      headersOf(fields).forEach((value, name) => {
        this.#trailer.append(name, value);
      });
      this.#endReply();
    } else if (!fields[0]!.value.startsWith("1")) {
      this.#sendHead(fields, end);
    }
  }

  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed || this.localEnded) return true;
    const sent = start === stop || this.#reply.push({ bytes, start, stop });
    if (end) this.#endReply();
    return sent;
  }

  end(): void {
    if (!this.closed && !this.localEnded) this.#endReply();
  }

  consume(bytes: number): void {
    this.#unconsumed -= bytes;
    this.#pull();
  }

  /** After the whole response NO_ERROR asks only that the rest of the request isn't sent (RFC 9113 section 8.1): it isn't read. */
  reset(code: ErrorCode): void {
    if (this.closed) return;
    if (code === ErrorCode.noError && this.localEnded) this.#unconsumed = Number.POSITIVE_INFINITY;
    else this.#close(new ConnectError(`the proxy reset the stream with code ${code}`, Code.Aborted));
  }

  dropQueue(): void {
    this.#reply.dropHeld();
  }

  // --- what the reply's body tells

  onPulled(bytes: number): void {
    if (this.closed) return;
    startTurn();
    this.listener.onSent(bytes);
  }

  onFinished(): void {
    this.#close(undefined);
  }

  onAbandoned(): void {
    this.#gone(new ConnectError("the response was abandoned", Code.Aborted));
  }

  #sendHead(fields: readonly Field[], end: boolean): void {
    const { resolve } = this.#settle!;
    this.#settle = undefined;
    const status = Number(fields[0]!.value);
    if (!end) {
      resolve({ status, header: headersOf(fields), body: this.#reply, trailer: this.#trailer });
      return;
    }
    this.localEnded = true;
    const header = headersOf(fields);
    const type = valueOf(fields, "content-type");
    if (this.#hosted && valueOf(fields, "grpc-status") !== undefined && isGrpc(type)) {
      header.delete("content-type");
      resolve({ status, header: new Headers([["content-type", type!]]), trailer: header });
    } else {
      resolve({ status, header });
    }
    this.#close(undefined);
  }

  #endReply(): void {
    this.localEnded = true;
    this.#reply.end();
  }

  async #pull(): Promise<void> {
    if (this.#pulling) return;
    this.#pulling = true;
    try {
      while (!this.closed && !this.remoteEnded && this.#unconsumed < maxUnconsumed) {
        const { done, value } = await this.#source.next();
        if (this.closed) return;
        startTurn();
        if (done === true) {
          this.remoteEnded = true;
          this.listener.onData(nothing, 0, 0, true);
        } else if (value.length > 0) {
          this.#unconsumed += value.length;
          this.listener.onData(value, 0, value.length, false);
        }
      }
    } catch (error) {
      this.#gone(error); // hosts throw when the connection is lost
    } finally {
      this.#pulling = false;
    }
  }

  #aborted(): void {
    const { reason } = this.#signal;
    this.#gone(reason instanceof ConnectError ? reason : new ConnectError("the request was aborted", Code.Canceled));
  }

  /** The caller, or the host for it, wants nothing more. */
  #gone(error: unknown): void {
    if (this.closed) return;
    this.#close(error);
    startTurn();
    this.listener.onReset(ErrorCode.cancel, "peer");
  }

  #close(error: unknown): void {
    this.closed = true;
    this.localEnded = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (error === undefined) return;
    this.#settle?.reject(error);
    this.#settle = undefined;
    this.#reply.fail(error);
  }
}

/** And not gRPC-Web, which has its trailers in the body. */
export function isGrpc(contentType: string | null | undefined): boolean {
  return /^application\/grpc[ \t]*([+;]|$)/i.test(contentType ?? "");
}
