/** From a route's part of the configuration to a route of the table. */
import type { Rewrite } from "../route/director.ts";
import type { HeaderMatch, Match } from "../route/match.ts";
import type { RetryPolicy } from "../route/retry-policy.ts";
import type { ForwardRoute, Route } from "../route/table.ts";
import type { Schema } from "../schema/schema.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { codeOfName } from "../wire/status.ts";
import { admissionOptions, type KeySets } from "./admission.ts";
import { fanOutOptions, methodRewrite } from "./build-fan-out.ts";
import { given } from "./given.ts";
import type { RetryConfig, RouteConfig } from "./route-schema.ts";

/** What routes are made of besides their own keys. */
export interface RouteSurroundings {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly keySets: KeySets;
}

export function routeOf(config: RouteConfig, { upstreams, keySets }: RouteSurroundings, schema?: Schema): Route {
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
