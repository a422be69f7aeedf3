/** Waiter: who asks an upstream for a connection, and is told now or later. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Call } from "../call.ts";
import type { UpstreamConnection } from "./connection.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Outcome } from "./outlier.ts";

/** What a stream is opened on: a connection, or what looks like one. */
export type StreamOpener = Pick<UpstreamConnection, "request">;

/** What the other end of a stream is called: an endpoint, or what looks like one. */
export interface Reached {
  readonly name: string;
  readonly address: string;
  readonly secure: boolean;
  /** Why it gave the answer that it gave, where that isn't an endpoint's own word: for the log. */
  readonly why?: unknown;
  /** An attempt has begun. */
  begin(): void;
  /** How it went; once for each. */
  report(outcome: Outcome): void;
}

/** A waiter to whom it is all one what it gets. */
export interface CallWaiter {
  onConnection(connection: StreamOpener, endpoint: Reached): void;
  onUnavailable(error: ConnectError): void;
}

/** Told exactly once, unless it was taken out of the queue before. */
export interface Waiter {
  /** The connection has room for one stream now: it is to be opened before this returns, or not at all. */
  onConnection(connection: UpstreamConnection, endpoint: Endpoint): void;
  /** No endpoint could be reached. The message may go to the caller; `cause` names addresses and is for the log. */
  onUnavailable(error: ConnectError): void;
}

/** Takes a waiter out of the queue; nothing is told to it afterwards. Does nothing the second time. */
export type CancelWait = () => void;

/** A waiter for which no connection had room at once. */
export interface Pending {
  readonly call: Call;
  readonly waiter: Waiter;
  /** Taken only if there is no other: it has just turned this call away. */
  readonly avoid: Reached | undefined;
  /** The one endpoint that the call is for; undefined where any will do. */
  readonly only: Endpoint | undefined;
  /** Endpoints that couldn't be reached for this call: each is asked once. */
  readonly tried: Endpoint[];
  /** Whose queue it is in. */
  endpoint: Endpoint | undefined;
  /** It has been told, or was taken out. */
  done: boolean;
}

/** The answer to a call that reaches nobody. Callers are told no names or addresses; these are in the cause. */
export function unavailable(reason: string, cause?: unknown): ConnectError {
  return new ConnectError(`upstream unavailable: ${reason}`, Code.Unavailable, undefined, undefined, cause);
}
