/** Fan-out route: which endpoints of some upstreams a call goes to, and in what way. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type AdmissionOptions, createAdmission } from "../admit/admission.ts";
import type { Call } from "../call.ts";
import type { Layout } from "../layout/layout.ts";
import type { Schema } from "../schema/schema.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { trimSpace } from "../wire/white-space.ts";
import type { Destination, FanOutKind, OneToMany, Rewrite } from "./director.ts";
import type { GatherPolicy } from "./gather-policy.ts";
import { compileMatch, type Match } from "./match.ts";

/** Calls that match go to many endpoints at once. */
export interface FanOutRoute extends AdmissionOptions {
  /** What metrics call it. Default: nothing. */
  readonly name?: string;
  /** Default: every call. */
  readonly match?: Match;
  readonly fanOut: FanOutOptions;
  readonly rewrite?: Rewrite;
  /** Milliseconds for the whole call, at most. */
  readonly timeoutMs?: number;
}

export interface FanOutOptions {
  /** All of their endpoints, in this order. */
  readonly to: readonly Upstream[];
  readonly layout: Layout;
  /** Only the endpoints that a header of the call names; all where it has no such header. It isn't passed on. */
  readonly select?: { readonly header: string };
  /** One for all calls, or by the method. What nothing is said of is looked up in the schema of the first upstream; else "stream". */
  readonly kind?: FanOutKind | readonly { readonly method: string; readonly kind: FanOutKind }[];
  readonly gather?: GatherPolicy;
  readonly nested?: boolean;
  readonly schema?: Schema;
}

/** Endpoints that an error names, at most. */
const maxNamed = 20;

/** @throws TypeError for a pattern of a method that can't be understood */
export function fanOutOutcome(route: FanOutRoute): (call: Call) => Destination | Promise<Destination> {
  const { to, select } = route.fanOut;
  const kindOf = kindsOf(route.fanOut.kind);
  const fixed = fixedPart(route);
  return (call) => {
    const direct = (): OneToMany => {
      const all = to.length === 1 ? to[0]!.endpoints : to.flatMap((upstream) => upstream.endpoints);
      const endpoints = select === undefined ? all : selected(call, select.header, all);
      const kind = kindOf(call);
      return kind === undefined ? { ...fixed, endpoints } : { ...fixed, endpoints, kind };
    };
    const unresolved = unresolvedOf(to);
    return unresolved === undefined ? direct() : Promise.all(unresolved).then(direct);
  };
}

/** What waits for the first answers of resolvers, if any has to. */
function unresolvedOf(upstreams: readonly Upstream[]): Promise<void>[] | undefined {
  let waits: Promise<void>[] | undefined;
  for (const upstream of upstreams) {
    const resolved = upstream.resolved();
    if (resolved === undefined) continue;
    waits ??= [];
    waits.push(resolved);
  }
  return waits;
}

function fixedPart(route: FanOutRoute): Omit<OneToMany, "endpoints"> {
  const { name, fanOut, rewrite, timeoutMs } = route;
  const admit = createAdmission(route);
  const { layout, select, gather, nested, schema } = fanOut;
  const removeHeaders = select === undefined ? [] : [select.header.toLowerCase()];
  return {
    mode: "one-to-many",
    layout,
    ...(name === undefined ? {} : { route: name }),
    rewrite: { ...rewrite, removeHeaders: [...removeHeaders, ...(rewrite?.removeHeaders ?? [])] },
    ...(gather === undefined ? {} : { gather }),
    ...(nested === undefined ? {} : { nested }),
    ...(schema === undefined ? {} : { schema }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(admit === undefined ? {} : { admit }),
  };
}

function kindsOf(kind: FanOutOptions["kind"]): (call: Call) => FanOutKind | undefined {
  if (kind === undefined || typeof kind === "string") return () => kind;
  const rules = kind.map(({ method, kind }) => ({ kind, match: compileMatch({ method }) }));
  return ({ service, method }) => rules.find(({ match }) => match.matchesPath(service, method))?.kind;
}

/** In the order of the endpoints. A name that a resolver gave many endpoints stands for all of them. */
function selected(call: Call, header: string, all: readonly Endpoint[]): readonly Endpoint[] {
  const values = call.headerValues(header.toLowerCase());
  if (values.length === 0) return all;
  const names = new Set(values.flatMap((value) => value.split(",")).map(trimSpace));
  names.delete("");
  const chosen = all.filter(({ name }) => names.has(name));
  for (const { name } of chosen) names.delete(name);
  const [unknown] = names;
  if (unknown === undefined && chosen.length > 0) return chosen;
  const known = [...new Set(all.map(({ name }) => name))];
  const some = known.slice(0, maxNamed).join(", ");
  const list = known.length > maxNamed ? `${some} and ${known.length - maxNamed} more` : some;
  const what = unknown === undefined ? "no name" : `unknown endpoint "${unknown}"`;
  throw new ConnectError(`${what} in header ${header.toLowerCase()}: there are ${list}`, Code.InvalidArgument);
}
