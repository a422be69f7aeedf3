/** Route table: a director that is a list of rules; the first that matches wins. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type AdmissionOptions, createAdmission } from "../admit/admission.ts";
import type { Admit, Call } from "../call.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Destination, Director, Rewrite } from "./director.ts";
import { type FanOutRoute, fanOutOutcome } from "./fan-out-route.ts";
import { type CompiledMatch, compileMatch, type Match } from "./match.ts";
import type { RetryPolicy } from "./retry-policy.ts";
import { splitByWeight, type WeightedUpstream } from "./split.ts";

/** One rule: calls that match go to an upstream or to many endpoints, or are refused. */
export type Route = ForwardRoute | FanOutRoute | RefuseRoute;

export interface ForwardRoute extends AdmissionOptions {
  /** What metrics call it. Default: nothing. */
  readonly name?: string;
  /** Default: every call. */
  readonly match?: Match;
  /** Or several, each with a share of the calls by its weight. */
  readonly to: Upstream | readonly WeightedUpstream[];
  readonly rewrite?: Rewrite;
  readonly retry?: RetryPolicy;
  /** Milliseconds, at most; the caller's own deadline counts where it is shorter. */
  readonly timeoutMs?: number;
}

export interface RefuseRoute {
  readonly match?: Match;
  readonly refuse: { readonly code: Code; readonly message: string };
}

/**
 * Makes a director of routes. A call that none matches is answered `unimplemented`.
 *
 * @throws TypeError naming the pattern or the weight, and the number of the route, if one can't be understood
 */
export function createRouteTable(routes: readonly Route[]): Director {
  const rules = routes.map(compileRoute);
  const byPath = new Map<string, readonly Rule[]>();
  return (call) => {
    let candidates = byPath.get(call.path);
    if (candidates === undefined) {
      candidates = rulesFor(rules, call);
      if (byPath.size >= maxPaths) byPath.clear();
      byPath.set(call.path, candidates);
    }
    for (const { match, outcome } of candidates) {
      if (match.matchesCall === undefined || match.matchesCall(call)) return outcome(call);
    }
    throw new ConnectError(`no route for ${call.service}/${call.method}`, Code.Unimplemented);
  };
}

/** Paths whose rules are kept. Callers can make up any number, so there is a limit; a real API is far below it. */
const maxPaths = 1_024;

interface Rule {
  readonly match: CompiledMatch;
  readonly outcome: (call: Call) => Destination | Promise<Destination>;
}

function compileRoute(route: Route, index: number): Rule {
  try {
    return { match: compileMatch(route.match), outcome: outcomeOf(route) };
  } catch (error) {
    throw new TypeError(`route ${index + 1}: ${(error as Error).message}`, { cause: error });
  }
}

/** A destination is made once for each route, not for each call. */
function outcomeOf(route: Route): Rule["outcome"] {
  if ("fanOut" in route) return fanOutOutcome(route);
  if ("refuse" in route) {
    const { code, message } = route.refuse;
    return () => {
      throw new ConnectError(message, code);
    };
  }
  const { to } = route;
  const admit = createAdmission(route);
  if (!isSplit(to)) {
    const destination = destinationOf(route, to, admit);
    return () => destination;
  }
  const destinations = to.map(({ upstream }) => destinationOf(route, upstream, admit));
  const draw = splitByWeight(to);
  return () => destinations[draw()]!;
}

function isSplit(to: ForwardRoute["to"]): to is readonly WeightedUpstream[] {
  return Array.isArray(to);
}

function destinationOf(
  { name, rewrite, retry, timeoutMs }: ForwardRoute,
  upstream: Upstream,
  admit: Admit | undefined,
): Destination {
  return {
    mode: "one-to-one",
    upstream,
    ...(name === undefined ? {} : { route: name }),
    ...(rewrite === undefined ? {} : { rewrite }),
    ...(retry === undefined ? {} : { retry }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(admit === undefined ? {} : { admit }),
  };
}

/** The rules that a path can meet, up to the first that asks for nothing else. */
function rulesFor(rules: readonly Rule[], { service, method }: Call): readonly Rule[] {
  const matching = rules.filter(({ match }) => match.matchesPath(service, method));
  const last = matching.findIndex(({ match }) => match.matchesCall === undefined);
  return last === -1 ? matching : matching.slice(0, last + 1);
}
