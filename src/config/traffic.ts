/** How an upstream's calls are spread, and which of its endpoints get any: keys of the configuration, and what they make. */
import { z } from "zod";
import { type Balance, leastRequest, pickFirst, ringHash, roundRobin } from "../upstream/balance.ts";
import type { BreakerLimits } from "../upstream/breaker.ts";
import type { HealthOptions } from "../upstream/check/options.ts";
import type { OutlierSettings } from "../upstream/outlier.ts";
import type { EndpointOptions } from "../upstream/target.ts";
import { given } from "./given.ts";
import * as scalar from "./scalar.ts";

const balanceWords = ["round_robin", "least_request", "pick_first"] as const;

const balance = z
  .union(
    [
      scalar.word(...balanceWords),
      z.strictObject({
        ring_hash: z
          .union(
            [
              scalar.word("peer_address"),
              z.strictObject({ header: scalar.headerName.describe("Whose first value is hashed.") }),
            ],
            {
              error: scalar.expected("peer_address, or a map with header"),
            },
          )
          .describe("What is hashed: { header: x-user } (calls without it go anywhere), or peer_address."),
      }),
    ],
    { error: scalar.expected(`one of ${balanceWords.join(", ")}, or a map with ring_hash`) },
  )
  .describe(
    "Who gets the next call: round_robin (default), least_request (the less busy of two drawn at random), pick_first, or { ring_hash: ... }: the same endpoint for the same key.",
  );

const wholeWeight = z.int().min(1).max(65_535);

/** Of an endpoint that is a map. */
export const endpointKeys = {
  weight: wholeWeight.optional().describe("Its share of the calls beside the others. Default 1."),
  priority: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe("Its tier: calls go to the lowest number of which enough endpoints are ready. Default 0."),
  labels: z
    .record(z.string().min(1), z.string())
    .optional()
    .describe("What a subset tells endpoints apart by: { version: v2 }."),
};

const subset = z
  .strictObject({
    header: scalar.headerName.describe("Its value names the endpoints; calls without it go to all."),
    label: z.string().min(1).describe("The label that must have that value."),
    fallback: z
      .enum(["none", "any"])
      .optional()
      .describe("Where calls go whose value no endpoint has: none (default: they are unavailable) or any."),
  })
  .describe("Sends calls with a header to those endpoints alone whose label has its value.");

const grpcHealth = z
  .strictObject({
    service: z.string().optional().describe('As the server calls it. Default "": the whole server.'),
  })
  .describe("By gRPC's health service: Watch where there is one, and Check.");

const status = z.int().min(200).max(599);

const httpHealth = z
  .strictObject({
    path: scalar.healthPath.describe('"/healthz"'),
    expect: z
      .union([status, z.array(status).min(1)], { error: scalar.expected("a status such as 200, or a list of them") })
      .optional()
      .describe("The status of a healthy endpoint, or a list of which any will do. Default 200."),
  })
  .describe("By a GET, over the upstream's HTTP version.");

const threshold = z.int().min(1).max(1_000).optional();

const health = z
  .strictObject({
    grpc: grpcHealth.optional(),
    http: httpHealth.optional(),
    tcp: z.literal(true).optional().describe("That it can be connected to is enough."),
    interval: scalar.positiveDuration.optional().describe("Time between two checks. Default 10s."),
    timeout: scalar.positiveDuration.optional().describe("Time for one, connecting included. Default 2s."),
    healthy_threshold: threshold.describe("Checks in a row that an unhealthy endpoint must pass. Default 2."),
    unhealthy_threshold: threshold.describe(
      "Checks in a row that a healthy endpoint must fail; its own word that it doesn't serve counts at once. Default 3.",
    ),
  })
  .meta({ oneOf: [{ required: ["grpc"] }, { required: ["http"] }, { required: ["tcp"] }] }) // for editors; check.ts reports it
  .describe("Asks every endpoint whether it serves; unhealthy ones get no calls. Needs one of grpc, http and tcp.");

const percent = z.int().min(0).max(100);

