/** The client of checks.ts over @grpc/grpc-js. */
import * as grpc from "@grpc/grpc-js";
import {
  type CallOptions,
  type ClientTarget,
  decode,
  encode,
  type Method,
  type Reply,
  type RpcClient,
  RpcFailure,
  servicePath,
} from "./rpc-client.ts";

const serialize = (value: Uint8Array) => Buffer.from(encode(value));
const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

export function grpcJsClient({ port, ca }: ClientTarget): RpcClient {
  const credentials = ca ? grpc.credentials.createSsl(Buffer.from(ca)) : grpc.credentials.createInsecure();
  const client = new grpc.Client(`127.0.0.1:${port}`, credentials, unlimited);
  return {
    call: (method, requests, options = {}) => makeCall(client, { method, requests, options }),
    close: () => client.close(),
  };
}

interface OneCall {
  method: Method;
  requests: AsyncIterable<Uint8Array>;
  options: CallOptions;
}

type AnyCall = grpc.ClientUnaryCall &
  Partial<Pick<grpc.ClientWritableStream<Uint8Array>, "write" | "end">> &
  Partial<Pick<grpc.ClientReadableStream<Uint8Array>, "read">>;

function makeCall(client: grpc.Client, { method, requests, options }: OneCall): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const replies: Uint8Array[] = [];
    let headers = new grpc.Metadata();
    let failure: grpc.ServiceError | undefined;
    const onReply = (reply: Uint8Array | undefined) => {
      if (reply === undefined) return;
      replies.push(reply);
      options.onReply?.(reply);
    };
    const open = (first: Uint8Array): AnyCall => startOn(client, { method, first, options, onReply });
    void (async () => {
      const iterator = requests[Symbol.asyncIterator]();
      const streams = method === "ClientStream" || method === "Bidi";
      const call = open(streams ? new Uint8Array() : ((await iterator.next()).value as Uint8Array));
      options.signal?.addEventListener("abort", () => call.cancel());
      call.on("metadata", (metadata) => {
        headers = metadata;
      });
      call.on("error", (error) => {
        failure = error as grpc.ServiceError;
      });
      call.on("data", onReply);
      call.on("status", (status) => {
        if (status.code !== 0) return reject(new RpcFailure(status.code, status.details));
        // node:http2, below grpc-js, joins what came more than once
        const list = (metadata: grpc.Metadata, name: string) =>
          metadata.get(name).flatMap((value) => asText(value).split(", "));
        // the reply of a unary call is told after the status
        setImmediate(() => {
          if (failure !== undefined) return reject(new RpcFailure(failure.code, failure.details));
          resolve({ replies, header: (name) => list(headers, name), trailer: (name) => list(status.metadata, name) });
        });
      });
      if (!streams) return;
      for await (const request of { [Symbol.asyncIterator]: () => iterator }) {
        if (call.write?.(request) === false) await new Promise((drained) => call.once("drain", drained));
      }
      call.end?.();
    })().catch(reject);
  });
}

function startOn(
  client: grpc.Client,
  {
    method,
    first,
    options,
    onReply,
  }: { method: Method; first: Uint8Array; options: CallOptions; onReply: (reply: Uint8Array | undefined) => void },
): AnyCall {
  const metadata = new grpc.Metadata();
  for (const [name, value] of options.headers ?? []) {
    metadata.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  }
  const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
  const path = servicePath + method;
  const done = (_: unknown, reply?: Uint8Array) => onReply(reply);
  switch (method) {
    case "Unary":
      return client.makeUnaryRequest(path, serialize, decode, first, metadata, { deadline }, done) as AnyCall;
    case "ServerStream":
      return client.makeServerStreamRequest(path, serialize, decode, first, metadata, { deadline }) as AnyCall;
    case "ClientStream":
      return client.makeClientStreamRequest(path, serialize, decode, metadata, { deadline }, done) as AnyCall;
    case "Bidi":
      return client.makeBidiStreamRequest(path, serialize, decode, metadata, { deadline }) as AnyCall;
  }
}

function asText(value: grpc.MetadataValue): string {
  return typeof value === "string" ? value : value.toString("base64").replace(/=+$/, "");
}
