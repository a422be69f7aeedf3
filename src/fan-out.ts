/** Fan-out: one call to many endpoints, their replies gathered into one or interleaved. N legs begin, N answers come out. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { InboundCall } from "./call.ts";
import type { Timed } from "./deadlines.ts";
import { type CompleteGatherPolicy, defaultGather, Tally } from "./gather.ts";
import type { HttpStream, ResetCause, StreamListener } from "./http2/api.ts";
import type { ErrorCode } from "./http2/errors.ts";
import { Field } from "./http2/field.ts";
import { Leg, type LegOwner } from "./leg.ts";
import type { Layout } from "./layout/layout.ts";
import { statusFields } from "./refuse.ts";
import { Relay, type RelayContext } from "./relay.ts";
import type { OneToMany, Rewrite } from "./route/director.ts";
import { envelopePrefix, prefixLength } from "./wire/envelope.ts";
import { isMetadata } from "./wire/metadata.ts";
import type { RpcStatus } from "./wire/rpc-status.ts";

/** What a fan-out is made of. */
export interface FanOutParts {
  /** The caller's request as one of gRPC. */
  readonly call: InboundCall;
  /** The caller's stream as one of gRPC. */
  readonly downstream: HttpStream;
  readonly destination: OneToMany;
  readonly context: RelayContext;
}

/** Bytes by which a leg may fall behind the quickest before it is dropped, if the policy says so. */
const maxBehind = 256 << 10;

/** Headers of the request that are about the fan-out itself, or about compression, which would keep replies from being joined. */
const ownHeaders = ["grpc-accept-encoding"];

const notNeeded: RpcStatus = { code: Code.Canceled, message: "not waited for: enough others have answered", details: [] };

/** A part of the reply: a leg's, in the order in which they ended. */
interface Part {
  readonly index: number;
  readonly bytes: Uint8Array;
}

export class FanOut implements StreamListener, LegOwner, Timed {
  deadline = Number.POSITIVE_INFINITY;
  earlier: Timed | undefined;
  later: Timed | undefined;
  readonly #parts: FanOutParts;
  readonly #policy: CompleteGatherPolicy;
  readonly #layout: Layout;
  readonly #stream: boolean;
  readonly #tally: Tally;
  readonly #legs: Leg[] = [];
  readonly #replies: (Uint8Array | undefined)[];
  readonly #entries: Part[] = [];
  /** The request so far, as long as there are legs that haven't begun. */
  #body: { bytes: Uint8Array; start: number; stop: number }[] = [];
  #trailers: Field[] | undefined;
  #bodyBytes = 0;
  #ended: boolean;
  #credited = 0;
  #responseBytes = 0;
  /** Bytes of replies that are held. */
  #total = 0;
  #headed = false;
  #over = false;
  /** Messages that are held back by the caller's window, oldest first. */
  readonly #held: { leg: Leg; left: number }[] = [];

  constructor(parts: FanOutParts) {
    const { call, destination, context, downstream } = parts;
    this.#parts = parts;
    this.#policy = { ...defaultGather, ...destination.gather };
    this.#layout = destination.layout;
    this.#stream = destination.kind !== "unary";
    this.#tally = new Tally(destination.endpoints.length, this.#stream ? "all" : this.#policy.wait);
    this.#replies = new Array(destination.endpoints.length).fill(undefined);
    this.#ended = downstream.remoteEnded;
    if (call.timeoutMs !== undefined) context.deadlines.add(this, call.startedAt + call.timeoutMs);
  }

