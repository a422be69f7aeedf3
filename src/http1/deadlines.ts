/** Deadlines of an HTTP/1.1 connection: those that are counted in seconds. */
import { watchEveryMs } from "../http2/watch.ts";
import type { Exchange } from "./exchange.ts";
import type { Intake } from "./intake.ts";
import { RequestError } from "./request-error.ts";
import type { Http1Settings } from "./settings.ts";

/** What a connection waits for. */
export interface Waiting {
  readonly settings: Http1Settings;
  readonly intake: Intake;
  /** The request under way. */
  readonly exchange: Exchange | undefined;
  /** Without one: since when, and how many there have been. */
  readonly idleSince: number;
  readonly requests: number;
}

/**
 * Looks which deadline is over, if one is; see `watch`.
 *
 * @returns what the peer is told before the connection ends, or "over" where it ends without a word
 */
export function overdue(now: number, waiting: Waiting): RequestError | "over" | undefined {
  const { settings, intake, exchange } = waiting;
  if (exchange === undefined) return overdueRequest(now, waiting);
  if (exchange.respondedAt > 0) return now - exchange.respondedAt > settings.drainTimeoutMs ? "over" : undefined;
  // half a watch early, so that a byte at every last moment doesn't count as progress (fault D1)
  const bodyTimeoutMs = settings.bodyIdleTimeoutMs - watchEveryMs;
  if (!exchange.remoteEnded && !intake.paused && now - intake.receivedAt > bodyTimeoutMs) {
    return new RequestError(408, "request not whole in time");
  }
  if (settings.streamIdleTimeoutMs === 0 || now - exchange.lastActive <= settings.streamIdleTimeoutMs) return undefined;
  return new RequestError(exchange.remoteEnded ? 504 : 408, "nothing moved for too long");
}

/** The next request, or the rest of its head. */
function overdueRequest(now: number, waiting: Waiting): RequestError | "over" | undefined {
  const { headerTimeoutMs, keepAliveTimeoutMs } = waiting.settings;
  const { headSince } = waiting.intake;
  if (headSince > 0) {
    return now - headSince > headerTimeoutMs ? new RequestError(408, "header section not whole in time") : undefined;
  }
  const timeoutMs = waiting.requests === 0 ? headerTimeoutMs : keepAliveTimeoutMs;
  return now - waiting.idleSince > timeoutMs ? "over" : undefined;
}
