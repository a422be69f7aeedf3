/** The composition root: from a configuration to upstreams, a route table, a proxy and what it listens on. */
import { createProxy, type Proxy } from "../proxy.ts";
import type { CallRecord } from "../observe/call-record.ts";
import type { Log } from "../observe/log.ts";
import type { Rewrite } from "../route/director.ts";
import type { HeaderMatch, Match } from "../route/match.ts";
import { createRouteTable, type Route } from "../route/table.ts";
import type { ListenerOptions } from "../serve/listener.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import type { UpstreamTls } from "../upstream/transport.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../upstream/upstream.ts";
import { codeOfName } from "../wire/status.ts";
import { http2Settings } from "./limits.ts";
import type { Config, Listener, RouteConfig, UpstreamConfig } from "./schema.ts";

/** A configuration, and the texts of the PEM files that it names, by their paths in it. */
export interface Parts {
  readonly config: Config;
  readonly pem: ReadonlyMap<string, string>;
}

export interface Observers {
  readonly log: Log;
  readonly onCall?: (record: CallRecord) => void;
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
export function build({ config, pem }: Parts, { log, onCall }: Observers): Built {
  const upstreams = new Map(
    Object.entries(config.upstreams ?? {}).map(([name, given]) => {
      return [name, createUpstream({ ...upstreamOptions(given, pem), name, log })];
    }),
  );
  const director = createRouteTable(config.routes.map((route) => routeOf(route, upstreams)));
  const listeners: readonly Listener[] = config.listeners ?? [{ address: defaultAddress }];
  return {
    proxy: createProxy({ director, log, ...(onCall === undefined ? {} : { onCall }) }),
    listen: listeners.map((listener) => listenerOptions(listener, pem)),
    drainTimeoutMs: config.drain_timeout ?? 30_000,
    close() {
      for (const upstream of upstreams.values()) upstream.close();
    },
  };
}

function upstreamOptions(config: UpstreamConfig, pem: Parts["pem"]): Omit<UpstreamOptions, "name"> {
  return {
    endpoints: config.endpoints.map(endpointOptions),
    http2: http2Settings(config.limits),
    ...given({
      tls: config.tls && upstreamTls(config.tls, pem),
      connectTimeoutMs: config.connect_timeout,
      maxConnections: config.max_connections,
      maxPending: config.max_pending,
    }),
  };
}

function endpointOptions(endpoint: UpstreamConfig["endpoints"][number]): EndpointOptions {
  if (typeof endpoint === "string") return endpoint;
  return { url: endpoint.url, ...given({ name: endpoint.name, serverName: endpoint.server_name }) };
}

function upstreamTls(tls: NonNullable<UpstreamConfig["tls"]>, pem: Parts["pem"]): UpstreamTls {
  const text = (path: string | undefined) => (path === undefined ? undefined : pem.get(path));
  return given({ ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key), serverName: tls.server_name });
}

function listenerOptions({ address, tls, limits }: Listener, pem: Parts["pem"]): ListenerOptions {
  const http2 = http2Settings(limits);
  if (tls === undefined) return { address, http2 };
  const [cert, key] = [pem.get(tls.cert)!, pem.get(tls.key)!];
  return { address, http2, tls: { cert, key, ...given({ clientCa: tls.client_ca && pem.get(tls.client_ca) }) } };
}

function routeOf(config: RouteConfig, upstreams: ReadonlyMap<string, Upstream>): Route {
  const match = { match: matchOf(config.match ?? {}) };
  if (config.refuse !== undefined) {
    const { code, message = "refused" } = config.refuse;
    return { ...match, refuse: { code: codeOfName(code)!, message } };
  }
  return {
    ...match,
    to: upstreams.get(config.to!)!,
    ...given({ rewrite: rewriteOf(config), timeoutMs: config.timeout }),
  };
}

function matchOf({ service, method, authority, headers }: NonNullable<RouteConfig["match"]>): Match {
  const wanted = Object.entries(headers ?? {}).map(([name, value]) => [name, headerMatchOf(value)] as const);
  return given({ service, method, authority, headers: headers && Object.fromEntries(wanted) });
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

/** Without the keys that the file doesn't give, so that defaults hold. */
function given<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}
