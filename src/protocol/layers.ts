/** Layers: which one makes a call one of gRPC, and which one makes an upstream of another protocol look as if it spoke gRPC. */
import type { InboundCall } from "../call.ts";
import type { HttpStream, StreamListener } from "../http2/api.ts";
import { type Field, FieldKind } from "../http2/field.ts";
import type { UpstreamConnection } from "../upstream/connection.ts";
import {
  ConnectStreamClient,
  ConnectStreamServer,
  requestFromConnectStream,
  requestToConnectStream,
} from "./connect-stream.ts";
import {
  ConnectUnaryClient,
  ConnectUnaryServer,
  requestFromConnectUnary,
  requestToConnectUnary,
} from "./connect-unary.ts";
import { GrpcWebClient, GrpcWebServer, GrpcWebTextServer, requestFromGrpcWeb, requestToGrpcWeb } from "./grpc-web.ts";
import type { Layer } from "./layer.ts";

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

export interface UpstreamRequest {
  /** What the upstream speaks. */
  readonly protocol: "grpc_web" | "connect";
  /** Counts for Connect only. */
  readonly kind: MethodKind;
  readonly codec: string;
  /** A gRPC request's fields. */
  readonly fields: readonly Field[];
  /** The request has no body. */
  readonly end: boolean;
  /** The first message is compressed. Counts for unary Connect, whose headers have to say so. */
  readonly compressed: boolean;
  /** The upstream says that the method is of the other kind; it did no work. */
  onWrongKind(): void;
}

/** Opens a stream to an upstream that doesn't speak gRPC, with the layer that makes it look as if it did. */
export function openBridged(
  connection: UpstreamConnection,
  request: UpstreamRequest,
  listener: StreamListener,
): HttpStream {
  const { fields, end, codec } = request;
  const [layer, own] = clientLayer(request, fields, codec);
  layer.stack(connection.request(own, end, layer), listener);
  return layer;
}

function clientLayer(request: UpstreamRequest, fields: readonly Field[], codec: string): [Layer, Field[]] {
  if (request.protocol === "grpc_web") return [new GrpcWebClient(), requestToGrpcWeb(fields)];
  const wrongKind = () => request.onWrongKind();
  if (request.kind === "stream") {
    return [new ConnectStreamClient(codec, wrongKind), requestToConnectStream(fields, codec)];
  }
  return [new ConnectUnaryClient(codec, wrongKind), requestToConnectUnary(fields, codec, request.compressed)];
}

function contentLengthOf(call: InboundCall): number {
  const field = call.fields.find(({ kind }) => kind === FieldKind.contentLength);
  return field === undefined ? -1 : Number(field.value);
}

function isCompressed(encoding: string | undefined): boolean {
  return encoding !== undefined && encoding !== "identity";
}
