/**
 * Tries: a call that is tried again where that is safe or wanted, one try after the other or (hedged) beside each other. To the relay of the
 * call it is the upstream's stream; to the relay of each try it is behind the caller's.
 */
import { BranchedRequest } from "../branched-request.ts";
import type { HttpStream, StreamListener } from "../http2/api.ts";
import { ErrorCode } from "../http2/errors.ts";
import type { Field } from "../http2/field.ts";
import { startTurn } from "../http2/turn.ts";
import { type CompleteRetryPolicy, retryDelay } from "../route/retry-policy.ts";
import type { Breaker } from "../upstream/breaker.ts";
import { Try, type TryOwner } from "./try.ts";

export interface TriesParts {
  readonly policy: CompleteRetryPolicy;
  /** Without a limit of tries, calls that are tried again would finish off an upstream that is slow. */
  readonly breaker: Pick<Breaker, "beginRetry" | "endRetry">;
  /** Who is told the reply: the relay's attempt. */
  readonly listener: StreamListener;
  /** The request has no body. */
  readonly end: boolean;
  /** Sends a try on its way; `number` is 0 for the first. */
  begin(one: Try, number: number): void;
}

export class Tries implements HttpStream, TryOwner {
  listener: StreamListener;
  remoteEnded = false;
  closed = false;
  readonly #parts: TriesParts;
  readonly #tries: Try[] = [];
  /** Those of them that are under way. */
  #live: Try[] = [];
  #winner: Try | undefined;
  /** Kept as long as it may be needed again. */
  readonly #request: BranchedRequest;
  /** Bytes of it that a try has taken. */
  #taken = 0;
  /** Tries that the breaker counts. */
  #retries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The timer is that of a try which takes a failed one's place. */
  #promised = false;

  constructor(parts: TriesParts) {
    this.#parts = parts;
    this.listener = parts.listener;
    this.#request = new BranchedRequest(parts.end);
  }

  /** All of the request has come. */
  get localEnded(): boolean {
    return this.#request.ended;
  }

  /** Tries that have begun. */
  get count(): number {
    return this.#tries.length;
  }

  /** Why the try that has been decided on has failed, where no upstream has said so. */
  get why(): unknown {
    return this.#winner?.relay?.why;
  }

  get holdReplyBytes(): number {
    return this.#mayTryAgain ? this.#parts.policy.holdReplyBytes : 0;
  }

  start(): void {
    this.#begin();
    this.#planHedge();
  }

  // --- the call's side: what its relay does with an upstream's stream

  sendHeaders(fields: Field[], _end: boolean): void {
    this.#request.endWith(fields);
    for (const one of this.#live) one.endWith(fields);
  }

  /** Always held: `onSent` tells of what a try has taken. */
  sendData(bytes: Uint8Array, start: number, stop: number, end: boolean): boolean {
    if (this.closed) return true;
    const request = this.#request;
    if (request.bytes + stop - start > this.#parts.policy.keepRequestBytes && this.#live.length > 0) request.forget();
    request.add(bytes, start, stop, end);
    for (const one of [...this.#live]) one.feed(bytes, start, stop, end);
    this.onConsumed();
    return false;
  }

  end(): void {
    if (!this.localEnded) this.sendData(nothing, 0, 0, true);
  }

  consume(bytes: number): void {
    this.#winner?.taken(bytes);
  }

  reset(): void {
    if (this.closed) return;
    this.#close();
    for (const one of this.#live.splice(0)) one.cancel();
  }

  dropQueue(): void {}

  // --- the tries' side

  onConsumed(): void {
    let taken = this.#taken;
    for (const { consumed } of this.#live) taken = Math.max(taken, Math.min(consumed, this.#request.bytes));
    const fresh = taken - this.#taken;
    if (fresh === 0 || this.closed) return;
    this.#taken = taken;
    this.listener.onSent(fresh);
  }

  onGood(one: Try): void {
    if (this.#winner === undefined && !this.closed) this.#commit(one);
  }

  onFailed(one: Try, status: number): void {
    if (this.closed || this.#winner !== undefined) return;
    this.#live = this.#live.filter((other) => other !== one);
    const { on, maxBackoffMs } = this.#parts.policy;
    const pushback = one.pushbackMs;
    const wanted = (one.unprocessed || on.has(status)) && !(pushback !== undefined && pushback < 0);
    if (wanted && this.#mayTryAgain && this.#take()) {
      this.#again(pushback ?? retryDelay(this.count, Math.random(), maxBackoffMs));
    } else if (!wanted || (this.#live.length === 0 && !this.#promised)) this.#commit(one);
  }

  get #mayTryAgain(): boolean {
    return this.#request.kept && this.count <= this.#parts.policy.attempts && this.#winner === undefined;
  }

  #take(): boolean {
    if (!this.#parts.breaker.beginRetry()) return false;
    this.#retries++;
    return true;
  }

  #again(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#promised = true;
    this.#timer = setTimeout(() => {
      startTurn();
      this.#begin();
      this.#planHedge();
    }, delayMs);
  }

  #planHedge(): void {
    const { hedgeDelayMs } = this.#parts.policy;
    if (hedgeDelayMs === undefined || !this.#mayTryAgain || this.#promised || this.closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!this.#mayTryAgain || !this.#take()) return;
      startTurn();
      this.#begin();
      this.#planHedge();
    }, hedgeDelayMs);
  }

  #begin(): void {
    this.#promised = false;
    const one = new Try(this);
    const number = this.count;
    this.#tries.push(one);
    this.#live.push(one);
    this.#request.announceTo(one);
    this.#parts.begin(one, number);
    this.#request.catchUp(one);
    if (this.#request.bytes > this.#parts.policy.keepRequestBytes) this.#request.forget();
  }

  #commit(one: Try): void {
    this.#winner = one;
    this.#request.forget();
    clearTimeout(this.#timer);
    this.#endRetries(); // there will be no more: what goes on is a call like others, and may be a stream that lasts for hours
    const others = this.#live.filter((other) => other !== one);
    this.#live = one.closed ? [] : [one];
    for (const other of others) other.cancel();
    one.commit({
      onHeaders: (fields, end) => {
        if (end) this.#close();
        this.listener.onHeaders(fields, end);
      },
      onData: (bytes, start, stop) => this.listener.onData(bytes, start, stop, false),
      onTrailers: (fields) => {
        this.#close();
        this.listener.onTrailers(fields);
      },
      onSent() {},
      onReset: () => {
        this.#close();
        this.listener.onReset(ErrorCode.internalError, "peer");
      },
    });
  }

  /** Nothing more comes of it. */
  #close(): void {
    this.closed = true;
    this.remoteEnded = true;
    this.#request.forget();
    clearTimeout(this.#timer);
    this.#endRetries();
  }

  #endRetries(): void {
    for (; this.#retries > 0; this.#retries--) this.#parts.breaker.endRetry();
  }
}

const nothing = new Uint8Array(0);
