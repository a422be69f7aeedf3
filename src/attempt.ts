/** Attempt: one try of a call at one endpoint, and the response that comes of it. */
import { Code } from "@connectrpc/connect";
import type { HttpStream, ResetCause, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { type Field, FieldKind, valueOf } from "./http2/field.ts";
import { turn } from "./http2/turn.ts";
import type { Outcome } from "./upstream/outlier.ts";
import type { Reached } from "./upstream/waiter.ts";
import { LimitError } from "./wire/limit-error.ts";
import { parseStatus, statusOfHttp, statusOfReset } from "./wire/status.ts";

/** The call that a try is for. */
export interface AttemptOwner {
  /** The caller's stream. */
  readonly downstream: HttpStream;
  /** The upstream has begun to answer: the call can't be tried elsewhere any more. */
  commit(): void;
  /** Bytes of the request have left. */
  requestSent(bytes: number): void;
  responseBytes: number;
  /** Somebody wants to know how the call ends. */
  readonly recorded: boolean;
  /** The response is complete; `fields` are the trailers, or the headers of a Trailers-Only response. With a status if that is recorded. */
  complete(fields: readonly Field[]): void;
  /** The response can't be completed; the caller gets a status of ours. */
  fail(code: Code, message: string, detail?: string | LimitError): void;
  /** The endpoint did no work for the call. */
  retry(attempt: Attempt, code: Code): void;
}

/** Milliseconds that an endpoint must have had for its silence to speak against it: a caller's deadline may be too short for anyone. */
const fairTimeMs = 100;

export class Attempt implements StreamListener {
  readonly endpoint: Reached;
  /** The upstream's stream; set as soon as it is open, before anything comes of it. */
  stream!: HttpStream;
  /** A part of the response has gone to the caller. */
  answered = false;
  protected readonly owner: AttemptOwner;
  /** In whole milliseconds, whose difference is right also where they wrap around: a small integer, which costs no allocation. */
  readonly #startedAt = turn.now | 0;
  #over = false;

  constructor(owner: AttemptOwner, endpoint: Reached) {
    this.owner = owner;
    this.endpoint = endpoint;
    endpoint.begin();
  }

  /** The status that the caller has been told already, though the response isn't over. */
  get told(): readonly Field[] | undefined {
    return undefined;
  }

  /** Gives up; the upstream is told. */
  cancel(): void {
    this.report("neutral");
    this.stream.reset(ErrorCode.cancel);
  }

  /** The call's time is over. An endpoint that has begun to answer, as a long stream's has, did nothing wrong. */
  expire(): void {
    const had = ((performance.now() | 0) - this.#startedAt) | 0;
    this.report(!this.answered && had >= fairTimeMs ? "failure" : "neutral");
  }

  /** The endpoint is told how it went, once. */
  protected report(outcome: Outcome): void {
    if (this.#over) return;
    this.#over = true;
    this.endpoint.report(outcome);
  }

  onHeaders(fields: Field[], end: boolean): void {
    const owner = this.owner;
    const status = fields[0]!.value;
    if (status.charCodeAt(0) === 0x31) return owner.downstream.sendHeaders(fields, false); // 1xx: more comes
    owner.commit();
    let isGrpc = false;
    let hasStatus = false;
    let hasHop = false;
    for (let i = 1; i < fields.length; i++) {
      const { kind, name, value } = fields[i]!;
      if (name === "content-type") isGrpc = value.startsWith("application/grpc");
      else if (name === "grpc-status") hasStatus = true;
      else if (kind === FieldKind.nextHop) hasHop = true;
    }
    if (!hasStatus && (status !== "200" || !isGrpc)) return this.#notGrpc(status, valueOf(fields, "content-type"));
    if (end && !hasStatus) return this.#cutShort();
    this.answered = true;
    owner.downstream.sendHeaders(hasHop ? withoutHop(fields) : fields, end);
    if (end) this.#complete(fields);
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    const owner = this.owner;
    owner.responseBytes += stop - start;
    if (owner.downstream.sendData(bytes, start, stop, false)) this.stream.consume(stop - start);
    if (end) this.#cutShort();
  }

  onTrailers(fields: Field[]): void {
    if (valueOf(fields, "grpc-status") === undefined) return this.#cutShort();
    this.owner.downstream.sendHeaders(fields, true);
    this.#complete(fields);
  }

  onSent(bytes: number): void {
    this.owner.requestSent(bytes);
  }

  onReset(code: ErrorCode, cause: ResetCause): void {
    const detail = `stream to ${this.endpoint.address} ended: ${cause}, code ${code}`;
    this.report(this.#outcomeOfReset(code, cause));
    switch (cause) {
      case "unprocessed":
        return this.owner.retry(this, statusOfReset(code));
      case "connection":
        return this.owner.fail(Code.Unavailable, "upstream connection lost", detail);
      case "idle":
        return this.owner.fail(
          Code.Unavailable,
          `upstream stream was idle for too long${this.#awaited()}`,
          new LimitError("stream_idle_timeout", detail),
        );
      case "request_too_large":
      case "response_too_large": {
        const limit = cause === "request_too_large" ? "max_request_message" : "max_response_message";
        const why = new LimitError(limit, `message of more than ${limit}, to or from ${this.endpoint.address}`);
        return this.owner.fail(Code.ResourceExhausted, "message is larger than allowed", why);
      }
      case "malformed":
        return this.owner.fail(Code.Internal, "upstream sent a malformed response", detail);
      case "peer":
        return this.owner.fail(statusOfReset(code), `upstream reset the stream with code ${code}`, detail);
    }
  }

  /** Over HTTP/1.1 some servers read a request to its end before they answer: a caller that waits for a reply first never gets one. */
  #awaited(): string {
    return this.answered || this.stream.localEnded ? "" : ": it has not answered, and the request has not ended";
  }

  /** The true status is the trailers'. */
  #complete(fields: readonly Field[]): void {
    this.report(outcomeOfStatus(valueOf(fields, "grpc-status")!, this.owner.responseBytes > 0));
    this.owner.complete(fields);
  }

  #cutShort(): void {
    this.report("failure");
    this.owner.fail(Code.Internal, "upstream ended the stream without a status");
  }

  /** `unprocessed` is how servers drain and keep to their limits; CANCEL and ENHANCE_YOUR_CALM speak of the caller. */
  #outcomeOfReset(code: ErrorCode, cause: ResetCause): Outcome {
    if (cause === "unprocessed" || cause === "request_too_large" || cause === "response_too_large") return "neutral";
    if (cause === "idle") return this.answered ? "neutral" : "failure";
    if (cause === "peer") return statusOfReset(code) === Code.Internal ? "failure" : "neutral";
    return "failure";
  }

  /** gRPC over HTTP/2, "HTTP to gRPC status": what came is some other server's answer, of which the caller gets the gist. */
  #notGrpc(status: string, contentType: string | undefined): void {
    const what = contentType === undefined ? "" : ` and content-type "${contentType}"`;
    this.report(outcomeOfHttp(Number(status)));
    const message = `upstream answered with HTTP ${status}${what}`;
    // of streams in both directions, which Connect's servers have on HTTP/2 only
    if (status === "505")
      return this.owner.fail(Code.Unimplemented, `${message}: the method needs another HTTP version`);
    this.owner.fail(statusOfHttp(Number(status)), message);
  }
}

/** Without what is for the upstream's own connection. Nearly always the same list. */
export function withoutHop(fields: readonly Field[]): readonly Field[] {
  for (let i = 0; i < fields.length; i++) {
    if (fields[i]!.kind === FieldKind.nextHop) return fields.filter(({ kind }) => kind !== FieldKind.nextHop);
  }
  return fields;
}

/**
 * Unavailable speaks against the endpoint, and so does a deadline that it let pass without a message; all else is the
 * application's answer.
 */
export function outcomeOfStatus(value: string, hasMessages: boolean): Outcome {
  if (value === "0") return "success";
  const status = parseStatus(value);
  if (status === Code.Unavailable) return "failure";
  return status === Code.DeadlineExceeded && !hasMessages ? "failure" : "success";
}

/** What a server, or a proxy before it, says of itself; 500 and below may be an answer to the request. */
export function outcomeOfHttp(status: number): Outcome {
  return status === 502 || status === 503 || status === 504 ? "failure" : "success";
}
