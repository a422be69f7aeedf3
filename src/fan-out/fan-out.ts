/**
 * Fan-out: one call to many endpoints, their replies gathered into one or interleaved. To the relay of the call it is the upstream's
 * stream; to the relay of each leg it is behind the caller's. N legs begin, N answers come out.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { BranchedRequest } from "../branched-request.ts";
import type { HttpStream, StreamListener } from "../http2/api.ts";
import type { Field } from "../http2/field.ts";
import type { Relay } from "../relay.ts";
import type { RelayedTo } from "../relay-context.ts";
import type { CompleteGatherPolicy } from "../route/gather-policy.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { RpcStatus } from "../wire/rpc-status.ts";
import { Leg, type LegOwner } from "./leg.ts";
import type { Reply } from "./reply.ts";
import { Room } from "./room.ts";
import { Tally } from "./tally.ts";

/** What a fan-out is made of. */
export interface FanOutParts {
  /** In the order of the reply, at least one. */
  readonly endpoints: readonly Endpoint[];
  readonly policy: CompleteGatherPolicy;
  /** When the call must be over, in milliseconds of `performance.now()`. */
  readonly deadline: number;
  /** Who is told the reply: the relay's attempt. */
  readonly listener: StreamListener;
  /** The request has no body. */
  readonly end: boolean;
  /** Makes the relay of a leg, and what it is to do. What it throws is the leg's failure. */
  relayOf(leg: Leg): [relay: Relay, destination: RelayedTo];
  /** Makes what writes the reply. */
  replyOf(fanOut: FanOut): Reply;
}

/** Bytes by which a leg may fall behind the quickest before it is dropped, if the policy says so. */
const maxBehind = 256 << 10;

/** Milliseconds before the call's deadline in which a leg that is too late was too late for the call: clocks differ. */
const deadlineSlack = 10;

export class FanOut implements HttpStream, LegOwner {
  listener: StreamListener;
  /** The reply has ended. */
  remoteEnded = false;
  closed = false;
  readonly legs: Leg[] = [];
  readonly tally: Tally;
  readonly room: Room;
  readonly #parts: FanOutParts;
  readonly #reply: Reply;
  /** Kept as long as there are legs that haven't begun. */
  readonly #request: BranchedRequest;
  /** Bytes of it that all legs have taken. */
  #taken = 0;
  /** None had taken less, when they were last looked at. */
  #slowest: Leg | undefined;
  #beginning = false;

