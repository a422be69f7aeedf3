/** Record: what a call leaves behind for the log and the metrics, of what its relay knows once it is over. */
import type { Attempt } from "./attempt.ts";
import type { Bridge } from "./bridge.ts";
import type { InboundCall } from "./call.ts";
import type { CallRecord } from "./observe/call-record.ts";
import type { RelayedTo } from "./relay-context.ts";
import { LimitError } from "./wire/limit-error.ts";

/** A call that is over, and how far it has come. */
export interface EndedCall {
  readonly call: InboundCall;
  /** Undefined where it was over before anyone had said. */
  readonly destination: RelayedTo | undefined;
  /** The last one; undefined where no endpoint was reached. */
  readonly attempt: Attempt | undefined;
  readonly bridge: Bridge | undefined;
  readonly status: number;
  readonly message: string | undefined;
  /** An Error, or a text; undefined where there is no more to say. */
  readonly cause: unknown;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

export function recordOf(ended: EndedCall): CallRecord {
  const { call, status, message, requestBytes, responseBytes } = ended;
  return {
    call,
    status,
    ...(message === undefined ? undefined : { message }),
    ...meant(ended),
    ...reached(ended),
    ...why(ended),
    requestBytes,
    responseBytes,
    durationMs: performance.now() - call.startedAt,
  };
}

function meant({ destination }: EndedCall): Pick<CallRecord, "route" | "upstream"> | undefined {
  if (destination === undefined) return undefined;
  const { route, upstream } = destination;
  return route === undefined ? { upstream: upstream.name } : { route, upstream: upstream.name };
}

function reached({ attempt, bridge }: EndedCall): Pick<CallRecord, "endpoint" | "upstreamProtocol"> | undefined {
  if (attempt === undefined) return undefined;
  return { endpoint: attempt.endpoint.name, upstreamProtocol: bridge?.upstreamProtocol ?? "grpc" };
}

/** For the log: the caller never gets it. */
function why({ cause }: EndedCall): Pick<CallRecord, "detail" | "limit"> | undefined {
  if (cause === undefined) return undefined;
  if (cause instanceof LimitError) return { detail: cause.message, limit: cause.limit };
  return { detail: cause instanceof Error ? cause.message : String(cause) };
}
