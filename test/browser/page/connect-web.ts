/** Calls by @connectrpc/connect-web. */
import { create, type DescMethodStreaming, type DescMethodUnary } from "@bufbuild/protobuf";
import { type BytesValue, BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { testService } from "../../clients/rpc-client.ts";
import type { PageCall, PageFailure } from "./call.ts";
import { asText, type Outcome } from "./outcome.ts";

const methods = testService().methods;

function transportOf({ client, baseUrl }: PageCall): Transport {
  if (client === "connect-web, gRPC-Web") return createGrpcWebTransport({ baseUrl });
  return createConnectTransport({ baseUrl, useBinaryFormat: client === "connect-web, Connect, proto" });
}

export async function callByConnectWeb(call: PageCall, outcome: Outcome, signal: AbortSignal): Promise<void> {
  const transport = transportOf(call);
  const { timeoutMs, headers } = call;
  const method = methods.find(({ name }) => name === call.method)!;
  const request = create(BytesValueSchema, { value: new TextEncoder().encode(call.value) });
  const take = (reply: unknown) => outcome.reply((reply as BytesValue).value);
  try {
    if (call.method === "Unary") {
      const reply = await transport.unary(method as DescMethodUnary, signal, timeoutMs, headers, request);
      outcome.head(reply.header);
      take(reply.message);
      outcome.trailers(reply.trailer);
    } else {
      const requests = (async function* () {
        yield request;
      })();
      const stream = await transport.stream(method as DescMethodStreaming, signal, timeoutMs, headers, requests);
      outcome.head(stream.header);
      for await (const reply of stream.message) take(reply);
      outcome.trailers(stream.trailer);
    }
  } catch (error) {
    outcome.fail(failureOf(ConnectError.from(error)), ConnectError.from(error).metadata);
  }
}

function failureOf({ code, rawMessage, details }: ConnectError): PageFailure {
  const written = details.map((detail) =>
    "type" in detail && "value" in detail ? `${detail.type} ${asText(detail.value)}` : "",
  );
  return { code, message: rawMessage, details: written.join("\n") };
}
