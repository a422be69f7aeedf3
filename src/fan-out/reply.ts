/** Reply: what the caller of a fan-out gets, written as the stream of an upstream that speaks gRPC. */
import { Field, Indexing, valueOf } from "../http2/field.ts";
import type { Layout, LegInfo } from "../layout/layout.ts";
import type { CompleteGatherPolicy } from "../route/gather-policy.ts";
import { prefixLength, writePrefix } from "../wire/envelope.ts";
import { isMetadata } from "../wire/metadata.ts";
import { fieldsOfStatus, type RpcStatus } from "../wire/rpc-status.ts";
import type { FanOut } from "./fan-out.ts";
import type { Leg } from "./leg.ts";

/** Header of a reply that is joined, by which a Manifold in front of this one knows it. Its value is the layout's name. */
const joinedHeader = "manifold-fan-out";

export interface ReplyOptions {
  readonly layout: Layout;
  readonly policy: CompleteGatherPolicy;
  /** Undefined: where a reply says so of itself. */
  readonly nested: boolean | undefined;
  /** Messages of the reply are elements, not whole replies. */
  readonly stream: boolean;
}

/** Writes the reply; when and of what, `JoinedReply` and `InterleavedReply` say. */
export abstract class Reply {
  protected readonly fanOut: FanOut;
  protected readonly options: ReplyOptions;
  #headed = false;

  constructor(fanOut: FanOut, options: ReplyOptions) {
    this.fanOut = fanOut;
    this.options = options;
  }

  /** Messages leave as they come, so that there is room for more with time. */
  abstract readonly flows: boolean;

  /** A message of a leg. Where it is held back, `leg.onHeld` and `leg.onLeft` are called. */
  abstract take(leg: Leg, payload: Uint8Array): void;
  /** A leg has ended well. It may turn out that it hasn't: then `fanOut.fall` is called. */
  abstract succeed(leg: Leg): void;
  /** A leg has failed. False: the layout has no entry for it. */
  abstract fall(leg: Leg, status: RpcStatus): boolean;
  /** The caller has taken so many bytes. */
  abstract sent(bytes: number): void;
  /** What is left of it, and its end. */
  abstract finish(): void;

  /** Sends what was gathered, if anything is. */
  protected flush(): void {}

  /** Ends it with an error. */
  fail(status: RpcStatus): void {
    const { listener } = this.fanOut;
    const fields = fieldsOfStatus(status);
    this.flush();
    if (this.#headed) listener.onTrailers(fields);
    else listener.onHeaders([ok, contentType, ...fields], true);
  }

  protected infoOf(leg: Leg): LegInfo {
    const { elapsedMs } = leg;
    if (leg.info?.elapsedMs !== elapsedMs) {
      leg.info = { backend: leg.endpoint.name, elapsedMs, nested: this.isNested(leg) };
    }
    return leg.info;
  }

  /** What the leg answers is joined already. */
  protected isNested(leg: Leg): boolean {
    const { nested, layout } = this.options;
    return nested ?? valueOf(leg.head, joinedHeader) === layout.name;
  }

  /** @returns undefined where the layout has none */
  protected failed(leg: Leg, status: RpcStatus): Uint8Array | undefined {
    const { layout, stream } = this.options;
    return layout.fail({ backend: leg.endpoint.name, elapsedMs: performance.now() - leg.startedAt }, status, stream);
  }

  /** Sends one message. */
  protected message(parts: readonly Uint8Array[]): void {
    this.head();
    const { listener } = this.fanOut;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length > largestCopy) {
      const prefix = new Uint8Array(prefixLength);
      writePrefix(prefix, 0, 0, length);
      listener.onData(prefix, 0, prefixLength, false);
      for (const part of parts) if (part.length > 0) listener.onData(part, 0, part.length, false);
      return;
    }
    const whole = Buffer.allocUnsafe(prefixLength + length);
    writePrefix(whole, 0, 0, length);
    let at = prefixLength;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    listener.onData(whole, 0, whole.length, false);
  }

  protected head(): void {
    if (this.#headed) return;
    this.#headed = true;
    const joined = new Field(joinedHeader, this.options.layout.name);
    this.fanOut.listener.onHeaders([ok, contentType, joined, ...this.#metadata(({ head }) => head)], false);
  }

  protected trailers(): void {
    this.head();
    this.flush();
    this.fanOut.listener.onTrailers([statusOk, ...this.#metadata(({ trailers }) => trailers)]);
  }

  /** That of all legs, in their order; what more than one of them says alike, once. */
  #metadata(of: (leg: Leg) => readonly Field[]): Field[] {
    if (this.options.policy.metadata === "none") return [];
    const seen = new Set<string>();
    const fields: Field[] = [];
    let size = 0;
    for (const leg of this.fanOut.legs) {
      for (const field of of(leg)) {
        if (!isMetadata(field) || field.name === joinedHeader) continue;
        if (seen.has(field.key)) continue;
        size += field.key.length;
        if (size > maxMetadata) return fields;
        seen.add(field.key);
        fields.push(field);
      }
    }
    return fields;
  }
}

/** A message up to here is copied into one piece with its prefix: two frames cost more. */
const largestCopy = 4 << 10;

/** Characters of names and values: what every client takes of headers (Node's HTTP: 16 KiB, Envoy's: 60). */
const maxMetadata = 8 << 10;

const ok = new Field(":status", "200");
const contentType = new Field("content-type", "application/grpc+proto", Indexing.incremental);
const statusOk = new Field("grpc-status", "0");
