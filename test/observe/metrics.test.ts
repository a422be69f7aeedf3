import { describe, expect, it } from "vitest";
import type { Call } from "../../src/call.ts";
import { CallMetrics } from "../../src/observe/call-metrics.ts";
import type { CallRecord } from "../../src/observe/call-record.ts";
import { addUp, exposition, type Family } from "../../src/observe/exposition.ts";
import { addUpStates, type EndpointStateReport } from "../../src/observe/upstream-state.ts";

const record = (more: Partial<CallRecord> = {}): CallRecord => ({
  call: { protocol: "grpc" } as Call,
  status: 0,
  route: "all",
  upstream: "main",
  requestBytes: 10,
  responseBytes: 20,
  durationMs: 3,
  ...more,
});

const linesOf = (families: readonly Family[]) => exposition(families).split("\n");

describe("CallMetrics", () => {
  it("counts by route, upstream, protocol and status, in cumulative buckets of seconds", () => {
    const metrics = new CallMetrics();
    for (const durationMs of [0.5, 0.6, 3, 100_000]) metrics.record(record({ durationMs }));
    metrics.record(record({ status: 14, upstream: "other" }));
    const lines = linesOf(metrics.families());
    const labels = 'route="all",upstream="main",protocol="grpc"';
    expect(lines).toContain(`manifold_calls_total{${labels},status="ok"} 4`);
    expect(lines).toContain(
      'manifold_calls_total{route="all",upstream="other",protocol="grpc",status="unavailable"} 1',
    );
    for (const [le, count] of [
      ["0.0005", 1],
      ["0.001", 2],
      ["0.0025", 2],
      ["0.005", 3],
      ["60", 3],
      ["+Inf", 4],
    ]) {
      expect(lines).toContain(`manifold_call_duration_seconds_bucket{${labels},le="${le}"} ${count}`);
    }
    expect(lines).toContain(`manifold_call_duration_seconds_count{${labels}} 4`);
    expect(lines).toContain(`manifold_request_bytes_total{${labels}} 40`);
  });

  it("counts what no route took, local services, limits, and statuses that nobody knows as one", () => {
    const metrics = new CallMetrics();
    const { call, requestBytes, responseBytes, durationMs } = record();
    const bare = { call, requestBytes, responseBytes, durationMs, status: 12 };
    metrics.record(bare);
    metrics.record({ ...bare, status: 0, endpoint: "local" });
    metrics.record({ ...bare, status: 8, limit: "rate_limit" });
    for (const status of [17, 99, 4_000]) metrics.record(record({ status }));
    const lines = linesOf(metrics.families());
    expect(lines).toContain('manifold_calls_total{route="",upstream="",protocol="grpc",status="unimplemented"} 1');
    expect(lines).toContain('manifold_calls_total{route="",upstream="local",protocol="grpc",status="ok"} 1');
    expect(lines).toContain('manifold_limit_rejections_total{limit="rate_limit"} 1');
    expect(lines).toContain('manifold_calls_total{route="all",upstream="main",protocol="grpc",status="other"} 3');
  });
});

describe("exposition()", () => {
  const family = (samples: Family["samples"]): Family => ({ name: "a_total", type: "counter", help: "A.\nB", samples });

  it("writes what Prometheus reads, whatever is in a label", () => {
    const text = exposition([
      family([
        { labels: { route: 'a"b\\c\nd' }, value: 1 },
        { labels: {}, value: 2.5 },
      ]),
    ]);
    expect(text).toBe(
      '# HELP a_total A.\\nB\n# TYPE a_total counter\na_total{route="a\\"b\\\\c\\nd"} 1\na_total 2.5\n',
    );
  });

  it("leaves out families without samples", () => {
    expect(exposition([family([])])).toBe("");
  });
});

describe("addUp()", () => {
  it("adds the same samples of several processes, and keeps the others", () => {
    const metrics = [new CallMetrics(), new CallMetrics()];
    metrics[0]!.record(record());
    metrics[1]!.record(record());
    metrics[1]!.record(record({ route: "b" }));
    const lines = linesOf(addUp(metrics.map((one) => one.families())));
    expect(lines).toContain('manifold_calls_total{route="all",upstream="main",protocol="grpc",status="ok"} 2');
    expect(lines).toContain('manifold_calls_total{route="b",upstream="main",protocol="grpc",status="ok"} 1');
    expect(lines).toContain(
      'manifold_call_duration_seconds_bucket{route="all",upstream="main",protocol="grpc",le="0.005"} 2',
    );
    expect(lines.filter((line) => line.startsWith("# TYPE manifold_calls_total"))).toHaveLength(1);
  });
});

describe("addUpStates()", () => {
  it("makes one endpoint of the same one in several processes", () => {
    const endpoint = (more: Partial<EndpointStateReport>): EndpointStateReport => ({
      name: "a",
      address: "10.0.0.1:1",
      state: "ready",
      enabled: true,
      healthy: true,
      ejected: false,
      connections: 1,
      streams: 2,
      pending: 0,
      ...more,
    });
    const counts = (count: number) => ({
      panic: count > 1,
      attempts: count,
      failures: count,
      ejections: count,
      rejected: { requests: count, retries: 0 },
    });
    const other = endpoint({ name: "b", address: "10.0.0.2:1" });
    expect(
      addUpStates([
        [{ name: "main", ...counts(1), endpoints: [endpoint({})] }],
        [
          {
            name: "main",
            ...counts(2),
            endpoints: [endpoint({ state: "failing", ejected: true, healthy: false }), other],
          },
        ],
      ]),
    ).toEqual([
      {
        name: "main",
        ...counts(3),
        endpoints: [
          endpoint({ state: "ready, failing", ejected: true, healthy: false, connections: 2, streams: 4 }),
          other,
        ],
      },
    ]);
  });
});
