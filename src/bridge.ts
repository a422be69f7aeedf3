/** Bridge: a call whose protocol, or whose upstream's, isn't gRPC. Decides whether it passes verbatim, and which layers it needs. */
import { ConnectError } from "@connectrpc/connect";
import type { Attempt, AttemptOwner } from "./attempt.ts";
import type { InboundCall } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { type Field, valueOf } from "./http2/field.ts";
import { OpaqueAttempt } from "./opaque-attempt.ts";
import { ConnectUnaryServer } from "./protocol/connect-unary.ts";
import { type Layer, maxHeldMessage } from "./protocol/layer.ts";
import { grpcFields, openBridged, serverLayer } from "./protocol/layers.ts";
import type { MethodKinds } from "./protocol/method-kinds.ts";
import { requestInProto, TranscodeLayer } from "./protocol/transcode.ts";
import type { RequestBody } from "./request-body.ts";
import { type MethodSchema, methodUnknown, type Schema, schemaNeeded } from "./schema/schema.ts";
import type { UpstreamConnection } from "./upstream/connection.ts";
import type { Endpoint } from "./upstream/endpoint.ts";
import type { Upstream } from "./upstream/upstream.ts";
import { prefixLength } from "./wire/envelope.ts";

/** What bridged calls of a proxy share. */
export interface BridgeContext {
  readonly kinds: MethodKinds;
  /** The schema of an upstream; undefined where it has none. */
  schemaOf(upstream: Upstream): Schema | undefined;
}

/** The call, above all layers. */
export interface BridgeOwner extends StreamListener, AttemptOwner {
  downstream: HttpStream;
  /** Everything that an attempt needs is there. */
  acquire(): void;
  refuse(error: ConnectError): void;
}

/**
 * Milliseconds for which a request of unknown kind is held to see whether it is more than one message. A caller of a unary
 * method sends its end along with the message; one that doesn't is streaming.
 */
const kindTimeoutMs = 20;

