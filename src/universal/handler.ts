/** Handler: the proxy as a Connect `UniversalHandlerFn`, for servers that aren't ours. */
import { Code } from "@connectrpc/connect";
import type { UniversalHandlerFn, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { InboundRequest } from "../call.ts";
import type { StreamListener } from "../http2/api.ts";
import { startTurn } from "../http2/turn.ts";
import { encodeMessage } from "../wire/message.ts";
import { isGrpc, UniversalExchange } from "./exchange.ts";
import { ParsedBodyError, readRequest } from "./request.ts";

export { identityKey, peerKey } from "./request.ts";

/** What a handler needs of a proxy. */
export interface Acceptor {
  accept(request: InboundRequest): StreamListener;
}

export interface HandlerOptions {
  /** Taken off the front of each path, such as "/api" for a proxy that is mounted there. Default "". */
  readonly requestPathPrefix?: string;
}

/**
 * Makes a handler of a proxy. It speaks what the proxy speaks, as far as the host carries it: gRPC needs trailers, which only
 * hosts on `node:http2` can send, so on the others it is refused with an error that says so.
 *
 * @returns a handler whose promise rejects if the call is aborted; a host must then cut the connection or stream
 */
export function createHandler(proxy: Acceptor, options: HandlerOptions = {}): UniversalHandlerFn {
  const { requestPathPrefix = "" } = options;
  return async (request) => {
    if (isGrpc(request.header.get("content-type")) && !request.httpVersion.startsWith("2")) return noTrailers(request);
    try {
      return await run(proxy, request, { prefix: requestPathPrefix, hosted: true });
    } catch (error) {
      if (error instanceof ParsedBodyError) return plainText(500, `${error.message}: mount it before body parsers`);
      throw error;
    }
  };
}

export interface RunOptions {
  readonly prefix: string;
  readonly hosted: boolean;
}

/** Runs one request through the proxy. */
export function run(
  proxy: Acceptor,
  request: UniversalServerRequest,
  { prefix, hosted }: RunOptions,
): Promise<UniversalServerResponse> {
  const { fields, body, origin } = readRequest(request, prefix);
  const bodyless = request.method === "GET" || request.method === "HEAD";
  const exchange = new UniversalExchange({ body, signal: request.signal, bodyless, hosted });
  startTurn();
  exchange.start(proxy.accept({ stream: exchange, fields, origin }));
  return exchange.response;
}

const useOthers = "use gRPC-Web or Connect, or a host on node:http2";

/**
 * Over HTTP/1.1 no gRPC client can be at the other end: plain HTTP 505. Elsewhere the version is unknown, and one may be: a gRPC
 * status, all in the head, which needs no trailers.
 */
function noTrailers({ httpVersion }: UniversalServerRequest): UniversalServerResponse {
  if (httpVersion.startsWith("1"))
    return plainText(505, `gRPC needs HTTP/2, and this came over HTTP/${httpVersion}: ${useOthers}`);
  const message = `gRPC is not available here, because this host can't send HTTP trailers: ${useOthers}`;
  return {
    status: 200,
    header: new Headers([
      ["content-type", "application/grpc"],
      ["grpc-status", String(Code.Unimplemented)],
      ["grpc-message", encodeMessage(message)],
    ]),
  };
}

function plainText(status: number, text: string): UniversalServerResponse {
  const bytes = new TextEncoder().encode(`${text}\n`);
  return {
    status,
    header: new Headers([
      ["content-type", "text/plain; charset=utf-8"],
      ["content-length", String(bytes.length)],
    ]),
    body: (async function* () {
      yield bytes;
    })(),
  };
}