  constructor(parts: FanOutParts) {
    this.#parts = parts;
    this.listener = parts.listener;
    this.#request = new BranchedRequest(parts.end);
    this.tally = new Tally(parts.endpoints.length, parts.policy.wait);
    this.#reply = parts.replyOf(this);
    this.room = new Room(parts.policy, this.#reply.flows);
  }

  /** Sends the call on its ways. */
  start(): void {
    this.#beginMore();
  }

  /** All of the request has come. */
  get localEnded(): boolean {
    return this.#request.ended;
  }

  /** All legs, those that haven't begun too. */
  get endpoints(): readonly Endpoint[] {
    return this.#parts.endpoints;
  }

  // --- the call's side: what its relay does with an upstream's stream

  sendHeaders(fields: Field[], _end: boolean): void {
    this.#request.endWith(fields);
    for (const leg of this.legs) leg.endWith(fields);
  }

  /** Always held: `onSent` tells of what all legs have taken. */
  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed) return true;
    this.#request.add(bytes, start, stop, end);
    if (this.#unbegun && this.#request.bytes > this.#parts.policy.maxTotalBytes) {
      this.fail(requestTooLarge(this.#request.bytes));
      return true;
    }
    for (const leg of this.legs) leg.feed(bytes, start, stop, end);
    this.onConsumed();
    return false;
  }

  end(): void {
    if (!this.localEnded) this.sendData(nothing, 0, 0, true);
  }

  consume(bytes: number): void {
    this.#reply.sent(bytes);
    this.room.resume();
  }

  /** The call is over for the caller: for all legs, too. */
  reset(): void {
    if (!this.closed) this.#stop();
  }

  dropQueue(): void {}

  // --- the legs' side

  /** The caller gets credit for what the slowest leg has taken, or with `drop_leg` for a bounded lead over it. */
  onConsumed(): void {
    if (this.closed || this.#taken === this.#request.bytes) return;
    // of a hundred legs each tells of itself: looking at all of them each time would cost as much as all else
    const known = this.#slowest;
    const waits = this.#parts.policy.onSlow === "wait";
    if (waits && known !== undefined && !known.closed && known.consumed <= this.#taken) return;
    let slowest = Number.POSITIVE_INFINITY;
    let quickest = 0;
    for (const leg of this.legs) {
      const { consumed } = leg;
      if (leg.closed) continue;
      if (consumed > quickest) quickest = consumed;
      if (consumed >= slowest || (!waits && consumed < leg.lateBy)) continue;
      slowest = consumed;
      this.#slowest = leg;
    }
    if (!waits && quickest - slowest > maxBehind) return this.#dropBehind(quickest);
    const taken = Math.min(this.#request.bytes, waits ? slowest : quickest);
    const fresh = taken - this.#taken;
    if (fresh <= 0) return;
    this.#taken = taken;
    this.listener.onSent(fresh);
  }

  onMessage(leg: Leg, payload: Uint8Array): void {
    if (!this.closed) this.#reply.take(leg, payload);
  }

  onEnd(leg: Leg, status: RpcStatus): void {
    if (this.closed) return;
    if (status.code === Code.DeadlineExceeded && performance.now() >= this.#parts.deadline - deadlineSlack) {
      return this.fail({ code: status.code, message: "deadline exceeded", details: [] });
    }
    if (status.code === 0) this.#reply.succeed(leg);
    else this.fall(leg, status);
    if (this.closed) return;
    if (this.tally.complete) this.#finish();
    else if (!this.#beginning) this.#beginMore();
    this.room.resume();
    this.onConsumed();
  }

  /** A leg has failed: it is an entry of the reply, or the failure of the call. */
  fall(leg: Leg, status: RpcStatus): void {
    this.tally.failed++;
    if (this.#parts.policy.fail === "call" || !this.#reply.fall(leg, status)) this.fail(status);
  }

  /** Ends the call with a status. */
  fail(status: RpcStatus): void {
    if (this.closed) return;
    this.#stop();
    this.#reply.fail(status);
  }

  /** No more is needed. Legs that are left are cancelled. */
  #finish(): void {
    if (this.tally.hopeless) return this.fail({ code: Code.Unavailable, message: this.tally.verdict, details: [] });
    this.#stop();
    this.#reply.finish();
  }

  get #unbegun(): boolean {
    return this.legs.length < this.#parts.endpoints.length;
  }

  /** Not from within itself: a leg that fails at once, as many may, ends before the next begins. */
  #beginMore(): void {
    this.#beginning = true;
    while (!this.closed && this.#unbegun && this.#running < this.#parts.policy.maxConcurrent) this.#begin();
    this.#beginning = false;
    if (!this.#unbegun) this.#request.forget();
    this.onConsumed();
  }

  get #running(): number {
    if (this.#parts.policy.maxConcurrent >= this.#parts.endpoints.length) return 0;
    return this.legs.reduce((sum, { closed }) => (closed ? sum : sum + 1), 0);
  }

  #begin(): void {
    const index = this.legs.length;
    const leg = new Leg(this, this.#parts.endpoints[index]!, { index, lateBy: this.#request.bytes });
    this.legs.push(leg);
    this.#request.announceTo(leg);
    try {
      const [relay, destination] = this.#parts.relayOf(leg);
      leg.listener = relay;
      relay.start(destination);
    } catch (error) {
      return leg.drop(ConnectError.from(error));
    }
    this.#request.catchUp(leg);
  }

  #dropBehind(quickest: number): void {
    const error = new ConnectError(`more than ${maxBehind} bytes behind the others`, Code.ResourceExhausted);
    for (const leg of this.legs) {
      if (leg.consumed >= leg.lateBy && quickest - leg.consumed > maxBehind) leg.drop(error);
    }
  }

  #stop(): void {
    this.closed = true;
    this.remoteEnded = true;
    this.#request.forget();
    for (const leg of this.legs) leg.cancel();
  }
}

const nothing = new Uint8Array(0);

function requestTooLarge(bytes: number): RpcStatus {
  const message = `request of ${bytes} bytes can't be held for legs that haven't begun`;
  return { code: Code.ResourceExhausted, message, details: [] };
}
