/** Relay: one call, HTTP/2 stream to HTTP/2 stream. Bytes pass as they come; nothing of a message is looked at. */
import { Code, ConnectError } from "@connectrpc/connect";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { InboundCall } from "./call.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import { checkRewrite, forwardFields } from "./forward.ts";
import type { ResetCause, StreamListener } from "./http2/api.ts";
import { type BodyRange, keepRange } from "./http2/body.ts";
import type { Http2Connection } from "./http2/connection.ts";
import { ErrorCode } from "./http2/errors.ts";
import { type Field, valueOf } from "./http2/field.ts";
import type { Http2Stream } from "./http2/stream.ts";
import { statusFields } from "./refuse.ts";
import type { CallRecord } from "./observe/call-record.ts";
import type { OneToOne } from "./route/director.ts";
import type { Endpoint } from "./upstream/endpoint.ts";
import type { CancelWait, Waiter } from "./upstream/waiter.ts";
import { decodeMessage } from "./wire/message.ts";
import { parseStatus } from "./wire/status.ts";

/** What all calls of a proxy share. */
export interface RelayContext {
  readonly deadlines: Deadlines;
  readonly onCall: ((record: CallRecord) => void) | undefined;
}

/** Bytes of a request that are kept for another try, until the upstream answers. As much as a caller sends unasked. */
const maxReplay = 64 << 10;

/** Tries of one call, where the upstream says that it did no work for it. */
const maxAttempts = 3;

/** Bytes that a caller may go on to send after its call is over, before it is told to stop. */
const maxAfterEnd = 32 << 10;

export class Relay implements StreamListener, Waiter, AttemptOwner, Timed {
  readonly downstream: Http2Stream;
  deadline = Number.POSITIVE_INFINITY;
  earlier: Timed | undefined;
  later: Timed | undefined;
  responseBytes = 0;
  readonly #call: InboundCall;
  readonly #context: RelayContext;
  #destination: OneToOne | undefined;
  #attempt: Attempt | undefined;
  #attempts = 0;
  #cancelWait: CancelWait | undefined;
  /** What has come of the request, until it can't be needed again: for a connection that isn't there yet, or another try. */
  #replay: BodyRange[] | undefined = [];
  #replayBytes = 0;
  #trailers: Field[] | undefined;
  #requestEnded: boolean;
  #requestBytes = 0;
  /** Bytes that this attempt has sent, and the most that any has: credit for a byte is given once. */
  #sent = 0;
  #credited = 0;
  #over = false;
  /** Bytes that came after that. */
  #discarded = 0;

  constructor(call: InboundCall, downstream: Http2Stream, context: RelayContext) {
    this.#call = call;
    this.downstream = downstream;
    this.#context = context;
    this.#requestEnded = downstream.remoteEnded;
    if (call.timeoutMs !== undefined) context.deadlines.add(this, call.startedAt + call.timeoutMs);
  }

