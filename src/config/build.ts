/** The composition root: from a configuration to upstreams, a route table, a proxy and what it listens on. */
import type { Routes } from "../local/routes.ts";
import type { CallRecord, HttpRefusalRecord } from "../observe/call-record.ts";
import type { Log } from "../observe/log.ts";
import type { ServeHttp } from "../plain-http.ts";
import { createProxy, type Proxy } from "../proxy.ts";
import type { Director } from "../route/director.ts";
import { createRouteTable } from "../route/table.ts";
import type { Schema } from "../schema/schema.ts";
import type { ListenerOptions } from "../serve/listener.ts";
import { HealthState } from "../services/health.ts";
import { createUpstream, type Upstream } from "../upstream/upstream.ts";
import type { KeySets } from "./admission.ts";
import { listenerOptions } from "./build-listener.ts";
import { routeOf } from "./build-route.ts";
import { upstreamOptions } from "./build-upstream.ts";
import { fingerprint, type Snapshot } from "./changes.ts";
import { given } from "./given.ts";
import type { IncludedRoute } from "./include.ts";
import type { Listener } from "./listener-schema.ts";
import { localRoutes, servicesOf } from "./local.ts";
import { RetiredUpstreams } from "./retired.ts";
import { routeNames } from "./route-name.ts";
import type { Config } from "./schema.ts";

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
