/** Options of an upstream, checked, and what they make of its endpoints. */
import type { Protocol } from "../call.ts";
import { checkSettings, type Http2Settings } from "../http2/settings.ts";
import type { Log } from "../observe/log.ts";
import type { Schema } from "../schema/schema.ts";
import type { MessageLimits } from "../wire/message-limit.ts";
import type { Balance } from "./balance.ts";
import { type BreakerLimits, defaultBreaker } from "./breaker.ts";
import { type CheckedHealth, checkHealth, type HealthOptions } from "./check/options.ts";
import type { DnsOptions } from "./discovery.ts";
import { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint-parts.ts";
import type { Discovery } from "./endpoint-source.ts";
import { type MessageLimitOptions, messageLimits } from "./limited-connection.ts";
import { defaultOutlier, type OutlierSettings } from "./outlier.ts";
import type { SubsetOptions } from "./subsets.ts";
import { type EndpointOptions, hostPort, parseTarget, type Target } from "./target.ts";
import { createTlsContext, type UpstreamTls } from "./tls.ts";
import type { Dial } from "./transport.ts";
import type { Upstream } from "./upstream.ts";

export interface UpstreamOptions extends MessageLimitOptions {
  /** What logs call it. */
  readonly name: string;
  /** At least one, or what tells of them. Every address of a host name is an endpoint of its own. */
  readonly endpoints: readonly EndpointOptions[] | Discovery;
  /** Who is asked for the addresses of host names. Default: the system. */
  readonly dns?: DnsOptions;
  /** What its endpoints speak; a call in one of these passes verbatim, any other is bridged to the first. Default gRPC. */
  readonly protocols?: readonly Protocol[];
  /** The HTTP version that they are spoken to in; gRPC needs "2". Default "2". */
  readonly http?: "2" | "1.1";
  /** Codecs that its handlers read. A bridged call in JSON is translated if "json" isn't among them. Default "proto" alone. */
  readonly codecs?: readonly string[];
  /** Descriptors of its methods, for what can't be done with opaque bytes; or that it is asked for them. Default: none. */
  readonly schema?: Schema | "reflection";
  /** Default: `roundRobin()`. */
  readonly balance?: Balance;
  /** Endpoints by the value of a label that a header of the call names. Default: every call may go to all. */
  readonly subset?: SubsetOptions;
  /** How endpoints are asked whether they serve, before and while calls go there. Default: not at all. */
  readonly health?: HealthOptions;
  /** When failed calls make an endpoint be left alone; `false`: never. Default: 5 in a row, for 30 s, as Envoy. */
  readonly outlier?: Partial<OutlierSettings> | false;
  /** Percent of endpoints that must be ready, else all are used, ready or not; 0: never. Default 50, as Envoy. */
  readonly panicPercent?: number;
  /** How much of it may be in use at once. Defaults 1,024 connections, calls waiting and calls; 3 retries. */
  readonly limits?: Partial<BreakerLimits>;
  /** For endpoints with an https URL. */
  readonly tls?: UpstreamTls;
  /** Milliseconds for TCP, TLS and the peer's first SETTINGS together. Default 5 s, as Envoy. */
  readonly connectTimeoutMs?: number;
  /**
   * Connections per endpoint, opened only as they are needed. Default 4, each for as many calls as the peer's
   * MAX_CONCURRENT_STREAMS allows; over HTTP/1.1, where each carries one call at a time, 1,024, as Envoy.
   */
  readonly maxConnections?: number;
  /** Calls per endpoint that may wait for room; one more is answered `unavailable`. Default 1,024, as Envoy. */
  readonly maxPending?: number;
  /** RST_STREAM frames sent on a connection before another takes its place. Default 500, half of nghttp2's limit. */
  readonly maxResetsPerConnection?: number;
  /** Settings of its connections where they differ from the defaults; those without a meaning to HTTP/1.1 are ignored there. */
  readonly http2?: Partial<Http2Settings>;
  readonly log?: Log;
}

const protocols: readonly string[] = ["grpc", "grpc_web", "connect"] satisfies Protocol[];

const defaults = { connectTimeoutMs: 5_000, maxConnections: 4, maxPending: 1_024, maxResetsPerConnection: 500 };

export type UpstreamLimits = typeof defaults;

/** Options whose values are known to be good. */
export interface CheckedOptions {
  readonly options: UpstreamOptions;
  readonly targets: readonly Target[];
  readonly limits: UpstreamLimits;
  readonly breaker: BreakerLimits;
  readonly outlier: OutlierSettings | undefined;
  readonly panicPercent: number;
  /** Undefined where messages may have any size. */
  readonly messages: MessageLimits | undefined;
  /** Undefined where health isn't checked. */
  readonly health: CheckedHealth | undefined;
  /** Undefined where no endpoint is https. */
  readonly tlsContext: ReturnType<typeof createTlsContext> | undefined;
}

/**
 * @throws TypeError naming the value, if an endpoint isn't a URL, a limit isn't a positive number, TLS settings don't fit, or a
 * protocol isn't known or isn't one that the HTTP version carries
 * @throws RangeError naming it, if a setting of HTTP/2 isn't one or can't have its value
 */
export function checkOptions(options: UpstreamOptions): CheckedOptions {
  const targets = typeof options.endpoints === "function" ? [] : options.endpoints.map(parseTarget);
  if (targets.length === 0 && typeof options.endpoints !== "function")
    throw new TypeError(`upstream "${options.name}" has no endpoints`);
  checkProtocols(options);
  checkSettings(options.http2 ?? {}, `upstream "${options.name}": http2`);
  const { name, outlier = {}, panicPercent = 50, health } = options;
  const upstream = `upstream "${name}"`;
  if (!(panicPercent >= 0 && panicPercent <= 100)) {
    throw new TypeError(`${upstream}: panicPercent must be from 0 to 100, not ${panicPercent}`);
  }
  return {
    options,
    targets,
    limits: limitsOf(options),
    breaker: withDefaults(defaultBreaker, options.limits, `${upstream}: limits.`),
    outlier: outlier === false ? undefined : withDefaults(defaultOutlier, outlier, `${upstream}: outlier.`),
    panicPercent,
    messages: messageLimits(`upstream "${options.name}"`, options),
    health: health && checkHealth(health, options),
    tlsContext: tlsContextOf(options, targets),
  };
}

/** @throws TypeError naming the value that isn't a number above 0 */
function withDefaults<T extends object>(defaults: T, given: Partial<T> = {}, where: string): T {
  const all = { ...defaults };
  for (const key of Object.keys(defaults) as (keyof T & string)[]) {
    const value = given[key];
    if (value === undefined) continue;
    if (!(Number(value) > 0)) throw new TypeError(`${where}${key} must be more than 0, not ${String(value)}`);
    all[key] = value;
  }
  return all;
}

/** Makes the endpoints of an upstream, which differ in their target and address only. */
export function endpointFactory(checked: CheckedOptions, dial: Dial, owner: EndpointOwner & Upstream) {
  const { options, limits, tlsContext, outlier, messages, health } = checked;
  const { tls, http2, log } = options;
  return (target: Target, addresses: readonly string[]): Endpoint => {
    const { port, secure } = target;
    const serverName = target.serverName ?? tls?.serverName ?? target.host;
    return new Endpoint({
      roomOfNew: options.http === "1.1" ? 1 : 100,
      target,
      address: hostPort(addresses.length === 1 ? addresses[0]! : target.host, port),
      limits,
      dial,
      dialOptions: {
        addresses,
        port,
        tls: secure ? { context: tlsContext, serverName } : undefined,
        timeoutMs: limits.connectTimeoutMs,
        http2,
      },
      owner,
      outlier,
      messages,
      checked: health !== undefined,
      upstream: options.name,
      log,
    });
  };
}

function checkProtocols({ name, protocols: given = ["grpc"], http = "2" }: UpstreamOptions): void {
  if (http !== "2" && http !== "1.1")
    throw new TypeError(`upstream "${name}": http must be "2" or "1.1", not "${http}"`);
  if (given.length === 0) throw new TypeError(`upstream "${name}" has no protocols`);
  const unknown = given.find((protocol) => !protocols.includes(protocol));
  if (unknown !== undefined) {
    throw new TypeError(`upstream "${name}": unknown protocol "${unknown}", expected ${protocols.join(", ")}`);
  }
  if (http === "1.1" && given.includes("grpc")) {
    throw new TypeError(`upstream "${name}": gRPC needs HTTP/2; over http "1.1" give protocols grpc_web or connect`);
  }
}

function limitsOf(options: UpstreamOptions): UpstreamLimits {
  const limits = { ...defaults, ...(options.http === "1.1" ? { maxConnections: 1_024 } : {}) };
  for (const key of Object.keys(defaults) as (keyof UpstreamLimits)[]) {
    const value = options[key];
    if (value === undefined) continue;
    if (!Number.isFinite(value) || value <= 0) {
      throw new TypeError(`upstream "${options.name}": ${key} must be more than 0, not ${value}`);
    }
    limits[key] = value;
  }
  return limits;
}

function tlsContextOf(
  { name, tls, endpoints }: UpstreamOptions,
  targets: readonly Target[],
): CheckedOptions["tlsContext"] {
  // what will be discovered is not known yet
  const secure = targets.some((target) => target.secure) || (typeof endpoints === "function" && tls !== undefined);
  if (tls !== undefined && !secure) {
    throw new TypeError(`upstream "${name}" has tls settings, but none of its endpoints is https`);
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new TypeError(`upstream "${name}": tls.cert and tls.key belong together`);
  }
  if (!secure) return undefined;
  try {
    return createTlsContext(tls ?? {});
  } catch (error) {
    throw new TypeError(`upstream "${name}": ${(error as Error).message}`, { cause: error });
  }
}