  /** Sends the call on its ways. */
  start(): void {
    const { endpoints } = this.#parts.destination;
    if (endpoints.length === 0) return this.refuse(new ConnectError("no endpoint to fan out to", Code.Unavailable));
    while (!this.#over && this.#legs.length < Math.min(endpoints.length, this.#policy.maxConcurrent)) this.#begin();
  }

  /** Ends the call with a status of ours. Safe at any time. */
  refuse(error: ConnectError): void {
    if (this.#over) return;
    const { call, downstream } = this.#parts;
    this.#stop();
    downstream.sendHeaders(statusFields(error, this.#headed ? undefined : call.contentType), true);
    this.#record(error.code, error.rawMessage);
  }

  // --- the caller's side

  onHeaders(): void {} // of a response: not on this side

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    if (this.#over) return;
    this.#bodyBytes += stop - start;
    this.#ended = end;
    if (this.#unbegun) {
      if (this.#bodyBytes > this.#policy.maxMessageBytes) return this.refuse(tooLarge(this.#bodyBytes));
      this.#body.push({ bytes, start, stop });
    }
    for (const leg of this.#legs) leg.feed(bytes, start, stop, end);
  }

  onTrailers(fields: Field[]): void {
    this.#ended = true;
    this.#trailers = fields;
    for (const leg of this.#legs) if (!leg.closed) leg.listener.onTrailers(fields);
  }

  onSent(bytes: number): void {
    let sent = bytes;
    for (let first = this.#held[0]; first !== undefined && sent > 0; first = this.#held[0]) {
      const part = Math.min(sent, first.left);
      first.left -= part;
      sent -= part;
      if (first.left > 0) return;
      this.#held.shift();
      first.leg.onLeft();
    }
  }

  onReset(_code: ErrorCode, cause: ResetCause): void {
    if (this.#over) return;
    this.#stop();
    this.#record(Code.Canceled, cause === "peer" ? "canceled by the caller" : `caller's stream ended: ${cause}`);
  }

  onRefused(error: Error): void {
    this.refuse(ConnectError.from(error));
  }

  onDeadline(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#parts.downstream.dropQueue();
    this.refuse(new ConnectError("deadline exceeded", Code.DeadlineExceeded));
  }

  // --- the legs' side

  get room(): number {
    return Math.min(this.#policy.maxMessageBytes, this.#policy.maxTotalBytes - this.#total);
  }

  /** The caller gets credit for what the slowest leg has taken, and with `drop_leg` for a bounded lead over it. */
  onConsumed(): void {
    let slowest = Number.POSITIVE_INFINITY;
    let quickest = 0;
    for (const { closed, consumed } of this.#legs) {
      if (consumed > quickest) quickest = consumed;
      if (!closed && consumed < slowest) slowest = consumed;
    }
    if (this.#policy.onSlow === "drop_leg" && quickest - slowest > maxBehind) return this.#dropBehind(quickest);
    const credit = this.#policy.onSlow === "drop_leg" ? quickest : Math.min(slowest, quickest);
    if (credit <= this.#credited || this.#over) return;
    this.#parts.downstream.consume(credit - this.#credited);
    this.#credited = credit;
  }

  onMessage(leg: Leg, payload: Uint8Array): boolean {
    if (this.#over) return true;
    if (this.#stream) return this.#pass(leg, payload);
    if (this.#replies[leg.index] !== undefined) {
      leg.drop(new ConnectError("more than one reply to a unary call", Code.Unimplemented));
    } else {
      this.#replies[leg.index] = payload;
      this.#total += payload.length;
    }
    return true;
  }

  onEnd(leg: Leg, status: RpcStatus): void {
    if (this.#over) return;
    const entry = this.#stream ? this.#endOfStream(leg, status) : this.#endOfUnary(leg, status);
    if (this.#over) return;
    if (entry !== undefined && !this.#stream) this.#entries.push({ index: leg.index, bytes: entry });
    if (this.#tally.complete) return this.#finish();
    if (this.#unbegun) this.#begin();
    this.onConsumed();
  }

  #endOfUnary(leg: Leg, status: RpcStatus): Uint8Array | undefined {
    const reply = this.#replies[leg.index];
    if (status.code !== 0) return this.#failed(leg, status);
    if (reply === undefined) return this.#failed(leg, { ...noReply });
    try {
      const entry = this.#layout.annotate({ backend: leg.endpoint.name, elapsedMs: leg.elapsedMs }, reply, false);
      this.#tally.succeeded++;
      return entry;
    } catch (error) {
      return this.#failed(leg, statusOf(error));
    }
  }

  #endOfStream(leg: Leg, status: RpcStatus): undefined {
    if (status.code === 0) {
      this.#tally.succeeded++;
      return;
    }
    const entry = this.#failed(leg, status);
    if (entry !== undefined) this.#send(leg, entry);
  }

  /** The entry of a leg that failed; undefined where the call has failed with it. */
  #failed(leg: Leg, status: RpcStatus): Uint8Array | undefined {
    this.#tally.failed++;
    const entry =
      this.#policy.fail === "call"
        ? undefined
        : this.#layout.fail({ backend: leg.endpoint.name, elapsedMs: leg.elapsedMs }, status, this.#stream);
    if (entry === undefined) this.refuse(new ConnectError(`${leg.endpoint.name}: ${status.message}`, status.code));
    return entry;
  }

  #begin(): void {
    const { call, destination, context, downstream } = this.#parts;
    const index = this.#legs.length;
    const endpoint = destination.endpoints[index]!;
    const leg = new Leg(this, endpoint, index);
    this.#legs.push(leg);
    leg.remoteEnded = this.#ended && this.#bodyBytes === 0 && downstream.remoteEnded;
    const relay = new Relay(call, leg, { ...context, onCall: undefined });
    leg.listener = relay;
    let rewrite: Rewrite;
    try {
      rewrite = legRewrite(destination, call, index);
    } catch (error) {
      return relay.refuse(ConnectError.from(error));
    }
    const { legTimeoutMs } = this.#policy;
    relay.start({
      mode: "one-to-one",
      upstream: endpoint.upstream,
      endpoint,
      rewrite,
      ...(legTimeoutMs === undefined ? {} : { timeoutMs: performance.now() - call.startedAt + legTimeoutMs }),
    });
    const body = this.#body;
    for (let i = 0; i < body.length && !leg.closed; i++) {
      const { bytes, start, stop } = body[i]!;
      leg.feed(bytes, start, stop, this.#ended && this.#trailers === undefined && i === body.length - 1);
    }
    if (this.#trailers !== undefined && !leg.closed) leg.listener.onTrailers(this.#trailers);
    if (!this.#unbegun) this.#body = [];
  }

  get #unbegun(): boolean {
    return this.#legs.length < this.#parts.destination.endpoints.length;
  }

  #dropBehind(quickest: number): void {
    const error = new ConnectError(`more than ${maxBehind} bytes behind the others`, Code.ResourceExhausted);
    for (const leg of this.#legs) if (!leg.closed && quickest - leg.consumed > maxBehind) leg.drop(error);
  }

  #pass(leg: Leg, payload: Uint8Array): boolean {
    try {
      return this.#send(leg, this.#layout.annotate({ backend: leg.endpoint.name, elapsedMs: leg.elapsedMs }, payload, true));
    } catch (error) {
      leg.drop(ConnectError.from(error));
      return true;
    }
  }

  /** Sends one message of an interleaved reply. */
  #send(leg: Leg, message: Uint8Array): boolean {
    if (!this.#headed) this.#sendHead();
    const { downstream } = this.#parts;
    const prefix = envelopePrefix(0, message.length);
    this.#responseBytes += prefixLength + message.length;
    const prefixLeft = downstream.sendData(prefix, 0, prefixLength, false);
    const left = message.length === 0 || downstream.sendData(message, 0, message.length, false);
    if (prefixLeft && left) return true;
    this.#held.push({ leg, left: (prefixLeft ? 0 : prefixLength) + (left ? 0 : message.length) });
    return false;
  }

  #sendHead(): void {
    const { call, downstream } = this.#parts;
    this.#headed = true;
    const metadata = this.#policy.metadata === "merged" ? this.#legs.flatMap(({ head }) => head.filter(isMetadata)) : [];
    downstream.sendHeaders([ok, new Field("content-type", call.contentType), ...metadata], false);
  }

  /** No more is needed: legs that are left are cancelled, and say so in the reply. */
  #finish(): void {
    const { downstream } = this.#parts;
    if (this.#tally.hopeless) return this.refuse(new ConnectError(this.#tally.verdict, Code.Unavailable));
    if (!this.#stream) {
      this.#addUnfinished();
      if (this.#over) return;
    }
    this.#stop();
    if (!this.#headed) this.#sendHead();
    if (!this.#stream) this.#sendJoined();
    const metadata =
      this.#policy.metadata === "merged" ? this.#legs.flatMap(({ trailers }) => trailers.filter(isMetadata)) : [];
    downstream.sendHeaders([statusOk, ...metadata], true);
    this.#record(0, undefined);
  }

  #addUnfinished(): void {
    const { endpoints } = this.#parts.destination;
    const ended = new Set(this.#entries.map(({ index }) => index));
    endpoints.forEach(({ name }, index) => {
      if (ended.has(index) || this.#over) return;
      const entry = this.#layout.fail({ backend: name, elapsedMs: this.#legs[index]?.elapsedMs ?? 0 }, notNeeded, false);
      if (entry !== undefined) this.#entries.push({ index, bytes: entry });
    });
  }

  /** The parts, one behind the other, are one message: protobuf's concatenation is merging. */
  #sendJoined(): void {
    const { downstream } = this.#parts;
    if (this.#policy.order === "endpoint") this.#entries.sort((a, b) => a.index - b.index);
    const length = this.#entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#responseBytes = prefixLength + length;
    downstream.sendData(envelopePrefix(0, length), 0, prefixLength, false);
    for (const { bytes } of this.#entries) downstream.sendData(bytes, 0, bytes.length, false);
  }

  #stop(): void {
    this.#over = true;
    if (this.deadline !== Number.POSITIVE_INFINITY) this.#parts.context.deadlines.remove(this);
    this.deadline = Number.POSITIVE_INFINITY;
    for (const leg of this.#legs) leg.cancel();
    this.#body = [];
  }

  #record(status: number, message: string | undefined): void {
    const { call, context, destination } = this.#parts;
    context.onCall?.({
      call,
      status,
      ...(message === undefined ? {} : { message }),
      endpoint: `${destination.endpoints.length} endpoints`,
      ...(this.#tally.failed === 0 ? {} : { detail: `${this.#tally.failed} of them failed` }),
      requestBytes: this.#bodyBytes,
      responseBytes: this.#responseBytes,
      durationMs: performance.now() - call.startedAt,
    });
  }
}

const ok = new Field(":status", "200");
const statusOk = new Field("grpc-status", "0");
const noReply: RpcStatus = { code: Code.Unimplemented, message: "no reply to a unary call", details: [] };

/** What is changed in the request for one leg: nothing of the fan-out itself goes on, and the leg's own metadata does. */
function legRewrite({ rewrite, endpoints, outgoing }: OneToMany, call: InboundCall, index: number): Rewrite {
  const added = outgoing?.(endpoints[index]!, call) ?? [];
  return {
    ...rewrite,
    removeHeaders: [...ownHeaders, ...(rewrite?.removeHeaders ?? [])],
    addHeaders: [...(rewrite?.addHeaders ?? []), ...added],
  };
}

function tooLarge(bytes: number): ConnectError {
  return new ConnectError(`request of ${bytes} bytes can't be held for legs that haven't begun`, Code.ResourceExhausted);
}

function statusOf(error: unknown): RpcStatus {
  const { code, rawMessage } = ConnectError.from(error);
  return { code, message: rawMessage, details: [] };
}
