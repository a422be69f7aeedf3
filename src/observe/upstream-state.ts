/** Upstream state: what is known of upstreams and their endpoints, as plain data, added up over processes. */
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Family, Sample } from "./exposition.ts";

export interface UpstreamState {
  readonly name: string;
  /** Fewer endpoints are ready than it takes, so all are used. */
  readonly panic: boolean;
  /** Since it was made. */
  readonly attempts: number;
  /** Attempts that speak against their endpoint. */
  readonly failures: number;
  readonly ejections: number;
  /** What each of its limits has turned away, by the limit's name. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly endpoints: readonly EndpointStateReport[];
}

export interface EndpointStateReport {
  readonly name: string;
  readonly address: string;
  /** As of its connections; where processes differ, all of them: "ready, connecting". */
  readonly state: string;
  /** Whether calls may come here at all. */
  readonly enabled: boolean;
  /** What its health checks say. */
  readonly healthy: boolean;
  /** It gets no calls for a while, for it has failed too many. */
  readonly ejected: boolean;
  readonly connections: number;
  /** Calls. */
  readonly streams: number;
  /** Calls that wait for room. */
  readonly pending: number;
}

export function stateOf({ name, stats, endpoints }: Upstream): UpstreamState {
  const { panic, attempts, failures, ejections, rejected } = stats;
  return {
    name,
    panic,
    attempts,
    failures,
    ejections,
    rejected: { ...rejected },
    endpoints: endpoints.map(endpointState),
  };
}

function endpointState(endpoint: Endpoint): EndpointStateReport {
  const { name, address, state, enabled, healthy, ejected, connectionCount, streamCount, pendingCount } = endpoint;
  return {
    name,
    address,
    state,
    enabled,
    healthy,
    ejected,
    connections: connectionCount,
    streams: streamCount,
    pending: pendingCount,
  };
}

/** Lets calls go to the endpoints of a name, or not. @returns false where there is none */
export function switchEndpoints(upstream: Upstream | undefined, name: string, enabled: boolean): boolean {
  const found = upstream?.endpoints.filter((endpoint) => endpoint.name === name) ?? [];
  for (const endpoint of found) endpoint.enabled = enabled;
  return found.length > 0;
}

/** The same upstreams in several processes, as one. */
export function addUpStates(processes: readonly (readonly UpstreamState[])[]): UpstreamState[] {
  const names = [...new Set(processes.flat().map(({ name }) => name))];
  return names.map((name) => {
    const same = processes.flatMap((states) => states.filter((one) => one.name === name));
    const endpoints = same.flatMap((one) => one.endpoints);
    const keys = [...new Set(endpoints.map(keyOf))];
    return {
      name,
      panic: same.some(({ panic }) => panic),
      attempts: sumOf(same.map(({ attempts }) => attempts)),
      failures: sumOf(same.map(({ failures }) => failures)),
      ejections: sumOf(same.map(({ ejections }) => ejections)),
      rejected: sumByKey(same.map(({ rejected }) => rejected)),
      endpoints: keys.map((key) => joined(endpoints.filter((one) => keyOf(one) === key))),
    };
  });
}

function keyOf({ name, address }: EndpointStateReport): string {
  return `${name} ${address}`;
}

function joined(all: readonly EndpointStateReport[]): EndpointStateReport {
  const sum = (key: "connections" | "streams" | "pending") => sumOf(all.map((one) => one[key]));
  return {
    ...all[0]!,
    state: [...new Set(all.map(({ state }) => state))].join(", "),
    enabled: all.every(({ enabled }) => enabled),
    healthy: all.every(({ healthy }) => healthy),
    ejected: all.some(({ ejected }) => ejected),
    connections: sum("connections"),
    streams: sum("streams"),
    pending: sum("pending"),
  };
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function sumByKey(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const [key, value] of all.flatMap(Object.entries<number>)) total[key] = (total[key] ?? 0) + value;
  return total;
}

/** Counters of upstreams. */
export function attemptFamilies(upstreams: readonly UpstreamState[]): Family[] {
  const counter = (name: string, help: string, key: "attempts" | "failures" | "ejections"): Family => ({
    name,
    type: "counter",
    help,
    samples: upstreams.map((one) => ({ labels: { upstream: one.name }, value: one[key] })),
  });
  return [
    counter("manifold_upstream_attempts_total", "Attempts of calls, retries included.", "attempts"),
    counter("manifold_upstream_failures_total", "Attempts that speak against their endpoint.", "failures"),
    counter("manifold_upstream_ejections_total", "Endpoints that were left alone for failing.", "ejections"),
    {
      name: "manifold_upstream_rejections_total",
      type: "counter",
      help: "What an upstream's limit has turned away: calls, or connections and tries that there might have been.",
      samples: upstreams.flatMap(({ name: upstream, rejected }) =>
        Object.entries(rejected).map(([limit, value]) => ({ labels: { upstream, limit }, value })),
      ),
    },
  ];
}

/** Gauges of endpoints. What isn't a number is 1 in every process where it is so. */
export function upstreamFamilies(upstreams: readonly UpstreamState[]): Family[] {
  const gauge = (name: string, help: string, valueOf: (endpoint: EndpointStateReport) => number): Family => ({
    name,
    type: "gauge",
    help,
    samples: upstreams.flatMap(({ name: upstream, endpoints }) =>
      endpoints.map((one): Sample => {
        return { labels: { upstream, endpoint: one.name, address: one.address }, value: valueOf(one) };
      }),
    ),
  });
  return [
    gauge("manifold_upstream_connections", "Connections to an endpoint.", ({ connections }) => connections),
    gauge("manifold_upstream_streams", "Calls open at an endpoint.", ({ streams }) => streams),
    gauge("manifold_upstream_pending", "Calls that wait for room at an endpoint.", ({ pending }) => pending),
    gauge("manifold_endpoint_usable", "Processes whose calls may go to an endpoint.", (one) =>
      Number(one.enabled && one.healthy && !one.ejected && one.state !== "failing" && one.state !== "closed"),
    ),
  ];
}
