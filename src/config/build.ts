/** The composition root: from a configuration to upstreams, a route table, a proxy and what it listens on. */
import type { Routes } from "../local/routes.ts";
import type { CallRecord, HttpRefusalRecord } from "../observe/call-record.ts";
import type { Log } from "../observe/log.ts";
import type { ServeHttp } from "../plain-http.ts";
import { createProxy, type Proxy } from "../proxy.ts";
import type { Director, Rewrite } from "../route/director.ts";
import type { HeaderMatch, Match } from "../route/match.ts";
import type { RetryPolicy } from "../route/retry-policy.ts";
import { createRouteTable, type ForwardRoute, type Route } from "../route/table.ts";
import type { Schema } from "../schema/schema.ts";
import type { CorsOptions } from "../serve/cors.ts";
import type { ListenerOptions, ListenerTls } from "../serve/listener.ts";
import { HealthState } from "../services/health.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import type { UpstreamTls } from "../upstream/transport.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../upstream/upstream.ts";
import { codeOfName } from "../wire/status.ts";
import { admissionOptions, type KeySets } from "./admission.ts";
import { fanOutOptions, methodRewrite } from "./build-fan-out.ts";
import { fingerprint, type Snapshot } from "./changes.ts";
import type { EndpointList } from "./check-endpoints.ts";
import { endpointsOf } from "./discovery.ts";
import { given } from "./given.ts";
import type { IncludedRoute } from "./include.ts";
import { http1Settings, http2Settings } from "./limits.ts";
import { localRoutes, servicesOf } from "./local.ts";
import { RetiredUpstreams } from "./retired.ts";
import { routeNames } from "./route-name.ts";
import type { Config, Listener, RetryConfig, RouteConfig, UpstreamConfig } from "./schema.ts";
import { breakerLimits, endpointTraffic, messageLimits, trafficOptions } from "./traffic.ts";

/** A configuration, and what is in the files that it names, by their paths in it. */
export interface Parts {
  readonly config: Config;
  /** Texts of PEM files. */
  readonly pem: ReadonlyMap<string, string>;
  readonly schemas: ReadonlyMap<string, Schema>;
  /** Routes of other files: they come first. */
  readonly included?: readonly IncludedRoute[];
  /** Of the issuers of tokens. Default: none. */
  readonly keySets?: KeySets;
  /** Of the configuration file: endpoint files are relative to it. Default: the one that the process runs in. */
  readonly folder?: string | undefined;
  /** Services of our own beside the proxy. */
  readonly routes?: Routes | undefined;
  /** Digests of those files, to tell what has changed. Default: none, for a configuration that stays. */
  readonly digest?: Snapshot["digest"];
}

export interface Observers {
  readonly log: Log;
  readonly onCall?: (record: CallRecord) => void;
  readonly onHttpRefusal?: (record: HttpRefusalRecord) => void;
  /** Answers requests that are no RPC. */
  readonly serveHttp?: ServeHttp;
}

/** What the server has to know. */
export interface Serving {
  readonly listen: readonly ListenerOptions[];
  readonly drainDelayMs: number;
  readonly drainTimeoutMs: number;
}

export interface Built extends Serving {
  readonly proxy: Proxy;
  readonly health: HealthState;
  /** By name, as they are now. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /**
   * Makes ready to go on as another configuration says. An upstream whose settings are the same is the same, with its
   * connections and what is known of its endpoints.
   *
   * @throws TypeError for what can't be used; then nothing has changed
   */
  prepare(parts: Parts): Prepared;
  /** Closes the upstreams. */
  close(): void;
}

/** Either is to be called, once. */
export interface Prepared extends Serving {
  /** For new calls. Upstreams that aren't needed any more are closed when their last call has ended. */
  apply(): void;
  discard(): void;
}

export const defaultAddress = "127.0.0.1:8080";

/** Nothing is listened on, connected to or resolved yet. */
export function build(parts: Parts, { log, ...observers }: Observers): Built {
  let current = assemble(parts, new Map(), log);
  const retired = new RetiredUpstreams();
  const health = new HealthState();
  health.know(servicesOf(parts.routes));
  const decisions = ({ director }: Assembled, of: Parts) => ({
    director,
    ...given({ routes: localRoutes(of, health) }),
  });
  const proxy = createProxy({ ...decisions(current, parts), log, ...given(observers) });

  function change(to: Assembled, of: Parts): Prepared {
    const decided = decisions(to, of);
    return {
      ...servingOf(of),
      apply() {
        proxy.update(decided);
        health.know(servicesOf(of.routes));
        for (const upstream of missing(current, to)) retired.add(upstream);
        current = to;
      },
      discard: () => closeAll(missing(to, current)),
    };
  }

  return {
    ...servingOf(parts),
    proxy,
    health,
    get upstreams() {
      return new Map([...current.upstreams].map(([name, { upstream }]) => [name, upstream]));
    },
    prepare(next) {
      const to = assemble(next, current.upstreams, log);
      try {
        return change(to, next);
      } catch (error) {
        closeAll(missing(to, current));
        throw error;
      }
    },
    close() {
      closeAll([...current.upstreams.values()].map(({ upstream }) => upstream));
      retired.close();
    },
  };
}

