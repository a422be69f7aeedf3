/** Leg: one endpoint's part of a fan-out. To the relay that carries it, it is the caller's stream; what the relay answers comes out here. */
import { Code, ConnectError } from "@connectrpc/connect";
import { Branch } from "../branch.ts";
import { decompress } from "../compress/compress.ts";
import { type BodyRange, keepRange } from "../http2/body.ts";
import { type Field, FieldKind, valueOf } from "../http2/field.ts";
import { turn } from "../http2/turn.ts";
import type { LegInfo } from "../layout/layout.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { isCompressed } from "../wire/encoding.ts";
import { EnvelopeFlag, EnvelopeReader, type EnvelopeSink, Handling } from "../wire/envelope.ts";
import { type RpcStatus, statusOfFields } from "../wire/rpc-status.ts";
import type { Room } from "./room.ts";

/** The fan-out that a leg is a part of. */
export interface LegOwner {
  /** For the replies of all legs. */
  readonly room: Room;
  /** The leg has taken more of the request. */
  onConsumed(): void;
  /** A reply message, not compressed. Where it is held back, `onHeld` tells the leg, and `onLeft` when it isn't any more. */
  onMessage(leg: Leg, payload: Uint8Array): void;
  /** Nothing more comes of the leg. */
  onEnd(leg: Leg, status: RpcStatus): void;
}

const lost: RpcStatus = { code: Code.Internal, message: "leg ended without a status", details: [] };

export class Leg extends Branch implements EnvelopeSink {
  readonly endpoint: Endpoint;
  /** Its place among the legs. */
  readonly index: number;
  /** Those that had come when it began, which it can't be blamed for not having taken. */
  readonly lateBy: number;
  readonly startedAt = turn.now;
  /** Headers and trailers of its reply; empty until they have come. */
  head: readonly Field[] = [];
  trailers: readonly Field[] = [];
  /** What the layout is told of it, kept for the messages of one turn: there are many in each. */
  info: LegInfo | undefined;
  readonly #owner: LegOwner;
  readonly #reader = new EnvelopeReader(this);
  /** Bytes of the reply that came while one of its messages is held back. */
  #heldBack = 0;
  /** `onHeld` without `onLeft`. */
  #holding = 0;
  /** Bytes of the message that is coming. */
  #coming = 0;
  /** The rest of the reply isn't read for now: what has come of it, and the trailers behind it. */
  #waits = false;
  #unread: BodyRange[] = [];
  #ending: readonly Field[] | undefined;

  constructor(owner: LegOwner, endpoint: Endpoint, { index, lateBy }: { index: number; lateBy: number }) {
    super();
    this.lateBy = lateBy;
    this.#owner = owner;
    this.endpoint = endpoint;
    this.index = index;
  }

  /** Milliseconds since it began, to this turn. */
  get elapsedMs(): number {
    return turn.now - this.startedAt;
  }

  override cancel(): void {
    if (this.closed) return;
    this.#unread = [];
    this.#reader.stop();
    this.#release();
    super.cancel();
  }

  /** Fails it from outside: it is too slow, or says what it mustn't. */
  drop(error: ConnectError): void {
    if (this.closed) return;
    this.cancel();
    this.#owner.onEnd(this, { code: error.code, message: error.rawMessage, details: [] });
  }

  /** A message of it, or some, can't leave just now. */
  onHeld(): void {
    this.#holding++;
  }

  /** They have left. */
  onLeft(): void {
    this.#holding--;
    this.#giveCredit();
  }