const outlier = z
  .union(
    [
      z.literal(false, { error: scalar.expected("false, or a map") }),
      z.strictObject({
        consecutive: z.int().min(1).max(1e6).optional().describe("Failures in a row. Default 5."),
        ejection: scalar.positiveDuration
          .optional()
          .describe("Time of the first; the n-th takes n times as long. Default 30s."),
        max_ejection: scalar.positiveDuration.optional().describe("Time of one at most. Default 5m."),
        max_percent: percent
          .min(1)
          .optional()
          .describe("Endpoints that may be ejected at a time, but always one. Default 50."),
      }),
    ],
    { error: scalar.expected("false, or a map") },
  )
  .describe(
    "When failed calls (unavailable, no answer in time, broken off) make an endpoint get none for a while. Default 5 in a row; false turns it off.",
  );

/** Of an upstream. */
export const trafficKeys = {
  balance: balance.optional(),
  subset: subset.optional(),
  health: health.optional(),
  outlier: outlier.optional(),
  panic_threshold: percent
    .optional()
    .describe("Percent of endpoints that must be ready, else all are used; 0 turns it off. Default 50."),
};

const limit = z.int().min(1).max(1e9).optional();

/** Of the `limits` of an upstream, which hold for all its endpoints together. */
export const breakerKeys = {
  connections: limit.describe("Connections of the whole upstream, but one to each endpoint. Default 1024."),
  pending: limit.describe("Calls of the whole upstream that may wait; one more is unavailable. Default 1024."),
  requests: limit.describe("Calls of the whole upstream in flight; one more is unavailable. Default 1024."),
  retries: limit.describe("Retries of the whole upstream in flight, or a fifth of its calls. Default 3."),
};

const messageSize = scalar.size.refine((bytes) => bytes > 0, { error: "must be more than 0" }).optional();

/** Of the `limits` of an upstream or a listener: of every message. */
export const messageKeys = {
  max_request_message: messageSize.describe(
    "Bytes of one message of a request, as it is sent on; a larger one is resource_exhausted. Default: any.",
  ),
  max_response_message: messageSize.describe("The same of a response."),
};

type Traffic = z.output<z.ZodObject<typeof trafficKeys>>;

/** What the keys of an upstream make of its options. */
export function trafficOptions({ balance, subset, health, outlier, panic_threshold: panicPercent }: Traffic) {
  return given({
    balance: balance && balanceOf(balance),
    subset: subset && { header: subset.header, label: subset.label, ...given({ fallback: subset.fallback }) },
    health: health && healthOf(health),
    outlier: outlier && outlierOf(outlier),
    panicPercent,
    ...(outlier === false ? { outlier } : {}),
  });
}

function balanceOf(balance: NonNullable<Traffic["balance"]>): Balance {
  switch (balance) {
    case "round_robin":
      return roundRobin();
    case "least_request":
      return leastRequest();
    case "pick_first":
      return pickFirst();
    default:
      return ringHash(balance.ring_hash);
  }
}

function healthOf({
  grpc,
  http,
  tcp,
  interval,
  timeout,
  ...thresholds
}: NonNullable<Traffic["health"]>): HealthOptions {
  return given({
    grpc: grpc && given(grpc),
    http: http && { path: http.path, ...given({ expect: http.expect }) },
    tcp,
    intervalMs: interval,
    timeoutMs: timeout,
    healthyThreshold: thresholds.healthy_threshold,
    unhealthyThreshold: thresholds.unhealthy_threshold,
  });
}

function outlierOf(outlier: Exclude<NonNullable<Traffic["outlier"]>, false>): Partial<OutlierSettings> {
  const { consecutive, ejection, max_ejection: maxEjectionMs, max_percent: maxPercent } = outlier;
  return given({ consecutive, ejectionMs: ejection, maxEjectionMs, maxPercent });
}

/** What `limits` says of the whole upstream. */
export function breakerLimits(
  limits: z.output<z.ZodObject<typeof breakerKeys>> | undefined = {},
): Partial<BreakerLimits> {
  const { connections, pending, requests, retries } = limits;
  return given({ connections, pending, requests, retries });
}

/** What `limits` says of messages. */
export function messageLimits(limits: z.output<z.ZodObject<typeof messageKeys>> | undefined = {}) {
  return given({ maxRequestMessage: limits.max_request_message, maxResponseMessage: limits.max_response_message });
}

/** What an endpoint says of its part in it. */
export function endpointTraffic(
  endpoint: z.output<z.ZodObject<typeof endpointKeys>>,
): Pick<Exclude<EndpointOptions, string>, "weight" | "priority" | "labels"> {
  return given({ weight: endpoint.weight, priority: endpoint.priority, labels: endpoint.labels });
}
