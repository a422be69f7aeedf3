/** Layers: which one makes a call one of gRPC, and which one makes an upstream of another protocol look as if it spoke gRPC. */
import type { InboundCall } from "../call.ts";
import type { HttpStream, StreamListener } from "../http2/api.ts";
import { type Field, FieldKind } from "../http2/field.ts";
import type { Layer } from "../http2/layer.ts";
import type { StreamOpener } from "../upstream/waiter.ts";
import { isCompressed } from "../wire/encoding.ts";
import {
  ConnectStreamClient,
  ConnectStreamServer,
  type KindListener,
  requestFromConnectStream,
  requestToConnectStream,
} from "./connect-stream.ts";
import { ConnectUnaryClient, requestToConnectUnary } from "./connect-unary-client.ts";
import { ConnectUnaryServer, requestFromConnectUnary } from "./connect-unary-server.ts";
import { GrpcWebClient, GrpcWebServer, GrpcWebTextServer, requestFromGrpcWeb, requestToGrpcWeb } from "./grpc-web.ts";

/** The layer on the caller's side; undefined for gRPC, which needs none. */
export function serverLayer(call: InboundCall): Layer | undefined {
  switch (call.framing) {
    case "grpc":
      return undefined;
    case "grpc_web":
      return new GrpcWebServer();
    case "grpc_web_text":
      return new GrpcWebTextServer(call.header("accept"));
    case "connect_stream":
      return new ConnectStreamServer(call.codec);
    case "connect_unary":
      return new ConnectUnaryServer({
        codec: call.codec,
        get: call.get,
        contentLength: contentLengthOf(call),
        compressed: isCompressed(call.header("content-encoding")),
        acceptEncoding: call.header("accept-encoding"),
      });
  }
}

/** The call's header fields as those of a gRPC request. */
export function grpcFields(call: InboundCall): readonly Field[] {
  switch (call.framing) {
    case "grpc":
      return call.fields;
    case "grpc_web":
    case "grpc_web_text":
      return requestFromGrpcWeb(call.fields);
    case "connect_stream":
      return requestFromConnectStream(call.fields, call.codec);
    case "connect_unary":
      return requestFromConnectUnary(call.fields, call.codec, call.get);
  }
}

/** Whether a method takes and gives one message each: Connect has another form for these. */
export type MethodKind = "unary" | "stream";

/** How a Connect upstream is to be called. */
export interface ConnectForm extends KindListener {
  readonly kind: MethodKind;
  /** The message is compressed. Counts for unary calls, whose headers have to say so. */
  readonly compressed: boolean;
}

export interface UpstreamRequest {
  /** What the upstream speaks. */
  readonly protocol: "grpc_web" | "connect";
  readonly codec: string;
  /** A gRPC request's fields. */
  readonly fields: readonly Field[];
  /** The request has no body. */
  readonly end: boolean;
  /** Counts for Connect only. */
  readonly form: ConnectForm | undefined;
}

/** Opens a stream to an upstream that doesn't speak gRPC, with the layer that makes it look as if it did. */
export function openBridged(connection: StreamOpener, request: UpstreamRequest, listener: StreamListener): HttpStream {
  const [layer, fields] = clientLayer(request);
  layer.stack(connection.request(fields, request.end, layer), listener);
  return layer;
}

function clientLayer({ protocol, fields, codec, form }: UpstreamRequest): [Layer, Field[]] {
  if (protocol === "grpc_web" || form === undefined) return [new GrpcWebClient(), requestToGrpcWeb(fields)];
  if (form.kind === "stream") return [new ConnectStreamClient(form), requestToConnectStream(fields, codec)];
  return [new ConnectUnaryClient(codec, form), requestToConnectUnary(fields, codec, form.compressed)];
}

function contentLengthOf(call: InboundCall): number {
  const field = call.fields.find(({ kind }) => kind === FieldKind.contentLength);
  return field === undefined ? -1 : Number(field.value);
}
