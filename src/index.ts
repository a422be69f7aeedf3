/** The public API of rpc-manifold. */
export type { Call, Peer, PeerCertificate, Protocol } from "./call.ts";
export type { Http2Settings } from "./http2/settings.ts";
export { type AccessLogOptions, createAccessLog } from "./observe/access-log.ts";
export type { CallRecord } from "./observe/call-record.ts";
export { createLog, type Log, type LogOptions } from "./observe/log.ts";
export { createProxy, type Proxy, type ProxyOptions } from "./proxy.ts";
export type { Destination, Director, OneToOne, Rewrite } from "./route/director.ts";
export type { BoundAddress, ListenerOptions, ListenerTls } from "./serve/listener.ts";
export { type ServeOptions, type Server, serve } from "./serve/serve.ts";
export type { Balance } from "./upstream/balance.ts";
export { roundRobin } from "./upstream/balance.ts";
export type { EndpointOptions } from "./upstream/target.ts";
export { createUpstream, type Upstream, type UpstreamOptions } from "./upstream/upstream.ts";
