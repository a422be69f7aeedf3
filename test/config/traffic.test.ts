import { describe, expect, it } from "vitest";
import { listedEndpoints } from "../../src/config/check-endpoints.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";
import { breakerLimits, endpointTraffic, messageLimits, trafficOptions } from "../../src/config/traffic.ts";

const load = (text: string) => loadConfig("manifold.yaml", () => Buffer.from(text));

/** The problems of a file, as they are printed. */
async function report(text: string): Promise<string> {
  try {
    await load(text);
  } catch (error) {
    if (error instanceof ConfigError) return `\n${error.message}\n`;
    throw error;
  }
  throw new Error("the file was taken");
}

describe("the keys that spread calls", () => {
  it("are reported where they don't fit", async () => {
    expect(
      await report(`
upstreams:
  a:
    endpoints:
      - { url: http://10.0.0.1:1, weight: 0, labels: { vresion: v1 } }
    balance: { ring_hash: { heador: x-user } }
  b:
    endpoints: [http://10.0.0.2:1]
    balance: least_requests
    limits: { requests: 0 }
    outlier: true
    panic_threshold: 101
  c:
    endpoints: [http://10.0.0.3:1]
    balance: { ring_hash: peer_adress }
    health: { http: { path: healthz, expect: ok } }
routes:
  - to: [{ upstream: g, weight: 0 }, { upstream: a, weight: 0 }]
  - to: [{ upstream: a, weight: 1 }, { upstream: a, weight: 1 }]
  - to: [{ upstream: a }]
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:5:43: must be at least 1
         5 |       - { url: http://10.0.0.1:1, weight: 0, labels: { vresion: v1 } }
           |                                           ^

      manifold.yaml:6:29: unknown key "heador"
         6 |     balance: { ring_hash: { heador: x-user } }
           |                             ^^^^^^ did you mean "header"?

      manifold.yaml:9:14: unknown value "least_requests"
         9 |     balance: least_requests
           |              ^^^^^^^^^^^^^^ did you mean "least_request"?

      manifold.yaml:10:25: must be at least 1
        10 |     limits: { requests: 0 }
           |                         ^

      manifold.yaml:11:14: expected false, or a map, got true
        11 |     outlier: true
           |              ^^^^

      manifold.yaml:12:22: must be at most 100
        12 |     panic_threshold: 101
           |                      ^^^

      manifold.yaml:15:27: unknown value "peer_adress"
        15 |     balance: { ring_hash: peer_adress }
           |                           ^^^^^^^^^^^ did you mean "peer_address"?

      manifold.yaml:16:29: not a path: "healthz"
        16 |     health: { http: { path: healthz, expect: ok } }
           |                             ^^^^^^^ did you mean "/healthz"?

      manifold.yaml:16:46: expected a status such as 200, or a list of them, got a string
        16 |     health: { http: { path: healthz, expect: ok } }
           |                                              ^^

      manifold.yaml:18:5: every weight is 0: no call could go anywhere
        18 |   - to: [{ upstream: g, weight: 0 }, { upstream: a, weight: 0 }]
           |     ^^

      manifold.yaml:18:22: unknown upstream "g"
        18 |   - to: [{ upstream: g, weight: 0 }, { upstream: a, weight: 0 }]
           |                      ^ known: a, b, c

      manifold.yaml:19:50: upstream "a" is given twice
        19 |   - to: [{ upstream: a, weight: 1 }, { upstream: a, weight: 1 }]
           |                                                  ^

      manifold.yaml:20:10: missing key "weight"
        20 |   - to: [{ upstream: a }]
           |          ^^^^^^^^^^^^^^^
      "
    `);
  });

  it("are reported where they don't fit together", async () => {
    expect(
      await report(`
upstreams:
  a:
    endpoints: [http://10.0.0.1:1]
    health: { grpc: {}, tcp: true }
  b:
    endpoints: [{ url: http://10.0.0.2:1, labels: { vresion: v1 } }]
    subset: { header: x-version, label: version }
    health: { interval: 5s }
    outlier: { ejection: 10s, max_ejection: 5s }
  c:
    endpoints: [http://10.0.0.3:1]
    protocols: [connect]
    http: "1.1"
    health: { grpc: {} }
  d:
    endpoints: [http://10.0.0.4:1]
    subset: { header: x-version, label: version }
routes:
  - to: a
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:5:25: health is checked by one of grpc, http and tcp, not by grpc and tcp
         5 |     health: { grpc: {}, tcp: true }
           |                         ^^^

      manifold.yaml:8:41: no endpoint has the label "version"
         8 |     subset: { header: x-version, label: version }
           |                                         ^^^^^^^ did you mean "vresion"?

      manifold.yaml:9:5: health needs grpc, http or tcp
         9 |     health: { interval: 5s }
           |     ^^^^^^

      manifold.yaml:10:45: max_ejection is less than ejection
        10 |     outlier: { ejection: 10s, max_ejection: 5s }
           |                                             ^^

      manifold.yaml:15:15: gRPC's health service needs HTTP/2
        15 |     health: { grpc: {} }
           |               ^^^^ give http or tcp

      manifold.yaml:18:41: no endpoint has the label "version"
        18 |     subset: { header: x-version, label: version }
           |                                         ^^^^^^^ give endpoints labels
      "
    `);
  });

  it("make the options that they say", async () => {
    const { config, warnings } = await load(`
upstreams:
  a:
    endpoints:
      - http://10.0.0.1:1
      - { url: http://10.0.0.2:1, weight: 3, priority: 1, labels: { version: v2 } }
    balance: { ring_hash: peer_address }
    subset: { header: X-Version, label: version, fallback: any }
    health: { http: { path: /up, expect: [200, 204] }, interval: 5s, timeout: 1s, healthy_threshold: 4 }
    outlier: { consecutive: 3, ejection: 1s, max_ejection: 2s, max_percent: 10 }
    panic_threshold: 0
    limits: { requests: 7, retries: 9, keepalive_interval: 1s, max_request_message: 4MiB }
  b: { endpoints: [http://10.0.0.3:1], outlier: false, health: { grpc: {} } }
routes:
  - to: [{ upstream: a, weight: 95 }, { upstream: b, weight: 5 }]
`);
    expect(warnings).toBe("");
    const { a, b } = config.upstreams!;
    const { balance, ...options } = trafficOptions(a!);
    expect(options).toEqual({
      subset: { header: "x-version", label: "version", fallback: "any" },
      health: { http: { path: "/up", expect: [200, 204] }, intervalMs: 5_000, timeoutMs: 1_000, healthyThreshold: 4 },
      outlier: { consecutive: 3, ejectionMs: 1_000, maxEjectionMs: 2_000, maxPercent: 10 },
      panicPercent: 0,
    });
    expect(balance!().constructor.name).toBe("RingHash");
    expect(breakerLimits(a!.limits)).toEqual({ requests: 7, retries: 9 });
    expect(messageLimits(a!.limits)).toEqual({ maxRequestMessage: 4 << 20 });
    expect(endpointTraffic(listedEndpoints(a!)[1] as object)).toEqual({
      weight: 3,
      priority: 1,
      labels: { version: "v2" },
    });
    expect(trafficOptions(b!)).toEqual({ outlier: false, health: { grpc: {} } });
  });

  it.each([
    ["round_robin", "RoundRobin"],
    ["least_request", "LeastRequest"],
    ["pick_first", "Object"],
  ] as const)("make %s what it is called", (balance, name) => {
    const options = trafficOptions({ balance });
    expect(options.balance!().constructor.name).toBe(name);
  });
});
