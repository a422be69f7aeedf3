/** Bridge: a call whose protocol, or whose upstream's, isn't gRPC. Decides whether it passes verbatim, and which layers it needs. */
import { ConnectError } from "@connectrpc/connect";
import type { Attempt, AttemptOwner } from "./attempt.ts";
import type { InboundCall, Protocol } from "./call.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { ErrorCode } from "./http2/errors.ts";
import { type Field, valueOf } from "./http2/field.ts";
import type { Layer } from "./http2/layer.ts";
import { MethodProbe } from "./method-probe.ts";
import { OpaqueAttempt } from "./opaque-attempt.ts";
import { ConnectUnaryServer } from "./protocol/connect-unary-server.ts";
import { GrpcWebServer } from "./protocol/grpc-web.ts";
import { grpcFields, openBridged, serverLayer } from "./protocol/layers.ts";
import type { MethodKinds } from "./protocol/method-kinds.ts";
import { requestInProto, TranscodeLayer } from "./protocol/transcode.ts";
import type { RequestBody } from "./request-body.ts";
import { type MethodSchema, methodUnknown, type Schema, schemaNeeded } from "./schema/schema.ts";
import type { CallTarget } from "./upstream/upstream.ts";
import type { Reached, StreamOpener } from "./upstream/waiter.ts";

/** What bridged calls of a proxy share. */
export interface BridgeContext {
  readonly kinds: MethodKinds;
  /** The schema of an upstream; undefined where it has none. */
  schemaOf(upstream: CallTarget): Schema | undefined;
}

/** The call, above all layers. */
export interface BridgeOwner extends StreamListener, AttemptOwner {
  downstream: HttpStream;
  /** Everything that an attempt needs is there. */
  acquire(): void;
  /** Gives up the attempt: the request is held anew. False: it can't be sent again. */
  again(): boolean;
  refuse(error: ConnectError): void;
}

/** Who gives an upstream a schema has JSON translated for it, also where the protocol is the same. */
export function passesVerbatim({ protocol, codec }: InboundCall, { protocols, codecs, schema }: CallTarget): boolean {
  return protocols.includes(protocol) && (schema === undefined || codec !== "json" || codecs.includes(codec));
}

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
  #upstream: CallTarget | undefined;
  /** Where the upstream speaks Connect. */
  #probe: MethodProbe | undefined;
  #opaque: OpaqueAttempt | undefined;

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

  /** What the upstream is spoken to in. */
  get upstreamProtocol(): Protocol | undefined {
    return this.verbatim ? this.#call.protocol : this.#upstream?.protocols[0];
  }

  /** Content type of a gRPC answer to this call. */
  get contentType(): string {
    return `application/grpc+${this.#call.codec}`;
  }

  /** The upstream is known. What has come of the request goes through the layers first, if it needs any. */
  start(upstream: CallTarget, context: BridgeContext, body: RequestBody): void {
    this.#upstream = upstream;
    this.verbatim = passesVerbatim(this.#call, upstream);
    if (this.verbatim) return this.#owner.acquire();
    const { codec, path } = this.#call;
    const translate = codec === "json" && !upstream.codecs.includes(codec);
    const needed = translate || upstream.protocols[0] === "connect";
    const schema = needed ? context.schemaOf(upstream) : undefined;
    const { kinds } = context;
    if (schema === undefined)
      return translate ? this.#owner.refuse(schemaNeeded(path, codec)) : this.#begin(body, kinds);
    const method = schema.method(path);
    const go = (known: MethodSchema | undefined) => {
      if (known !== undefined) kinds.set(upstream.name, path, known.kind === "unary" ? "unary" : "stream");
      if (translate && known === undefined) this.#owner.refuse(methodUnknown(path));
      else this.#begin(body, kinds, translate ? known : undefined);
    };
    if (method instanceof Promise) method.then(go).catch((error) => this.#owner.refuse(ConnectError.from(error)));
    else go(method);
  }

  /** @param translate the method whose messages have to be translated */
  #begin(body: RequestBody, kinds: MethodKinds, translate?: MethodSchema): void {
    const owner = this.#owner;
    if (this.#raw.closed) return;
    if (translate !== undefined) {
      this.#translating = new TranscodeLayer(translate, valueOf(this.fields, "grpc-encoding"));
      this.#fields = requestInProto(this.fields);
    }
    if (this.#upstream!.protocols[0] === "connect") {
      this.#probe = new MethodProbe(
        {
          acquire: () => owner.acquire(),
          again: () => owner.again(),
          credit: (bytes) => owner.downstream.consume(bytes),
          refuse: (error) => owner.refuse(error),
        },
        {
          kinds,
          upstream: this.#upstream!.name,
          path: this.#call.path,
          encoding: valueOf(this.fields, "grpc-encoding"),
          body,
        },
      );
    }
    this.#goThroughLayers(body);
    if (this.#probe === undefined) owner.acquire();
    else this.#probe.start();
  }

  /** More of the request has come while no attempt is under way. */
  onHeld(): void {
    this.#probe?.onBody();
  }

  /** Opens the upstream's stream for an attempt. */
  open(connection: StreamOpener, request: { fields: Field[]; body: RequestBody; attempt: Attempt }): HttpStream {
    const { fields, body, attempt } = request;
    const protocol = this.#upstream!.protocols[0]!;
    if (this.verbatim || protocol === "grpc") return connection.request(fields, body.empty, attempt);
    const codec = this.#translating === undefined ? this.#call.codec : "proto";
    return openBridged(connection, { protocol, codec, fields, end: body.empty, form: this.#probe }, attempt);
  }

  opaqueAttempt(owner: AttemptOwner, endpoint: Reached): Attempt {
    this.#opaque = new OpaqueAttempt(owner, endpoint);
    return this.#opaque;
  }

  /** Writes a status of ours in the caller's protocol; where a part of an answer has no place for it, the stream is reset. */
  refuse(fields: readonly Field[], answered: boolean): void {
    const layer = this.#layer;
    if (layer === undefined) this.#raw.sendHeaders(fields, true);
    else if (!answered || this.#opaque === undefined) layer.sendHeaders(fields, true);
    else if (!this.#opaque.atBoundary) this.#raw.reset(ErrorCode.internalError);
    else this.#layerOfAnswer(layer).sendHeaders(fields, true);
  }

  /** An upstream may answer text with binary, which is what has an end where ours can follow. */
  #layerOfAnswer(layer: Layer): Layer {
    if (this.#call.framing !== "grpc_web_text") return layer;
    const binary = new GrpcWebServer();
    binary.stack(this.#raw, this.#owner);
    return binary;
  }

  stop(): void {
    this.#probe?.stop();
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
    const empty = came.length === 0 && ended;
    if (layer instanceof ConnectUnaryServer && (empty || this.#call.get !== undefined)) layer.begin();
    else if (empty) lowest.onData(nothing, 0, 0, true);
    came.forEach(({ bytes, start, stop }, at) => {
      lowest.onData(bytes, start, stop, ended && at === came.length - 1);
    });
  }
}

const nothing = new Uint8Array(0);
