/** Serve local: a request on a stream of ours, answered by a Connect handler in this process. */
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalHandlerFn, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Identity, Origin } from "../call.ts";
import { decompress } from "../compress/compress.ts";
import type { HttpStream, ResetCause, StreamListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Field, valueOf } from "../http2/field.ts";
import { isGrpc } from "../universal/exchange.ts";
import { fieldsOf, headersOf } from "../universal/headers.ts";
import { identityKey, peerKey } from "../universal/request.ts";
import { type BodyStatus, bodyStatus } from "../wire/body-status.ts";
import { encodeMessage } from "../wire/message.ts";
import { statusOfReset } from "../wire/status.ts";
import { RequestBody } from "./request-body.ts";

export interface LocalRequest {
  readonly stream: HttpStream;
  /** Pseudo-fields first. */
  readonly fields: readonly Field[];
  readonly origin: Origin;
  /** The request has no body. Default: what the stream says. */
  readonly bodyless?: boolean;
  /** Who calls, where that was asked: handlers find it by `identityKey`. */
  readonly identity?: Identity | undefined;
  /** What carries the stream: over "1.1" there are no bidirectional streams. Default "2.0". */
  readonly httpVersion?: "1.1" | "2.0";
  /** Told once, when the exchange is over. */
  readonly onEnd?: ((outcome: LocalOutcome) => void) | undefined;
}

/** How a local call ended. */
export interface LocalOutcome {
  /** HTTP's; undefined if no response began. */
  readonly status: number | undefined;
  /** As it was sent, in trailers, in the head or inside the body; undefined where HTTP's status says all. */
  readonly grpcStatus: string | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Why it ended before its time: the caller went, or the handler threw what it shouldn't; else undefined. */
  readonly error: unknown;
}

/** Bytes that a caller may send after its answer before it is told to stop. */
const maxAfterEnd = 32 << 10;

/**
 * Answers a request. Bytes are pulled by the handler and pushed to the stream with backpressure both ways; if the caller goes away
 * the handler's signal is aborted, with a `ConnectError`.
 *
 * @returns what is told the rest of the request
 */
export function serveLocal(handler: UniversalHandlerFn, request: LocalRequest): StreamListener {
  const exchange = new LocalExchange(request);
  void exchange.run(handler);
  return exchange;
}

class LocalExchange implements StreamListener {
  readonly #stream: HttpStream;
  readonly #request: LocalRequest;
  readonly #body: RequestBody;
  readonly #abort = new AbortController();
  /** Bytes that wait in the stream, and who waits for them to leave. */
  #held = 0;
  #onDrained: (() => void) | undefined;
  #requestBytes = 0;
  #responseBytes = 0;
  #discarded = 0;
  /** HTTP's, once the head is sent. */
  #status: number | undefined;
  #inBody: BodyStatus | undefined;
  #over = false;
  /** It was answered from outside: what the handler says comes too late. */
  #refused = false;

  constructor(request: LocalRequest) {
    this.#request = request;
    this.#stream = request.stream;
    this.#body = new RequestBody((bytes) => request.stream.consume(bytes));
    if (request.bodyless ?? request.stream.remoteEnded) this.#body.end();
  }

