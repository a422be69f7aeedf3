/** The client of checks.ts over connect-node's gRPC transport. */
import { create, type DescMethod, type DescMethodStreaming, type DescMethodUnary } from "@bufbuild/protobuf";
import { type BytesValue, BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type ClientTarget, type RpcClient, RpcFailure, testService } from "./rpc-client.ts";

const limits = { readMaxBytes: 64 << 20, writeMaxBytes: 64 << 20 };

export function connectNodeClient({ port, ca }: ClientTarget): RpcClient {
  const baseUrl = `${ca ? "https" : "http"}://127.0.0.1:${port}`;
  const sessionManager = new Http2SessionManager(baseUrl, {}, ca ? { ca } : {});
  const transport = createGrpcTransport({ baseUrl, sessionManager, ...limits });
  const methods = testService().methods;
  return {
    async call(name, requests, options = {}) {
      const method = methods.find((one) => one.name === name)!;
      const { signal, timeoutMs, headers: pairs = [], onReply } = options;
      const headers = new Headers();
      for (const [key, value] of pairs) headers.append(key, value);
      const replies: Uint8Array[] = [];
      const take = (reply: BytesValue) => {
        replies.push(reply.value);
        onReply?.(reply.value);
      };
      try {
        const input = asMessages(requests);
        let response: { header: Headers; trailer: Headers };
        if (isUnary(method)) {
          const unary = await transport.unary(method, signal, timeoutMs, headers, (await input.next()).value ?? {});
          take(unary.message as BytesValue);
          response = unary;
        } else {
          const stream = await transport.stream(method as DescMethodStreaming, signal, timeoutMs, headers, input);
          for await (const reply of stream.message) take(reply as BytesValue);
          response = stream;
        }
        const list = (from: Headers, key: string) => from.get(key)?.split(", ") ?? [];
        const { header, trailer } = response;
        return { replies, header: (key) => list(header, key), trailer: (key) => list(trailer, key) };
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error);
        throw new RpcFailure(code, rawMessage);
      }
    },
    close: () => sessionManager.abort(),
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

async function* asMessages(values: AsyncIterable<Uint8Array>): AsyncGenerator<BytesValue> {
  for await (const value of values) yield create(BytesValueSchema, { value });
}
