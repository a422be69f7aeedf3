/** Calls by Google's grpc-web, whose generated code would be no more than these descriptors. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type BytesValue, BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { GrpcWebClientBase, type Metadata, MethodDescriptor, MethodType, RpcError } from "grpc-web";
import type { PageCall } from "./call.ts";
import type { Outcome } from "./outcome.ts";

class Message {
  value: Uint8Array;

  constructor(value: Uint8Array) {
    this.value = value;
  }
}

function descriptorOf(method: PageCall["method"]): MethodDescriptor<Message, Message> {
  return new MethodDescriptor(
    `/manifold.test.v1.Test/${method}`,
    method === "Unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING,
    Message as never,
    Message as never,
    ({ value }: Message) => toBinary(BytesValueSchema, create(BytesValueSchema, { value })),
    (bytes: Uint8Array) => new Message((fromBinary(BytesValueSchema, bytes) as BytesValue).value),
  );
}

export function callByGrpcWeb(call: PageCall, outcome: Outcome, signal: AbortSignal): Promise<void> {
  const client = new GrpcWebClientBase({ format: call.client === "grpc-web, grpcwebtext" ? "text" : "binary" });
  const request = new Message(new TextEncoder().encode(call.value));
  const metadata: Metadata = { ...call.headers };
  if (call.timeoutMs !== undefined) metadata.deadline = String(Date.now() + call.timeoutMs);
  const descriptor = descriptorOf(call.method);
  const url = call.baseUrl + descriptor.getName();
  return new Promise((resolve) => {
    const fail = (error: RpcError) => {
      const details = error.metadata?.["grpc-status-details-bin"] ?? "";
      outcome.fail({ code: error.code, message: error.message, details: details && atob(details) }, error.metadata);
      resolve();
    };
    const stream =
      call.method === "Unary"
        ? client.rpcCall(url, request, metadata, descriptor, (error, reply) => {
            if (error !== null) return fail(error);
            outcome.reply(reply.value);
          })
        : client.serverStreaming(url, request, metadata, descriptor).on("data", (reply) => outcome.reply(reply.value));
    stream.on("metadata", (header) => outcome.head(header));
    stream.on("status", ({ code, metadata: trailers = {} }) => {
      if (code === 0) outcome.trailers(trailers);
    });
    if (call.method !== "Unary") stream.on("error", fail);
    stream.on("end", resolve);
    // It tells nobody of its own cancel.
    signal.addEventListener("abort", () => {
      stream.cancel();
      fail(new RpcError(1, "canceled on the page", {}));
    });
  });
}