export class Bridge {
  /** The caller's protocol is one that the upstream speaks. */
  verbatim = false;
  readonly #call: InboundCall;
  readonly #raw: HttpStream;
  readonly #owner: BridgeOwner;
  readonly #layer: Layer | undefined;
  /** Above the protocol's layer, where messages have to be translated. */
  #translating: TranscodeLayer | undefined;
  #fields: readonly Field[] | undefined;
  #upstream: Upstream | undefined;
  #kinds: MethodKinds | undefined;
  /** The request is held until it has ended, or turns out to be a stream. */
  #holding = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(call: InboundCall, raw: HttpStream, owner: BridgeOwner) {
    this.#call = call;
    this.#raw = raw;
    this.#owner = owner;
    this.#layer = serverLayer(call);
    this.#layer?.stack(raw, owner);
  }

  /** The request's fields in the form in which they are forwarded: the caller's own, or gRPC's. */
  get fields(): readonly Field[] {
    this.#fields ??= this.verbatim ? this.#call.fields : grpcFields(this.#call);
    return this.#fields;
  }

  /** Content type of a gRPC answer to this call. */
  get contentType(): string {
    return `application/grpc+${this.#call.codec}`;
  }

  /** The upstream is known. What has come of the request goes through the layers first, if it needs any. */
  start(upstream: Upstream, context: BridgeContext, body: RequestBody): void {
    this.#upstream = upstream;
    this.#kinds = context.kinds;
    this.verbatim = upstream.protocols.includes(this.#call.protocol);
    if (this.verbatim) return this.#owner.acquire();
    const { codec, path } = this.#call;
    const translate = codec === "json" && !upstream.codecs.includes(codec);
    const needed = translate || upstream.protocols[0] === "connect";
    const schema = needed ? context.schemaOf(upstream) : undefined;
    if (schema === undefined) return translate ? this.#owner.refuse(schemaNeeded(path, codec)) : this.#begin(body);
    const method = schema.method(path);
    const go = (known: MethodSchema | undefined) => {
      if (known !== undefined) this.#learn(known.kind === "unary" ? "unary" : "stream");
      if (translate && known === undefined) this.#owner.refuse(methodUnknown(path));
      else this.#begin(body, translate ? known : undefined);
    };
    if (method instanceof Promise) method.then(go).catch((error) => this.#owner.refuse(ConnectError.from(error)));
    else go(method);
  }

  /** @param translate the method whose messages have to be translated */
  #begin(body: RequestBody, translate?: MethodSchema): void {
    if (this.#raw.closed) return;
    this.#holding = this.#upstream!.protocols[0] === "connect" && this.#kindOf() !== "stream";
    if (translate !== undefined) {
      this.#translating = new TranscodeLayer(translate, valueOf(this.fields, "grpc-encoding"));
      this.#fields = requestInProto(this.fields);
    }
    this.#goThroughLayers(body);
    if (!this.#holding) return this.#owner.acquire();
    this.onHeld(body);
    if (this.#holding && this.#kindOf() === undefined) {
      this.#timer = setTimeout(() => this.#release("stream"), kindTimeoutMs);
    }
  }

  /** More of the request has come while no attempt is under way. */
  onHeld(body: RequestBody): void {
    if (!this.#holding) return;
    const bytes = body.creditRest();
    if (bytes > 0) this.#owner.downstream.consume(bytes);
    if (body.ended) this.#release(isOneMessage(body) ? this.#kindOf() : "stream");
    else if (body.bytes > maxHeldMessage) this.#release("stream");
  }

  /** Opens the upstream's stream for an attempt. */
  open(connection: UpstreamConnection, request: { fields: Field[]; body: RequestBody; attempt: Attempt }): HttpStream {
    const { fields, body, attempt } = request;
    const protocol = this.#upstream!.protocols[0]!;
    if (this.verbatim || protocol === "grpc") return connection.request(fields, body.empty, attempt);
    const kind = this.#kindOf() ?? "unary";
    const [first] = body.kept;
    return openBridged(
      connection,
      {
        protocol,
        kind,
        codec: this.#translating === undefined ? this.#call.codec : "proto",
        fields,
        end: body.empty,
        compressed: first !== undefined && (first.bytes[first.start]! & 1) === 1,
        onWrongKind: () => {
          this.#learn(kind === "unary" ? "stream" : "unary");
          attempt.cancel();
          attempt.onReset(ErrorCode.refusedStream, "unprocessed");
        },
      },
      attempt,
    );
  }

  opaqueAttempt(owner: AttemptOwner, endpoint: Endpoint): Attempt {
    return new OpaqueAttempt(owner, endpoint);
  }

  /** Writes a status of ours in the caller's protocol. */
  refuse(fields: readonly Field[], answered: boolean): void {
    const layer = this.#layer;
    if (layer === undefined) this.#raw.sendHeaders(fields, true);
    else if (answered && this.verbatim && layer instanceof ConnectUnaryServer) this.#raw.reset(ErrorCode.internalError);
    else layer.sendHeaders(fields, true);
  }

  stop(): void {
    this.#holding = false;
    clearTimeout(this.#timer);
  }

  /** Puts the layers between the caller's stream and the call, and sends what has come already through them. */
  #goThroughLayers(body: RequestBody): void {
    const layer = this.#layer;
    const translating = this.#translating;
    if (layer === undefined && translating === undefined) return;
    const came = body.takeBack();
    const ended = this.#raw.remoteEnded;
    const lowest = layer ?? translating!;
    if (translating !== undefined) {
      translating.stack(layer ?? this.#raw, this.#owner);
      if (layer !== undefined) layer.listener = translating;
    }
    this.#raw.listener = lowest;
    this.#owner.downstream = translating ?? lowest;
    if (came.length === 0 && ended) {
      if (layer instanceof ConnectUnaryServer) layer.begin();
      else lowest.onData(nothing, 0, 0, true);
    }
    came.forEach(({ bytes, start, stop }, at) => {
      lowest.onData(bytes, start, stop, ended && at === came.length - 1);
    });
  }

  #kindOf(): "unary" | "stream" | undefined {
    return this.#kinds!.get(this.#upstream!.name, this.#call.path);
  }

  #learn(kind: "unary" | "stream"): void {
    this.#kinds!.set(this.#upstream!.name, this.#call.path, kind);
  }

  #release(kind: "unary" | "stream" | undefined): void {
    if (!this.#holding) return;
    this.stop();
    if (kind !== undefined && this.#kindOf() === undefined) this.#learn(kind);
    this.#owner.acquire();
  }
}

const nothing = new Uint8Array(0);

/** The body is exactly one envelope. */
function isOneMessage(body: RequestBody): boolean {
  const prefix: number[] = [];
  for (const { bytes, start, stop } of body.kept) {
    for (let at = start; at < stop && prefix.length < prefixLength; at++) prefix.push(bytes[at]!);
  }
  if (prefix.length < prefixLength) return false;
  const [, a, b, c, d] = prefix;
  return ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0 === body.bytes - prefixLength;
}
