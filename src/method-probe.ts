/**
 * Method probe: finds out in which of Connect's two forms a call of a Connect upstream has to be made. Unary methods and streams
 * have different content types, and nothing of a gRPC call says which its method is.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { KindListener } from "./protocol/connect-stream.ts";
import { maxHeldMessage } from "./protocol/held-message.ts";
import type { MethodKind } from "./protocol/layers.ts";
import type { MethodKinds } from "./protocol/method-kinds.ts";
import type { RequestBody } from "./request-body.ts";
import { isCompressed } from "./wire/encoding.ts";
import { EnvelopeFlag, payloadLength, prefixLength } from "./wire/envelope.ts";

/** The call whose method it is. */
export interface ProbeOwner {
  /** The request can be sent, in the form that `kind` says. */
  acquire(): void;
  /** Gives up the attempt: the request is held anew. False: it can't be sent again. */
  again(): boolean;
  /** Gives the caller credit for bytes that are held. */
  credit(bytes: number): void;
  refuse(error: ConnectError): void;
}

export interface ProbeOptions {
  readonly kinds: MethodKinds;
  readonly upstream: string;
  readonly path: string;
  /** The request's grpc-encoding. */
  readonly encoding: string | undefined;
  readonly body: RequestBody;
}

/**
 * Milliseconds for which a whole message is held to see whether it is the only one. A caller of a unary method sends its end
 * along with the message; one that doesn't is streaming.
 */
const endTimeoutMs = 20;

export class MethodProbe implements KindListener {
  readonly #owner: ProbeOwner;
  readonly #options: ProbeOptions;
  #kind: MethodKind = "unary";
  #holding = false;
  /** The upstream has turned down one of the two. */
  #turned = false;
  /** Bytes of a first message that is too large to be a unary call's. */
  #tooLarge = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: ProbeOwner, options: ProbeOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  /** The form of the next attempt. */
  get kind(): MethodKind {
    return this.#kind;
  }

  /** The one message of a unary call is compressed: headers have to say so. */
  get compressed(): boolean {
    const [first] = this.#options.body.kept;
    return first !== undefined && (first.bytes[first.start]! & EnvelopeFlag.compressed) !== 0;
  }

  /** Holds the request until it has ended or turns out to be a stream, unless the method is known to be one. */
  start(): void {
    const known = this.#known();
    if (known === "stream") return this.#decide("stream");
    this.#hold(known);
  }

  /** More of the request has come, and no attempt is under way. */
  onBody(): void {
    if (this.#holding) this.#look(this.#turned ? this.#kind : this.#known());
  }

  stop(): void {
    this.#holding = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  onRightKind(): void {
    const { kinds, upstream, path } = this.#options;
    if (this.#known() !== this.#kind) kinds.set(upstream, path, this.#kind);
  }

  onWrongKind(): boolean {
    if (this.#turned) return false;
    this.#turned = true;
    const other = this.#kind === "unary" ? "stream" : "unary";
    if (!this.#owner.again()) {
      if (this.#tooLarge > 0) this.#refuseTooLarge();
      return this.#tooLarge > 0;
    }
    this.#kind = other;
    if (other === "stream") this.#decide(other);
    else this.#hold(other);
    return true;
  }

  #known(): MethodKind | undefined {
    const { kinds, upstream, path } = this.#options;
    return kinds.get(upstream, path);
  }

  #hold(expected: MethodKind | undefined): void {
    this.#holding = true;
    this.#options.body.maxReplay = maxHeldMessage; // another form may have to be tried
    this.#look(expected);
  }

  #look(expected: MethodKind | undefined): void {
    const { body } = this.#options;
    const bytes = body.creditRest();
    if (bytes > 0) this.#owner.credit(bytes);
    if (!this.#holding) return;
    const first = firstMessage(body);
    if (first > maxHeldMessage + prefixLength && first < Number.POSITIVE_INFINITY) {
      this.#tooLarge = first - prefixLength;
      return expected === "unary" ? this.#refuseTooLarge() : this.#decide("stream");
    }
    if (body.ended) return this.#decide(first === body.bytes ? "unary" : "stream");
    if (body.bytes > maxHeldMessage + prefixLength) return this.#decide("stream");
    if (expected !== undefined) return;
    const whole = body.bytes === 0 || first <= body.bytes;
    if (whole) this.#timer ??= setTimeout(() => this.#decide("stream"), endTimeoutMs);
    else {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  /** At its prefix: none of it has to be held for that (fault B1). */
  #refuseTooLarge(): void {
    this.stop();
    const message = `message of ${this.#tooLarge} bytes, at most ${maxHeldMessage}`;
    this.#owner.refuse(new ConnectError(message, Code.ResourceExhausted));
  }

  #decide(kind: MethodKind): void {
    this.stop();
    if (this.#turned && kind !== this.#kind) {
      // it was called as a stream already
      return this.#owner.refuse(new ConnectError("a unary method takes one message", Code.Unimplemented));
    }
    this.#kind = kind;
    const flags = kind === "unary" ? this.#options.body.kept[0]!.bytes[this.#options.body.kept[0]!.start]! : 0;
    if (flags > EnvelopeFlag.compressed || (flags > 0 && !isCompressed(this.#options.encoding))) {
      return this.#owner.refuse(new ConnectError(`message with flags ${flags}, in no encoding`, Code.Internal));
    }
    this.#owner.acquire();
  }
}

/** Bytes of the first message with its prefix; infinite as long as the prefix isn't whole. */
function firstMessage(body: RequestBody): number {
  const prefix: number[] = [];
  for (const { bytes, start, stop } of body.kept) {
    if (prefix.length === 0 && stop - start >= prefixLength) return prefixLength + payloadLength(bytes, start);
    for (let at = start; at < stop && prefix.length < prefixLength; at++) prefix.push(bytes[at]!);
  }
  return prefix.length < prefixLength
    ? Number.POSITIVE_INFINITY
    : prefixLength + payloadLength(Uint8Array.from(prefix), 0);
}