/** An upstream, and the text of its settings. */
interface Known {
  readonly upstream: Upstream;
  readonly settings: string;
}

interface Assembled {
  readonly upstreams: ReadonlyMap<string, Known>;
  readonly director: Director;
}

function assemble(
  { config, included = [], pem, schemas, keySets = new Map(), folder, digest }: Parts,
  known: Assembled["upstreams"],
  log: Log,
): Assembled {
  const upstreams = new Map(
    Object.entries(config.upstreams ?? {}).map(([name, given]) => {
      const settings = fingerprint(given, digest ?? (() => undefined));
      const same = known.get(name);
      if (same?.settings === settings) return [name, same];
      const upstream = createUpstream({ ...upstreamOptions(given, { pem, schemas, folder, name }), name, log });
      return [name, { upstream, settings }];
    }),
  );
  const named = new Map([...upstreams].map(([name, { upstream }]) => [name, upstream]));
  const routes: readonly IncludedRoute[] = [...included, ...(config.routes ?? []).map((route) => ({ route }))];
  const names = routeNames(routes.map(({ route }) => route));
  const director = createRouteTable(
    routes.map(({ route, schema }, index) => ({
      ...routeOf(route, { upstreams: named, keySets }, schema),
      name: names[index]!,
    })),
  );
  return { upstreams, director };
}

function servingOf({ config, pem, keySets = new Map() }: Parts): Serving {
  const listeners: readonly Listener[] = config.listeners ?? [{ address: defaultAddress }];
  return {
    listen: listeners.map((listener) => listenerOptions(listener, pem, keySets)),
    drainDelayMs: config.drain_delay ?? 0,
    drainTimeoutMs: config.drain_timeout ?? 30_000,
  };
}

function closeAll(upstreams: readonly Upstream[]): void {
  for (const upstream of upstreams) upstream.close();
}

/** Those of the one that the other doesn't have. */
function missing(one: Assembled, other: Assembled): Upstream[] {
  const kept = new Set([...other.upstreams.values()].map(({ upstream }) => upstream));
  return [...one.upstreams.values()].map(({ upstream }) => upstream).filter((upstream) => !kept.has(upstream));
}

function upstreamOptions(
  config: UpstreamConfig,
  { pem, schemas, folder, name }: Pick<Parts, "pem" | "schemas" | "folder"> & { readonly name: string },
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

function upstreamTls(tls: NonNullable<UpstreamConfig["tls"]>, pem: Parts["pem"]): UpstreamTls {
  const text = (path: string | undefined) => (path === undefined ? undefined : pem.get(path));
  return given({ ca: text(tls.ca), cert: text(tls.cert), key: text(tls.key), serverName: tls.server_name });
}

function listenerOptions(listener: Listener, pem: Parts["pem"], keySets: KeySets | undefined): ListenerOptions {
  const { address, tls, cors, limits } = listener;
  return {
    ...admissionOptions(listener, keySets),
    address,
    http1: http1Settings(limits),
    http2: http2Settings(limits),
    ...given({
      maxConnections: limits?.connections,
      tls: tls && listenerTls(tls, pem),
      cors: cors && corsOptions(cors),
    }),
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

/** What routes are made of besides their own keys. */
interface Around {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly keySets: KeySets;
}

function routeOf(config: RouteConfig, { upstreams, keySets }: Around, schema?: Schema): Route {
  const match = { match: matchOf(config.match ?? {}) };
  if (config.refuse !== undefined) {
    const { code, message = "refused" } = config.refuse;
    return { ...match, refuse: { code: codeOfName(code)!, message } };
  }
  const changes = {
    ...given({ rewrite: rewriteOf(config), timeoutMs: config.timeout }),
    ...admissionOptions(config, keySets),
  };
  if (config.fan_out === undefined) {
    const retry = given({ retry: config.retry && retryPolicy(config.retry) });
    return { ...match, to: targetOf(config.to!, upstreams), ...changes, ...retry };
  }
  const rewrite = given({ ...changes.rewrite, ...methodRewrite(config.fan_out) });
  return { ...match, ...changes, rewrite, fanOut: fanOutOptions(config.fan_out, upstreams, schema) };
}

function retryPolicy(config: RetryConfig): RetryPolicy {
  return given({
    attempts: config.attempts,
    on: config.on?.map((name) => codeOfName(name)!),
    perTryTimeoutMs: config.per_try_timeout,
    holdReplyBytes: config.hold_reply,
    keepRequestBytes: config.keep_request,
    hedgeDelayMs: config.hedge_delay,
    maxBackoffMs: config.max_backoff,
  });
}

function targetOf(to: NonNullable<RouteConfig["to"]>, upstreams: ReadonlyMap<string, Upstream>): ForwardRoute["to"] {
  if (typeof to === "string") return upstreams.get(to)!;
  return to.map(({ upstream, weight }) => ({ upstream: upstreams.get(upstream)!, weight }));
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
