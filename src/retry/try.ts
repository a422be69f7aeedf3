/** Try: one of the tries of a call that may have more. To the relay that carries it, it is the caller's stream. */
import { Branch } from "../branch.ts";
import type { StreamListener } from "../http2/api.ts";
import { type BodyRange, joinRanges, keepRange } from "../http2/body.ts";
import type { ErrorCode } from "../http2/errors.ts";
import { type Field, FieldKind, valueOf } from "../http2/field.ts";
import type { Relay } from "../relay.ts";
import { parseStatus, statusOk } from "../wire/status.ts";

/** The tries that it is one of. */
export interface TryOwner {
  /** Bytes of a reply that may be held back until its status is known. */
  readonly holdReplyBytes: number;
  /** More of the request has been taken. */
  onConsumed(): void;
  /** The reply is the call's, unless another's is. */
  onGood(one: Try): void;
  /** Ended with an error, of which the caller knows nothing yet. */
  onFailed(one: Try, status: number): void;
}

export class Try extends Branch {
  relay: Relay | undefined;
  readonly #owner: TryOwner;
  /** Who is told the reply; nobody until it is decided that it is the call's. */
  #told: StreamListener | undefined;
  #head: Field[] | undefined;
  #body: BodyRange[] = [];
  #bodyBytes = 0;
  /** Bytes of it for which the upstream has credit already. */
  #prepaid = 0;
  #end: Field[] | undefined;

  constructor(owner: TryOwner) {
    super();
    this.#owner = owner;
  }

  /** The upstream has done no work for it. */
  get unprocessed(): boolean {
    return this.relay?.unprocessed !== false;
  }

  /** What the upstream wants of who tries again: milliseconds to wait, or (below 0) not to; undefined where it says nothing. */
  get pushbackMs(): number | undefined {
    const value = valueOf(this.#end ?? [], "grpc-retry-pushback-ms");
    if (value === undefined) return undefined;
    return /^\d{1,9}$/.test(value) ? Number(value) : -1;
  }

  /** Its reply is the call's: what was held back of it is told, and the rest as it comes. */
  commit(listener: StreamListener): void {
    this.#told = listener;
    const head = this.#head;
    if (head === undefined) return;
    if (this.#end !== undefined && this.#end === head) return listener.onHeaders(head, true);
    listener.onHeaders(head, false);
    if (this.#body.length > 0) {
      const held = joinRanges(this.#body);
      this.#body = [];
      listener.onData(held, 0, held.length, false);
    }
    if (this.#end !== undefined) listener.onTrailers(this.#end);
  }

  /** So many bytes of the reply have left for the caller. */
  taken(bytes: number): void {
    const prepaid = Math.min(bytes, this.#prepaid);
    this.#prepaid -= prepaid;
    if (bytes > prepaid) this.listener.onSent(bytes - prepaid);
  }

  override cancel(): void {
    if (this.closed) return;
    this.#body = [];
    super.cancel();
  }

  // --- what the relay does with the stream

  protected onConsumed(): void {
    this.#owner.onConsumed();
  }

  sendHeaders(fields: Field[], end: boolean): void {
    if (this.closed) return;
    const isHead = fields[0]?.kind === FieldKind.status;
    if (isHead && fields[0]!.value.startsWith("1")) return; // of a try that may be given up
    if (end) return this.#ended(fields, isHead);
    this.#head = fields;
    if (this.#told !== undefined) this.#told.onHeaders(fields, false);
    else if (this.#owner.holdReplyBytes === 0) this.#owner.onGood(this);
  }

  /**
   * What is told is on its way: the call's relay tells when it has left. What is held back gets its credit at once, for more may be
   * held than a stream's window has, and then the upstream would wait for us and we for its trailers.
   */
  sendData(bytes: Uint8Array, start: number, stop: number): boolean {
    if (this.closed) return true;
    if (this.#told !== undefined) {
      this.#told.onData(bytes, start, stop, false);
      return false;
    }
    keepRange(this.#body, bytes, start, stop);
    this.#bodyBytes += stop - start;
    if (this.#bodyBytes > this.#owner.holdReplyBytes) {
      this.#owner.onGood(this);
      return false;
    }
    this.#prepaid += stop - start;
    return true;
  }

  end(): void {}

  reset(code: ErrorCode): void {
    if (this.closed) return;
    this.closed = true;
    this.#told?.onReset(code, "peer");
  }

  #ended(fields: Field[], isHead: boolean): void {
    this.closed = true;
    this.localEnded = true;
    this.#end = fields;
    if (this.#told !== undefined) {
      if (isHead) this.#told.onHeaders(fields, true);
      else this.#told.onTrailers(fields);
      return;
    }
    if (isHead) this.#head = fields;
    const status = parseStatus(valueOf(fields, "grpc-status") ?? "");
    if (status === statusOk) this.#owner.onGood(this);
    else this.#owner.onFailed(this, status);
  }
}
