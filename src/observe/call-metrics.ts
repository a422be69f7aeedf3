/** Call metrics: counters of calls that are over. A call costs a few look-ups and additions; all else is done when somebody asks. */
import { statusName } from "../wire/status.ts";
import type { CallRecord } from "./call-record.ts";
import type { Family, Sample } from "./exposition.ts";

/** Upper bounds in milliseconds, as Envoy and the client libraries have them, with finer ones below 5 ms: a proxied call is fast. */
const boundsMs = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/** Everything of one route, upstream and protocol. */
interface Series {
  readonly route: string;
  readonly upstream: string;
  readonly protocol: string;
  /** By status. */
  readonly calls: Map<number, number>;
  /** Calls by the first bound that they don't exceed; the last is for those beyond all. */
  readonly durations: number[];
  durationMs: number;
  requestBytes: number;
  responseBytes: number;
}

/** What no route has taken, or a route has refused. */
const none = "";

/** Statuses that gRPC doesn't know are counted as one: an upstream could send any number of them. */
const otherStatus = 17;

export class CallMetrics {
  /** By route, then upstream, then protocol: all of them names that the configuration gives, and no caller. */
  readonly #byRoute = new Map<string, Map<string, Map<string, Series>>>();
  /** By the limit's name. */
  readonly #rejections = new Map<string, number>();

  /** Counts a call. An `onCall` of a proxy. */
  readonly record = (record: CallRecord): void => {
    const upstream = record.upstream ?? (record.endpoint === "local" ? "local" : none);
    const series = this.#series(record.route ?? none, upstream, record.call.protocol);
    const status = Math.min(record.status, otherStatus);
    series.calls.set(status, (series.calls.get(status) ?? 0) + 1);
    series.durationMs += record.durationMs;
    series.requestBytes += record.requestBytes;
    series.responseBytes += record.responseBytes;
    let bound = 0;
    while (bound < boundsMs.length && record.durationMs > boundsMs[bound]!) bound++;
    series.durations[bound]!++;
    if (record.limit !== undefined) this.reject(record.limit);
  };

  /** Counts something that a limit has turned away. */
  reject(limit: string): void {
    this.#rejections.set(limit, (this.#rejections.get(limit) ?? 0) + 1);
  }

  families(): Family[] {
    const all = [...this.#byRoute.values()].flatMap((routes) =>
      [...routes.values()].flatMap((series) => [...series.values()]),
    );
    const counter = (name: string, help: string, samples: Sample[]): Family => ({
      name,
      type: "counter",
      help,
      samples,
    });
    return [
      counter(
        "manifold_calls_total",
        "Calls that are over, by the gRPC status that the caller got.",
        all.flatMap(calls),
      ),
      {
        name: "manifold_call_duration_seconds",
        type: "histogram",
        help: "Time from a call's headers to its end.",
        samples: all.flatMap(durations),
      },
      counter(
        "manifold_request_bytes_total",
        "Bytes of requests' bodies.",
        all.map((one) => ({ labels: labelsOf(one), value: one.requestBytes })),
      ),
      counter(
        "manifold_response_bytes_total",
        "Bytes of responses' bodies.",
        all.map((one) => ({ labels: labelsOf(one), value: one.responseBytes })),
      ),
      counter(
        "manifold_limit_rejections_total",
        "What a limit has turned away, by the limit's name.",
        [...this.#rejections].map(([limit, value]) => ({ labels: { limit }, value })),
      ),
    ];
  }

  #series(route: string, upstream: string, protocol: string): Series {
    const protocols = below(below(this.#byRoute, route), upstream);
    const known = protocols.get(protocol);
    if (known !== undefined) return known;
    const series = newSeries(route, upstream, protocol);
    protocols.set(protocol, series);
    return series;
  }
}

/** The map that a map has under a key, made where there is none. */
function below<Value>(map: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = new Map<string, Value>();
  map.set(key, made);
  return made;
}

function newSeries(route: string, upstream: string, protocol: string): Series {
  return {
    route,
    upstream,
    protocol,
    calls: new Map(),
    durations: new Array<number>(boundsMs.length + 1).fill(0),
    durationMs: 0,
    requestBytes: 0,
    responseBytes: 0,
  };
}

function labelsOf({ route, upstream, protocol }: Series): Record<string, string> {
  return { route, upstream, protocol };
}

function calls(series: Series): Sample[] {
  return [...series.calls].map(([status, value]) => ({
    labels: { ...labelsOf(series), status: status === otherStatus ? "other" : statusName(status) },
    value,
  }));
}

/** Buckets are cumulative, and in seconds, as Prometheus wants them. */
function durations(series: Series): Sample[] {
  const labels = labelsOf(series);
  let count = 0;
  const buckets = series.durations.map((value, index): Sample => {
    count += value;
    const bound = boundsMs[index];
    const le = bound === undefined ? "+Inf" : String(bound / 1_000);
    return { suffix: "_bucket", labels: { ...labels, le }, value: count };
  });
  return [
    ...buckets,
    { suffix: "_sum", labels, value: series.durationMs / 1_000 },
    { suffix: "_count", labels, value: count },
  ];
}
