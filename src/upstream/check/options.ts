/** Options of an upstream's health checks, checked. */
import type { Protocol } from "../../call.ts";
import { defaultThresholds, type HealthThresholds } from "../health.ts";

/** What is asked, exactly one of the three, and how often. */
export interface HealthOptions {
  /**
   * gRPC's health service, over HTTP/2: its Watch where the server has it, which tells of changes at once, and Check. A server
   * without the service is healthy as long as it answers.
   */
  readonly grpc?: {
    /** As the server calls it. Default "": the whole server. */
    readonly service?: string;
  };
  /** A GET, over the HTTP version of the upstream. */
  readonly http?: {
    /** "/healthz" */
    readonly path: string;
    /** Status, or some of which any will do. Default 200. 503 counts as the server's own word that it doesn't serve. */
    readonly expect?: number | readonly number[];
  };
  /** That it can be connected to; with TLS for an https URL. */
  readonly tcp?: true;
  /** Milliseconds from one check to the next, give or take a tenth. Default 10 s. */
  readonly intervalMs?: number;
  /** Milliseconds for a check, connecting included. Default 2 s. */
  readonly timeoutMs?: number;
  /** Checks in a row that must find an unhealthy endpoint serving. Default 2. */
  readonly healthyThreshold?: number;
  /** Checks in a row that must fail at a healthy one. Default 3; a server's own word that it doesn't serve counts at once. */
  readonly unhealthyThreshold?: number;
}

export type Question =
  | { readonly kind: "grpc"; readonly service: string }
  | { readonly kind: "http"; readonly path: string; readonly expect: readonly number[] }
  | { readonly kind: "tcp" };

/** Options whose values are known to be good. */
export interface CheckedHealth {
  readonly question: Question;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly thresholds: HealthThresholds;
}

/** @throws TypeError naming what doesn't fit */
export function checkHealth(
  options: HealthOptions,
  upstream: { readonly name: string; readonly protocols?: readonly Protocol[]; readonly http?: "2" | "1.1" },
): CheckedHealth {
  const where = `upstream "${upstream.name}": health`;
  const number = (key: "intervalMs" | "timeoutMs" | "healthyThreshold" | "unhealthyThreshold", value: number) => {
    const given = options[key] ?? value;
    if (!Number.isFinite(given) || given <= 0) throw new TypeError(`${where}.${key} must be more than 0, not ${given}`);
    return given;
  };
  return {
    question: questionOf(options, where, upstream.http ?? "2"),
    intervalMs: number("intervalMs", 10_000),
    timeoutMs: number("timeoutMs", 2_000),
    thresholds: {
      healthy: number("healthyThreshold", defaultThresholds.healthy),
      unhealthy: number("unhealthyThreshold", defaultThresholds.unhealthy),
    },
  };
}

function questionOf({ grpc, http, tcp }: HealthOptions, where: string, version: "2" | "1.1"): Question {
  const questions: Question[] = [];
  if (grpc !== undefined) {
    if (version === "1.1") throw new TypeError(`${where}.grpc needs HTTP/2, but the upstream is spoken to in HTTP/1.1`);
    questions.push({ kind: "grpc", service: grpc.service ?? "" });
  }
  if (http !== undefined) {
    if (!/^\/[!-~]*$/.test(http.path))
      throw new TypeError(`${where}.http.path must begin with "/", not "${http.path}"`);
    questions.push({ kind: "http", path: http.path, expect: [http.expect ?? 200].flat() });
  }
  if (tcp === true) questions.push({ kind: "tcp" });
  if (questions.length !== 1) throw new TypeError(`${where} needs one of grpc, http and tcp`);
  return questions[0]!;
}
