/** Transport: the proxy as a Connect `Transport`, in this process and without a socket. */
import type { Transport } from "@connectrpc/connect";
import type { CommonTransportOptions, UniversalClientFn } from "@connectrpc/connect/protocol";
import { createTransport as createConnectTransport } from "@connectrpc/connect/protocol-connect";
import { createTransport as createGrpcTransport } from "@connectrpc/connect/protocol-grpc";
import { createTransport as createGrpcWebTransport } from "@connectrpc/connect/protocol-grpc-web";
import type { Protocol } from "../call.ts";
import { type Acceptor, run } from "./handler.ts";

/** What Connect's own transports take, but for what there is only with a network. */
export interface ProxyTransportOptions extends Partial<Omit<CommonTransportOptions, "httpClient">> {
  /** The protocol that the proxy is spoken to in. Default "grpc": what most upstreams speak, so that nothing is translated. */
  readonly protocol?: Protocol;
  /** Its scheme and host are what directors and upstreams see as `:scheme` and `:authority`. Default "http://localhost". */
  readonly baseUrl?: string;
}

const createBy = { grpc: createGrpcTransport, grpc_web: createGrpcWebTransport, connect: createConnectTransport };

/**
 * Creates a transport whose calls run through the proxy's director, balancing and bridges. Deadlines, cancellation, headers and
 * trailers are carried as over a network; messages are in binary format unless told otherwise, and not compressed.
 */
export function createProxyTransport(proxy: Acceptor, options: ProxyTransportOptions = {}): Transport {
  const { protocol = "grpc", ...rest } = options;
  return createBy[protocol]({
    baseUrl: "http://localhost",
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: Number.MAX_SAFE_INTEGER,
    readMaxBytes: maxUint32,
    writeMaxBytes: maxUint32,
    ...rest,
    httpClient: inProcessClient(proxy),
  });
}

/** The longest message that an envelope can say the length of. */
const maxUint32 = 0xffffffff;

function inProcessClient(proxy: Acceptor): UniversalClientFn {
  return async ({ url, method, header, body = empty(), signal = never }) => {
    const response = await run(
      proxy,
      { httpVersion: "2.0", url, method, header, body, signal },
      { prefix: "", hosted: false },
    );
    return {
      status: response.status,
      header: response.header ?? new Headers(),
      body: response.body ?? empty(),
      trailer: response.trailer ?? new Headers(),
    };
  };
}

const never = new AbortController().signal;

async function* empty(): AsyncIterable<Uint8Array> {}
