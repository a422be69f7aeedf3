/** From an upstream's part of the configuration to its options. */
import type { Schema } from "../schema/schema.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import type { UpstreamTls } from "../upstream/tls.ts";
import type { UpstreamOptions } from "../upstream/upstream.ts";
import type { EndpointList } from "./check-endpoints.ts";
import { endpointsOf } from "./discovery.ts";
import { given } from "./given.ts";
import { http2Settings } from "./limits.ts";
import { breakerLimits, endpointTraffic, messageLimits, trafficOptions } from "./traffic.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

/** What an upstream is made of besides its own keys. */
export interface UpstreamSurroundings {
  readonly name: string;
  /** Texts of PEM files. */
  readonly pem: ReadonlyMap<string, string>;
  readonly schemas: ReadonlyMap<string, Schema>;
  readonly folder?: string | undefined;
}

export function upstreamOptions(
  config: UpstreamConfig,
  { pem, schemas, folder, name }: UpstreamSurroundings,
): Omit<UpstreamOptions, "name"> {
  return {
    endpoints: endpointsOf(config, { folder, upstream: name, optionsOf: endpointOptions }),
    http2: http2Settings(config.limits),
    limits: breakerLimits(config.limits),
    ...messageLimits(config.limits),
    ...trafficOptions(config),
    ...given({
      dns: config.dns,
      protocols: config.protocols,
      http: config.http,
      codecs: config.codecs,
      schema: typeof config.schema === "object" ? schemas.get(config.schema.image) : config.schema,
      tls: config.tls && upstreamTls(config.tls, pem),
      connectTimeoutMs: config.connect_timeout,
      maxConnections: config.max_connections,
      maxPending: config.max_pending,
    }),
  };
}

function endpointOptions(endpoint: EndpointList[number]): EndpointOptions {
  if (typeof endpoint === "string") return endpoint;
  const { url, name, server_name: serverName } = endpoint;
  return { url, ...given({ name, serverName }), ...endpointTraffic(endpoint) };
}

function upstreamTls(tls: NonNullable<UpstreamConfig["tls"]>, pem: ReadonlyMap<string, string>): UpstreamTls {
  const text = (path: string | undefined) => (path === undefined ? undefined : pem.get(path));
  return given({ ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key), serverName: tls.server_name });
}
