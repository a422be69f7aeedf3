/** Relay: one call, from the caller's stream to an upstream's. Bytes pass as they come; nothing of a message is looked at. */
import { Code, ConnectError } from "@connectrpc/connect";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import { Bridge, passesVerbatim } from "./bridge.ts";
import type { InboundCall } from "./call.ts";
import type { Timed } from "./deadlines.ts";
import { checkRewrite, type ForwardOptions, forwardFields } from "./forward.ts";
import type { HttpStream, ResetCause, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { type Field, valueOf } from "./http2/field.ts";
import { recordOf } from "./record.ts";
import { maxAfterEnd, statusFields } from "./refuse.ts";
import type { RelayContext, RelayedTo } from "./relay-context.ts";
import { RequestBody } from "./request-body.ts";
import { limited } from "./upstream/limited-connection.ts";
import type { CallWaiter, CancelWait, Reached, StreamOpener } from "./upstream/waiter.ts";
import { LimitError } from "./wire/limit-error.ts";
import { decodeMessage } from "./wire/message.ts";
import { parseStatus } from "./wire/status.ts";

/** Tries of one call, where the upstream says that it did no work for it. */
const maxAttempts = 3;

export class Relay implements StreamListener, CallWaiter, AttemptOwner, Timed {
  /** The caller's stream, or the layer over it that makes it one of gRPC. */
  downstream: HttpStream;
  deadline = Number.POSITIVE_INFINITY;
  earlier: Timed | undefined;
  later: Timed | undefined;
  responseBytes = 0;
  readonly #call: InboundCall;
  readonly #context: RelayContext;
  readonly #body: RequestBody;
  /** Undefined where the call passes verbatim from gRPC to gRPC. */
  #bridge: Bridge | undefined;
  #destination: RelayedTo | undefined;
  #attempt: Attempt | undefined;
  #attempts = 0;
  /** The last attempt was turned away. */
  #refused = false;
  #cancelWait: CancelWait | undefined;
  #over = false;
  /** Bytes that came after that. */
  #discarded = 0;
  #why: unknown;

  constructor(call: InboundCall, downstream: HttpStream, context: RelayContext) {
    this.#call = call;
    this.downstream = downstream;
    this.#context = context;
    this.#body = new RequestBody(downstream.remoteEnded);
    if (call.protocol !== "grpc") this.#bridge = new Bridge(call, downstream, this);
    if (call.timeoutMs !== undefined) context.deadlines.add(this, call.startedAt + call.timeoutMs);
  }

  /**
   * Sends the call on its way.
   *
   * @throws TypeError if the destination's rewrite can't be sent
   */
  start(destination: RelayedTo): void {
    if (this.#over) return;
    checkRewrite(destination.rewrite);
    this.#destination = destination;
    const { timeoutMs, upstream } = destination;
    if (timeoutMs !== undefined && this.#call.startedAt + timeoutMs < this.deadline) {
      this.#context.deadlines.remove(this);
      this.#context.deadlines.add(this, this.#call.startedAt + timeoutMs);
    }
    if (this.#bridge === undefined && passesVerbatim(this.#call, upstream)) return this.acquire();
    this.#bridge ??= new Bridge(this.#call, this.downstream, this);
    this.#bridge.start(upstream, this.#context, this.#body);
  }

  /** No server has begun to work for the call. */
  get unprocessed(): boolean {
    return this.#attempt === undefined || this.#refused;
  }

  /** Why it has ended, where no upstream has said so: for the log. */
  get why(): unknown {
    return this.#why;
  }

  /**
   * Everything that an attempt needs is there: asks for a connection.
   *
   * @param avoid the endpoint that has just turned the call away
   */
  acquire(avoid?: Reached): void {
    if (this.#over) return;
    const { upstream, endpoint } = this.#destination!;
    this.#cancelWait =
      endpoint === undefined
        ? upstream.acquire(this.#call, this, avoid)
        : endpoint.upstream.acquireAt(endpoint, this.#call, this);
  }

  /** Answers the call without an upstream. Safe at any time: nothing happens if the call is over. */
  refuse(error: ConnectError): void {
    if (this.#over) return;
    this.#why = error.cause;
    this.#stopUpstream();
    const answered = this.#attempt?.answered === true;
    const fields = statusFields(error, answered ? undefined : (this.#bridge?.contentType ?? this.#call.contentType));
    if (this.#bridge === undefined) this.downstream.sendHeaders(fields, true);
    else this.#bridge.refuse(fields, answered);
    this.#finish(error.code, error.rawMessage, error.cause);
  }

  // --- the caller's side

  onHeaders(): void {} // of a response: not on this side

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return this.#discard(stop - start, end);
    const stream = this.#attempt?.stream;
    this.#body.add(bytes, start, stop, end);
    if (stream === undefined) this.#bridge?.onHeld();
    else if (stream.sendData(bytes, start, stop, end)) this.requestSent(stop - start);
  }

  onTrailers(fields: Field[]): void {
    this.#body.ended = true;
    this.#body.trailers = fields;
    if (this.#attempt === undefined) this.#bridge?.onHeld();
    else this.#attempt.stream.sendHeaders(fields, true);
  }

  onSent(bytes: number): void {
    this.#attempt?.stream.consume(bytes);
  }

  /** The caller has gone, or lost patience. */
  onReset(_code: ErrorCode, cause: ResetCause): void {
    if (this.#over) return;
    const told = this.#attempt?.told;
    this.#stopUpstream();
    if (told !== undefined) return this.complete(told);
    const why = cause === "peer" ? "canceled by the caller" : `caller's stream ended: ${cause}`;
    this.#finish(Code.Canceled, why, cause === "idle" ? new LimitError("stream_idle_timeout", why) : undefined);
  }

  onRefused(error: Error): void {
    this.refuse(ConnectError.from(error));
  }

  // --- the upstream's side

  onConnection(connection: StreamOpener, endpoint: Reached): void {
    this.#cancelWait = undefined;
    const body = this.#body;
    const bridge = this.#bridge;
    const options: ForwardOptions = {
      fields: bridge?.fields ?? this.#call.fields,
      verbatim: bridge?.verbatim ?? true,
      rewrite: this.#destination!.rewrite,
      secure: endpoint.secure,
      deadline: this.deadline === Number.POSITIVE_INFINITY ? undefined : this.deadline,
    };
    const fields = this.#destination!.fieldsOf?.(options) ?? forwardFields(this.#call, options);
    this.#attempts++;
    const reached = this.#destination!.endpoint?.alone ?? endpoint;
    const { messages } = this.#call;
    const opener = messages === undefined ? connection : limited(connection, messages);
    const attempt = bridge?.verbatim === true ? bridge.opaqueAttempt(this, reached) : new Attempt(this, reached);
    this.#attempt = attempt;
    if (bridge === undefined) attempt.stream = opener.request(fields, body.empty, attempt);
    else attempt.stream = bridge.open(opener, { fields, body, attempt });
    if (!body.empty) this.#credit(body.sendTo(attempt.stream));
  }

  onUnavailable(error: ConnectError): void {
    this.#cancelWait = undefined;
    this.refuse(error);
  }

  commit(): void {
    this.#body.forget();
  }

  get recorded(): boolean {
    return this.#context.onCall !== undefined;
  }

  requestSent(bytes: number): void {
    this.#credit(this.#body.sent(bytes));
  }

  retry(attempt: Attempt, code: Code): void {
    if (this.#over) return;
    if (!this.#body.replayable || this.#attempts >= maxAttempts) {
      this.#refused = true;
      return this.fail(code, "upstream refused the stream", `refused by ${attempt.endpoint.address}`);
    }
    this.#attempt = undefined;
    this.#body.rewind();
    this.acquire(attempt.endpoint);
  }

  /** Gives up the attempt, of which the upstream has done no work: the request is held anew. False: it can't be sent again. */
  again(): boolean {
    if (this.#over || !this.#body.replayable) return false;
    this.#attempt?.cancel();
    this.#attempt = undefined;
    this.#body.rewind();
    return true;
  }

  complete(fields: readonly Field[]): void {
    if (this.#over) return;
    if (this.#context.onCall === undefined) return this.#finish(0, undefined);
    const message = valueOf(fields, "grpc-message");
    const status = parseStatus(valueOf(fields, "grpc-status")!);
    this.#finish(status, message === undefined ? undefined : decodeMessage(message), this.#attempt?.endpoint.why);
  }

  /** An upstream that cancels when the time is over has seen the same deadline, by its own clock. */
  fail(code: Code, message: string, detail?: string | LimitError): void {
    if (code === Code.Canceled && this.deadline <= performance.now()) {
      this.#context.deadlines.remove(this);
      return this.onDeadline();
    }
    this.refuse(new ConnectError(message, code, undefined, undefined, detail));
  }

  /** What waits for the caller's window is dropped: it would hold back the status for which the caller waits. */
  onDeadline(): void {
    this.#attempt?.expire();
    if (this.#bridge?.verbatim !== true) this.downstream.dropQueue(); // there the status has to come behind it
    this.fail(Code.DeadlineExceeded, "deadline exceeded");
  }

  #credit(bytes: number): void {
    if (bytes > 0) this.downstream.consume(bytes);
  }

  /**
   * A caller that still sends isn't left to wait for credit, for some don't look at the answer before they have sent all; one
   * that sends on and on is told to stop (RFC 9113 section 8.1).
   */
  #discard(bytes: number, end: boolean): void {
    this.#discarded += bytes;
    if (!end && this.#discarded > maxAfterEnd) this.downstream.reset(ErrorCode.noError);
    else this.#credit(bytes);
  }

  #stopUpstream(): void {
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    this.#attempt?.cancel();
  }

  /** @param cause for the log: an Error, or a text */
  #finish(status: number, message: string | undefined, cause?: unknown): void {
    this.#over = true;
    this.#body.forget();
    this.#bridge?.stop();
    this.#context.deadlines.remove(this);
    if (!this.#body.ended) this.#credit(this.#body.creditRest());
    // An answer before the request's end: an empty DATA ends our side, for servers count resets (fault A3).
    this.#attempt?.stream.dropQueue();
    this.#attempt?.stream.end();
    this.#context.onCall?.(
      recordOf({
        call: this.#call,
        destination: this.#destination,
        attempt: this.#attempt,
        bridge: this.#bridge,
        status,
        message,
        cause,
        requestBytes: this.#body.bytes,
        responseBytes: this.responseBytes,
      }),
    );
  }
}