  /**
   * Sends the call on its way.
   *
   * @throws TypeError if the destination's rewrite can't be sent
   */
  start(destination: OneToOne): void {
    if (this.#over) return;
    checkRewrite(destination.rewrite);
    this.#destination = destination;
    const { timeoutMs } = destination;
    if (timeoutMs !== undefined && this.#call.startedAt + timeoutMs < this.deadline) {
      this.#disarm();
      this.#context.deadlines.add(this, this.#call.startedAt + timeoutMs);
    }
    this.#acquire(undefined);
  }

  /** Answers the call without an upstream. Safe at any time: nothing happens if the call is over. */
  refuse(error: ConnectError): void {
    if (this.#over) return;
    this.#stopUpstream();
    if (this.#attempt?.answered === true) this.downstream.sendHeaders(statusFields(error), true);
    else this.downstream.sendHeaders(statusFields(error, this.#call.contentType), true);
    this.#finish(error.code, error.rawMessage, detailOf(error.cause));
  }

  // --- the caller's side

  onHeaders(): void {} // of a response: not on this side

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const length = stop - start;
    this.#requestBytes += length;
    if (end) this.#requestEnded = true;
    if (this.#over) return this.#discard(length, end);
    if (this.#replay !== undefined && length > 0) this.#keep(bytes, start, stop);
    if (this.#attempt?.stream.sendData(bytes, start, stop, end) === true) this.requestSent(length);
  }

  onTrailers(fields: Field[]): void {
    this.#requestEnded = true;
    this.#trailers = fields;
    this.#attempt?.stream.sendHeaders(fields, true);
  }

  onSent(bytes: number): void {
    this.#attempt?.stream.consume(bytes);
  }

  /** The caller has gone, or lost patience. */
  onReset(_code: ErrorCode, cause: ResetCause): void {
    if (this.#over) return;
    this.#stopUpstream();
    this.#finish(Code.Canceled, cause === "peer" ? "canceled by the caller" : `caller's stream ended: ${cause}`);
  }

  // --- the upstream's side

  onConnection(connection: Http2Connection, endpoint: Endpoint): void {
    this.#cancelWait = undefined;
    const { rewrite } = this.#destination!;
    const deadline = this.deadline === Number.POSITIVE_INFINITY ? undefined : this.deadline;
    const fields = forwardFields(this.#call, { rewrite, secure: endpoint.secure, deadline });
    const end = this.#requestEnded && this.#requestBytes === 0 && this.#trailers === undefined;
    this.#sent = 0;
    this.#attempts++;
    this.#attempt = new Attempt(this, endpoint, { connection, fields, end });
    if (this.#requestBytes > 0 || this.#trailers !== undefined) this.#sendKept(this.#attempt.stream);
  }

  onUnavailable(error: ConnectError): void {
    this.#cancelWait = undefined;
    this.refuse(error);
  }

  commit(): void {
    this.#replay = undefined;
  }

  requestSent(bytes: number): void {
    this.#sent += bytes;
    if (this.#sent <= this.#credited) return;
    this.downstream.consume(this.#sent - this.#credited);
    this.#credited = this.#sent;
  }

  retry(attempt: Attempt, code: Code): void {
    if (this.#over) return;
    if (this.#replay === undefined || this.#attempts >= maxAttempts) {
      return this.fail(code, "upstream refused the stream", `refused by ${attempt.endpoint.address}`);
    }
    this.#attempt = undefined;
    this.#acquire(attempt.endpoint);
  }

  complete(fields: readonly Field[]): void {
    if (this.#over) return;
    if (this.#context.onCall === undefined) return this.#finish(0, undefined);
    const message = valueOf(fields, "grpc-message");
    this.#finish(
      parseStatus(valueOf(fields, "grpc-status")!),
      message === undefined ? undefined : decodeMessage(message),
    );
  }

  fail(code: Code, message: string, detail?: string): void {
    this.refuse(new ConnectError(message, code, undefined, undefined, detail));
  }

  /** What waits for the caller's window is dropped: it would hold back the status for which the caller waits. */
  onDeadline(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.downstream.dropQueue();
    this.fail(Code.DeadlineExceeded, "deadline exceeded");
  }

  #acquire(avoid: Endpoint | undefined): void {
    this.#cancelWait = this.#destination!.upstream.acquire(this.#call, this, avoid);
  }

  #keep(bytes: Uint8Array, start: number, stop: number): void {
    const kept = this.#replay!;
    // the one message of a unary call isn't copied: it is needed for a moment only
    if (this.#replayBytes === 0) kept.push({ bytes, start, stop, owned: false });
    else keepRange(kept, bytes, start, stop);
    this.#replayBytes += stop - start;
    if (this.#replayBytes > maxReplay && this.#attempt !== undefined) this.#replay = undefined;
  }

  #sendKept(stream: Http2Stream): void {
    const kept = this.#replay ?? [];
    const endsWithData = this.#requestEnded && this.#trailers === undefined;
    for (let i = 0; i < kept.length; i++) {
      const { bytes, start, stop } = kept[i]!;
      if (stream.sendData(bytes, start, stop, endsWithData && i === kept.length - 1)) this.requestSent(stop - start);
    }
    if (this.#replayBytes > maxReplay) this.#replay = undefined;
    if (this.#trailers !== undefined) stream.sendHeaders(this.#trailers, true);
  }

  /** A caller whose call is over gets no credit; one that sends on all the same is told to stop (RFC 9113 section 8.1). */
  #discard(bytes: number, end: boolean): void {
    this.#discarded += bytes;
    if (!end && this.#discarded > maxAfterEnd) this.downstream.reset(ErrorCode.noError);
  }

  #stopUpstream(): void {
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    this.#attempt?.cancel();
  }

  #disarm(): void {
    if (this.deadline === Number.POSITIVE_INFINITY) return;
    this.#context.deadlines.remove(this);
    this.deadline = Number.POSITIVE_INFINITY;
  }

  #finish(status: number, message: string | undefined, detail?: string): void {
    this.#over = true;
    this.#replay = undefined;
    this.#disarm();
    // An answer before the request's end: an empty DATA ends our side, for servers count resets (fault A3).
    this.#attempt?.stream.dropQueue();
    this.#attempt?.stream.end();
    this.#context.onCall?.({
      call: this.#call,
      status,
      ...(message === undefined ? {} : { message }),
      ...(this.#attempt === undefined ? {} : { endpoint: this.#attempt.endpoint.name }),
      ...(detail === undefined ? {} : { detail }),
      requestBytes: this.#requestBytes,
      responseBytes: this.responseBytes,
      durationMs: performance.now() - this.#call.startedAt,
    });
  }
}

/** For the log: the caller never gets it. */
function detailOf(cause: unknown): string | undefined {
  if (cause === undefined) return undefined;
  return cause instanceof Error ? cause.message : String(cause);
}
