/** Upstreams of each protocol, made by hand: gRPC over HTTP/2, Connect and gRPC-Web over HTTP/1.1. */
import type { Protocol } from "./callers.ts";
import { startHttp1Upstream } from "./http1-upstream.ts";
import type { PeerStream } from "./peer-stream.ts";
import { startUpstream, type UpstreamOptions } from "./upstream.ts";
import { ConnectCall, GrpcCall, GrpcWebCall, type Reply, type UpstreamCall } from "./upstream-calls.ts";

export interface ProtocolUpstream {
  readonly protocol: Protocol;
  /** Of the configuration. */
  readonly config: { readonly endpoints: string[]; readonly protocols: Protocol[]; readonly http?: string };
  /** Every request whose head came. */
  readonly calls: UpstreamCall[];
  /** What the proxy sent that can't be read. */
  readonly malformed: readonly string[];
  /** Told of each call's head. Default: one message back as soon as the request is whole. */
  answer: (call: UpstreamCall) => void;
  close(): Promise<void>;
}

/** Answers once the request is whole. */
export function replyWith(reply: Reply): (call: UpstreamCall) => void {
  return (call) => call.whenEnded(() => call.reply(reply));
}

/** @param http2 for the one that speaks gRPC */
export async function startProtocolUpstream(
  protocol: Protocol,
  http2: Omit<UpstreamOptions, "handlers"> = {},
): Promise<ProtocolUpstream> {
  const calls: UpstreamCall[] = [];
  const own = { protocol, calls, answer: replyWith({}) };
  if (protocol === "grpc") {
    const onStream = (stream: PeerStream) => {
      const call = new GrpcCall(stream);
      calls.push(call);
      upstream.answer(call);
    };
    const { url, close } = await startUpstream({ ...http2, record: false, handlers: { "*": onStream } });
    const upstream: ProtocolUpstream = {
      ...own,
      config: { endpoints: [url], protocols: [protocol] },
      malformed: [],
      close,
    };
    return upstream;
  }
  const { url, close, malformed } = await startHttp1Upstream((request) => {
    const call = protocol === "grpc_web" ? new GrpcWebCall(request) : new ConnectCall(request);
    calls.push(call);
    upstream.answer(call);
  });
  const config = { endpoints: [url], protocols: [protocol], http: "1.1" };
  const upstream: ProtocolUpstream = { ...own, config, malformed, close };
  return upstream;
}
