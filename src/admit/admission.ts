/** Admission: what is asked of a call before it goes anywhere, put together from a listener's or a route's options. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Admit, Call, Identity, InboundCall } from "../call.ts";
import { headerFilter } from "./allowed-headers.ts";
import { type RateLimitOptions, rateLimit } from "./rate-limit.ts";

/**
 * Says who calls. A thrown `ConnectError` is the answer to the caller: `unauthenticated` or `permission_denied` as it fits. May be
 * async. What it returns is the call's `identity`; nothing leaves that as it is.
 */
export type Authorize = (call: Call) => Identity | undefined | Promise<Identity | undefined>;

export interface AdmissionOptions {
  /** Asked for every call, services of our own included; several are asked in their order. Default: nobody. */
  readonly authorize?: Authorize | readonly Authorize[];
  /** Calls per caller. One by "identity" counts behind `authorize`, any other before it. Default: no limit. */
  readonly rateLimit?: RateLimitOptions | readonly RateLimitOptions[];
  /**
   * Names of the callers' headers that go on to an upstream, such as "x-tenant" or "x-acme-*". Those of the protocols always do.
   * Default: all.
   */
  readonly allowHeaders?: readonly string[];
}

/**
 * Makes one question of the options.
 *
 * @returns undefined where nothing is asked, so that calls need not go this way at all
 * @throws TypeError naming the value, if a rate, a burst or a pattern isn't one
 */
export function createAdmission(options: AdmissionOptions): Admit | undefined {
  const limits = [options.rateLimit ?? []].flat();
  const gates = [
    ...limits.filter(({ by }) => by !== "identity").map(rateLimit),
    ...[options.authorize ?? []].flat().map(authorizing),
    ...limits.filter(({ by }) => by === "identity").map(rateLimit),
  ];
  if (options.allowHeaders !== undefined) gates.push(restricting(headerFilter(options.allowHeaders)));
  return gates.reduce<Admit | undefined>((before, gate) => inTurn(before, gate), undefined);
}

/** Both, the first first; undefined where there is neither. */
export function inTurn(first: Admit | undefined, second: Admit | undefined): Admit | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return (call) => {
    const waiting = first(call);
    return waiting === undefined ? second(call) : waiting.then(() => second(call));
  };
}

function authorizing(authorize: Authorize): Admit {
  return (call) => {
    const found = authorize(call);
    if (found instanceof Promise) return found.then((identity) => identify(call, identity));
    identify(call, found);
    return undefined;
  };
}

function identify(call: InboundCall, identity: Identity | undefined): void {
  if (identity !== undefined) call.identity = identity;
}

function restricting(passes: (name: string) => boolean): Admit {
  return (call) => {
    call.restrictHeaders(passes);
    return undefined;
  };
}

/** Without HTTP's own word for what is asked for a 401 isn't a whole answer (RFC 9110 section 15.5.2, RFC 6750 section 3). */
export function unauthenticated(message: string, { protocol }: Call, cause?: unknown): ConnectError {
  const metadata = protocol === "connect" ? { "www-authenticate": "Bearer" } : undefined;
  return new ConnectError(message, Code.Unauthenticated, metadata, undefined, cause);
}
