/** The composition root: from a configuration to upstreams, a route table, a proxy and what it listens on. */
import type { Routes } from "../local/routes.ts";
import type { CallRecord } from "../observe/call-record.ts";
import type { Log } from "../observe/log.ts";
import type { ServeHttp } from "../plain-http.ts";
import { createProxy, type Proxy } from "../proxy.ts";
import type { Rewrite } from "../route/director.ts";
import type { HeaderMatch, Match } from "../route/match.ts";
import { createRouteTable, type Route } from "../route/table.ts";
import type { Schema } from "../schema/schema.ts";
import type { CorsOptions } from "../serve/cors.ts";
import type { ListenerOptions, ListenerTls } from "../serve/listener.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import type { UpstreamTls } from "../upstream/transport.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../upstream/upstream.ts";
import { codeOfName } from "../wire/status.ts";
import { admissionOptions, type KeySets } from "./admission.ts";
import type { EndpointList } from "./check-endpoints.ts";
import { endpointsOf } from "./discovery.ts";
import { given } from "./given.ts";
import { http1Settings, http2Settings } from "./limits.ts";
import type { Config, Listener, RouteConfig, UpstreamConfig } from "./schema.ts";

/** A configuration, and what is in the files that it names, by their paths in it. */
export interface Parts {
  readonly config: Config;
  /** Texts of PEM files. */
  readonly pem: ReadonlyMap<string, string>;
  readonly schemas: ReadonlyMap<string, Schema>;
  /** Of the issuers of tokens. Default: none. */
  readonly keySets?: KeySets;
  /** Of the configuration file: endpoint files are relative to it. Default: the one that the process runs in. */
  readonly folder?: string | undefined;
  /** Services of our own beside the proxy. */
  readonly routes?: Routes | undefined;
}

export interface Observers {
  readonly log: Log;
  readonly onCall?: (record: CallRecord) => void;
  /** Answers requests that are no RPC. */
  readonly serveHttp?: ServeHttp;
}

export interface Built {
  readonly proxy: Proxy;
  readonly listen: readonly ListenerOptions[];
  readonly drainTimeoutMs: number;
  /** Closes the upstreams. */
  close(): void;
}

export const defaultAddress = "127.0.0.1:8080";

/** Nothing is listened on, connected to or resolved yet. */
export function build(
  { config, pem, schemas, keySets = new Map(), folder, routes }: Parts,
  { log, onCall, serveHttp }: Observers,
): Built {
  const upstreams = new Map(
    Object.entries(config.upstreams ?? {}).map(([name, given]) => {
      return [name, createUpstream({ ...upstreamOptions(given, { pem, schemas, folder, name }), name, log })];
    }),
  );
  const director = createRouteTable(config.routes.map((route) => routeOf(route, upstreams, keySets)));
  const listeners: readonly Listener[] = config.listeners ?? [{ address: defaultAddress }];
  return {
    proxy: createProxy({ director, log, ...given({ onCall, routes, serveHttp }) }),
    listen: listeners.map((listener) => listenerOptions(listener, pem, keySets)),
    drainTimeoutMs: config.drain_timeout ?? 30_000,
    close() {
      for (const upstream of upstreams.values()) upstream.close();
    },
  };
}

function upstreamOptions(
  config: UpstreamConfig,
  { pem, schemas, folder, name }: Pick<Parts, "pem" | "schemas" | "folder"> & { readonly name: string },
): Omit<UpstreamOptions, "name"> {
  return {
    endpoints: endpointsOf(config, { folder, upstream: name, optionsOf: endpointOptions }),
    http2: http2Settings(config.limits),
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
  return { url: endpoint.url, ...given({ name: endpoint.name, serverName: endpoint.server_name }) };
}

function upstreamTls(tls: NonNullable<UpstreamConfig["tls"]>, pem: Parts["pem"]): UpstreamTls {
  const text = (path: string | undefined) => (path === undefined ? undefined : pem.get(path));
  return given({ ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key), serverName: tls.server_name });
}

function listenerOptions(listener: Listener, pem: Parts["pem"], keySets: KeySets): ListenerOptions {
  const { address, tls, cors, limits } = listener;
  return {
    ...admissionOptions(listener, keySets),
    address,
    http1: http1Settings(limits),
    http2: http2Settings(limits),
    ...given({ tls: tls && listenerTls(tls, pem), cors: cors && corsOptions(cors) }),
  };
}

function listenerTls(tls: NonNullable<Listener["tls"]>, pem: Parts["pem"]): ListenerTls {
  const [cert, key] = [pem.get(tls.cert)!, pem.get(tls.key)!];
  return { cert, key, ...given({ clientCa: tls.client_ca && pem.get(tls.client_ca) }) };
}

function corsOptions({ origins, ...cors }: NonNullable<Listener["cors"]>): CorsOptions {
  const { allow_headers: allowHeaders, expose_headers: exposeHeaders, credentials, max_age: maxAgeMs } = cors;
  const maxAge = maxAgeMs === undefined ? undefined : maxAgeMs / 1_000;
  return { origins, ...given({ allowHeaders, exposeHeaders, credentials, maxAge }) };
}

function routeOf(config: RouteConfig, upstreams: ReadonlyMap<string, Upstream>, keySets: KeySets): Route {
  const match = { match: matchOf(config.match ?? {}) };
  if (config.refuse !== undefined) {
    const { code, message = "refused" } = config.refuse;
    return { ...match, refuse: { code: codeOfName(code)!, message } };
  }
  return {
    ...match,
    ...admissionOptions(config, keySets),
    to: upstreams.get(config.to!)!,
    ...given({ rewrite: rewriteOf(config), timeoutMs: config.timeout }),
  };
}

function matchOf({ headers, claims, ...match }: NonNullable<RouteConfig["match"]>): Match {
  return given({ ...match, headers: headers && headerMatches(headers), claims: claims && headerMatches(claims) });
}

function headerMatches(wanted: NonNullable<NonNullable<RouteConfig["match"]>["headers"]>): Record<string, HeaderMatch> {
  return Object.fromEntries(Object.entries(wanted).map(([name, value]) => [name, headerMatchOf(value)]));
}

function headerMatchOf(value: NonNullable<NonNullable<RouteConfig["match"]>["headers"]>[string]): HeaderMatch {
  if (typeof value === "string") return value;
  return value.prefix === undefined ? { present: value.present! } : { prefix: value.prefix };
}

function rewriteOf(config: RouteConfig): Rewrite | undefined {
  const { rewrite, add_headers: added, remove_headers: removeHeaders } = config;
  if (rewrite === undefined && added === undefined && removeHeaders === undefined) return undefined;
  const addHeaders = Object.entries(added ?? {}).flatMap(([name, values]) =>
    [values].flat().map((value) => [name, value] as const),
  );
  return given({ ...rewrite, addHeaders, removeHeaders });
}