  async run(handler: UniversalHandlerFn): Promise<void> {
    try {
      const response = await handler(this.#universalRequest());
      await this.#respond(response);
      this.#end(grpcStatusOf(response) ?? this.#statusInBody(), undefined);
    } catch (error) {
      this.#failed(error);
    }
  }

  onHeaders(): void {} // of a response: not on this side

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.#requestBytes += stop - start;
    if (this.#over) this.#discard(stop - start, end);
    else this.#body.push({ bytes, start, stop });
    if (end) this.#body.end();
  }

  /** Requests of no protocol have trailers that mean something. */
  onTrailers(): void {
    this.#body.end();
  }

  onSent(bytes: number): void {
    this.#held -= bytes;
    if (this.#held <= 0) this.#drained();
  }

  onReset(code: ErrorCode, cause: ResetCause): void {
    const status = cause === "peer" ? statusOfReset(code) : Code.Canceled;
    const error = new ConnectError(`the caller's stream ended: ${cause}, code ${code}`, status);
    this.#body.fail(error);
    this.#abort.abort(error);
    this.#drained();
  }

  /** Before the handler can answer, which takes turns that there aren't any more: HTTP's 503, gRPC's own status, or a reset. */
  onRefused(error: Error): void {
    if (this.#over || this.#stream.closed) return;
    this.#abort.abort(error);
    this.#body.fail(error);
    this.#drained();
    const { code, rawMessage } = ConnectError.from(error);
    const status = [new Field("grpc-status", String(code)), new Field("grpc-message", encodeMessage(rawMessage))];
    const type = valueOf(this.#request.fields, "content-type");
    if (this.#status === undefined) {
      const head = [new Field(":status", isGrpc(type) ? "200" : "503")];
      if (isGrpc(type)) head.push(new Field("content-type", type!), ...status);
      this.#stream.sendHeaders(head, true);
    } else if (isGrpc(type)) {
      this.#stream.dropQueue();
      this.#stream.sendHeaders(status, true);
    } else {
      this.#stream.reset(ErrorCode.internalError);
    }
    this.#refused = true;
  }

  #universalRequest(): UniversalServerRequest {
    const { fields, origin, identity, httpVersion = "2.0" } = this.#request;
    const authority = valueOf(fields, ":authority") ?? valueOf(fields, "host") ?? "localhost";
    return {
      httpVersion,
      method: valueOf(fields, ":method") ?? "",
      url: `${origin.secure ? "https" : "http"}://${authority}${valueOf(fields, ":path") ?? "/"}`,
      header: headersOf(fields),
      body: this.#body,
      signal: this.#abort.signal,
      contextValues: createContextValues().set(peerKey, origin.peer).set(identityKey, identity),
    };
  }

  /** The head goes with the first piece of the body: until then a handler may set headers. */
  async #respond(response: UniversalServerResponse): Promise<void> {
    const pieces = response.body?.[Symbol.asyncIterator]();
    try {
      let piece = await pieces?.next();
      const head = [new Field(":status", String(response.status)), ...fieldsOf(response.header ?? new Headers())];
      this.#checkOpen();
      const trailer = response.trailer ?? new Headers();
      const bodyless = piece === undefined || piece.done === true;
      this.#status = response.status;
      if (bodyless && isEmpty(trailer)) return this.#stream.sendHeaders(head, true);
      if (this.#request.onEnd !== undefined) this.#inBody = bodyStatus(head, decompress);
      this.#stream.sendHeaders(head, false);
      for (; piece !== undefined && piece.done !== true; piece = await pieces!.next()) await this.#send(piece.value);
      this.#sendTrailers(trailer);
    } catch (error) {
      pieces?.throw?.(error).catch(() => {}); // it may be the one that threw
      throw error;
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    this.#checkOpen();
    this.#responseBytes += bytes.length;
    this.#inBody?.push(bytes, 0, bytes.length);
    if (this.#stream.sendData(bytes, 0, bytes.length, false)) return;
    this.#held += bytes.length;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
    this.#checkOpen();
  }

  #checkOpen(): void {
    if (this.#stream.closed || this.#refused) throw this.#abort.signal.reason;
  }

  #statusInBody(): string | undefined {
    return this.#inBody && valueOf(this.#inBody.end(), "grpc-status");
  }

  #sendTrailers(trailer: Headers): void {
    if (isEmpty(trailer)) this.#stream.end();
    else this.#stream.sendHeaders(fieldsOf(trailer), true);
  }

  #drained(): void {
    this.#onDrained?.();
    this.#onDrained = undefined;
  }

  /** Connect's handlers turn every error of an implementation into an answer: what comes here is an abort, or a fault of theirs. */
  #failed(error: unknown): void {
    if (!this.#stream.closed && !this.#refused) {
      if (this.#status === undefined) this.#stream.sendHeaders([new Field(":status", "500")], true);
      else this.#stream.reset(ErrorCode.internalError);
    }
    const told = this.#inBody?.told; // who has the status may leave before the end
    if (told === undefined) this.#end(undefined, error);
    else this.#end(valueOf(told, "grpc-status"), undefined);
  }

  #end(grpcStatus: string | undefined, error: unknown): void {
    this.#over = true;
    this.#request.onEnd?.({
      status: this.#status,
      grpcStatus,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      error,
    });
  }

  /** No credit any more; a caller that sends on all the same is told to stop (RFC 9113 section 8.1). */
  #discard(bytes: number, end: boolean): void {
    this.#discarded += bytes;
    if (!end && this.#discarded > maxAfterEnd) this.#stream.reset(ErrorCode.noError);
  }
}

function isEmpty(headers: Headers): boolean {
  return headers.keys().next().done === true;
}

function grpcStatusOf({ header, trailer }: UniversalServerResponse): string | undefined {
  return trailer?.get("grpc-status") ?? header?.get("grpc-status") ?? undefined;
}