  /** There may be room again for what waits. */
  resume(): void {
    if (this.closed) return;
    const unread = this.#unread;
    this.#waits = false;
    this.#unread = [];
    if (unread.length === 0) this.#read(nothing, 0, 0);
    for (const { bytes, start, stop } of unread) {
      if (this.closed) return;
      if (this.#waits) keepRange(this.#unread, bytes, start, stop);
      else this.#read(bytes, start, stop);
    }
    if (!this.closed && !this.#waits && this.#ending !== undefined) this.#finish(this.#ending);
    this.#giveCredit();
  }

  #giveCredit(): void {
    if (this.#holding > 0 || this.#waits || this.#heldBack === 0) return;
    const bytes = this.#heldBack;
    this.#heldBack = 0;
    if (!this.closed) this.listener.onSent(bytes);
  }

  // --- what the relay does with the stream

  protected onConsumed(): void {
    this.#owner.onConsumed();
  }

  sendHeaders(fields: readonly Field[], end: boolean): void {
    if (this.closed) return;
    const isHead = fields[0]?.kind === FieldKind.status;
    if (isHead && fields[0]!.value.startsWith("1")) return;
    if (isHead && !end) this.head = fields;
    else if (this.#waits) this.#ending = fields;
    else this.#finish(isHead ? fields.slice(1) : fields);
  }

  sendData(bytes: Uint8Array, start: number, stop: number): boolean {
    if (this.closed) return true;
    if (!this.#waits && this.#reader.atBoundary && !this.#owner.room.admitsMore(this)) this.#waits = true;
    if (this.#waits) keepRange(this.#unread, bytes, start, stop);
    else this.#read(bytes, start, stop);
    if (this.#holding === 0 && !this.#waits) return true;
    this.#heldBack += stop - start;
    return false;
  }

  end(): void {
    if (!this.closed && this.#ending === undefined) this.#over(lost);
  }

  reset(): void {
    this.end();
  }

  override dropQueue(): void {
    this.#waits = false;
    this.#unread = [];
  }

  #read(bytes: Uint8Array, start: number, stop: number): void {
    const at = this.#reader.push(bytes, start, stop);
    if (!this.#reader.waits) return;
    this.#waits = true;
    if (at < stop) keepRange(this.#unread, bytes, at, stop);
  }

  // --- what the reply's bytes are

  handlingOf(flags: number, length: number): Handling {
    if (flags > EnvelopeFlag.compressed || length > this.#owner.room.forMessage) return Handling.refuse;
    if (!this.#owner.room.admits(this, length)) return Handling.wait;
    this.#coming = length;
    this.#owner.room.hold(length);
    return Handling.gather;
  }

  onMessage(flags: number, payload: Uint8Array): void {
    this.#release();
    let plain = payload;
    if (flags !== 0) {
      try {
        plain = this.#inflate(payload);
      } catch (error) {
        return this.drop(ConnectError.from(error));
      }
    }
    this.#owner.onMessage(this, plain);
  }

  onRefuse(flags: number, length: number): void {
    if (flags > EnvelopeFlag.compressed) {
      return this.drop(new ConnectError(`reply with unknown flags ${flags}`, Code.Internal));
    }
    const message = `reply of ${length} bytes, at most ${Math.max(this.#owner.room.forMessage, 0)} may come`;
    this.drop(new ConnectError(message, Code.ResourceExhausted));
  }

  #inflate(payload: Uint8Array): Uint8Array {
    const encoding = valueOf(this.head, "grpc-encoding");
    if (!isCompressed(encoding)) throw new ConnectError("compressed reply that names no encoding", Code.Internal);
    return decompress(encoding!, payload, this.#owner.room.forMessage);
  }

  #release(): void {
    this.#owner.room.hold(-this.#coming);
    this.#coming = 0;
  }

  #finish(trailers: readonly Field[]): void {
    this.trailers = trailers;
    this.#over(this.#reader.atBoundary ? (statusOfFields(trailers) ?? lost) : cut(trailers));
  }

  #over(status: RpcStatus): void {
    if (this.closed) return;
    this.closed = true;
    this.localEnded = true;
    this.#release();
    this.#owner.onEnd(this, status);
  }
}

const nothing = new Uint8Array(0);

/** An error counts as it is; a success in the midst of a message is none. */
function cut(trailers: readonly Field[]): RpcStatus {
  const status = statusOfFields(trailers);
  if (status !== undefined && status.code !== 0) return status;
  return { code: Code.Internal, message: "reply ends inside a message", details: [] };
}
