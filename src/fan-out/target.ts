/** Target: makes of a destination of many endpoints one that a relay can send a call to, as if it were an upstream that speaks gRPC. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type Call, InboundCall } from "../call.ts";
import { type ForwardOptions, forwardFields } from "../forward.ts";
import type { StreamListener } from "../http2/api.ts";
import type { Field } from "../http2/field.ts";
import { startTurn, turn } from "../http2/turn.ts";
import { Relay } from "../relay.ts";
import { contextOfBranches, type RelayContext, type RelayedTo } from "../relay-context.ts";
import type { FanOutKind, OneToMany, Rewrite } from "../route/director.ts";
import { type CompleteGatherPolicy, completeGather } from "../route/gather-policy.ts";
import type { MethodSchema, Schema } from "../schema/schema.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { CallTarget } from "../upstream/upstream.ts";
import type { CallWaiter, CancelWait, Reached } from "../upstream/waiter.ts";
import { FanOut } from "./fan-out.ts";
import { Hops, hopsHeader } from "./hops.ts";
import { InterleavedReply } from "./interleaved-reply.ts";
import { JoinedReply } from "./joined-reply.ts";
import { joinedSchema, pathAtEndpoints } from "./joined-schema.ts";

/** What belongs to the hop: replies have to come uncompressed to be joined. */
const ownHeaders = ["grpc-accept-encoding", hopsHeader];

/**
 * @throws ConnectError `unavailable` without endpoints, `failed_precondition` in a loop of proxies, `unimplemented` for messages that aren't
 * protobuf
 * @throws TypeError for a policy that can't be
 */
export function fanOutTarget(destination: OneToMany, call: Call & { codec: string }, context: RelayContext): RelayedTo {
  const { endpoints, route, timeoutMs } = destination;
  if (endpoints.length === 0) throw new ConnectError("no endpoint to fan out to", Code.Unavailable);
  if (call.codec !== "proto" && call.codec !== "json") {
    throw new ConnectError(`replies in codec "${call.codec}" can't be joined, only protobuf`, Code.Unimplemented);
  }
  const hops = hopsOf(context).enter(call, endpoints[0]!);
  return {
    upstream: new FanOutTarget(destination, { context, hops }),
    rewrite: rewriteOf(destination.rewrite),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(route === undefined ? {} : { route }),
  };
}

/** What the relay of the call has reached. Its endpoints are told how it went by the attempts of the legs. */
class Many implements Reached {
  readonly address = "";
  readonly secure = false;
  fanOut: FanOut | undefined;
  readonly #count: number;

  constructor(count: number) {
    this.#count = count;
  }

  /** "3 endpoints, 1 failed": for the log, when the call is over. */
  get name(): string {
    const failed = this.fanOut?.tally.failed ?? 0;
    return `${this.#count} endpoint${this.#count === 1 ? "" : "s"}${failed === 0 ? "" : `, ${failed} failed`}`;
  }

  begin(): void {}
  report(): void {}
}

class FanOutTarget implements CallTarget {
  readonly protocols = ["grpc"] as const;
  readonly codecs = ["proto"] as const;
  readonly #destination: OneToMany;
  readonly #context: RelayContext;
  readonly #hops: Field;
  readonly #policy: CompleteGatherPolicy;
  readonly endpoints: readonly Endpoint[];

  constructor(destination: OneToMany, { context, hops }: { context: RelayContext; hops: Field }) {
    this.#destination = destination;
    this.endpoints = destination.endpoints;
    this.#context = context;
    this.#hops = hops;
    this.#policy = completeGather(destination.gather);
  }

  /** Asked for by callers that speak JSON only. */
  get schema(): Schema {
    return this.#destination.schema ?? joinedSchema(this.#destination, () => this.#upstreamSchema());
  }

  /** Names of the upstreams, "nodes+more". */
  get name(): string {
    return [...new Set(this.endpoints.map(({ upstream }) => upstream.name))].join("+");
  }

  acquire(call: Call, waiter: CallWaiter): CancelWait | undefined {
    const { kind } = this.#destination;
    const known = kind ?? this.#kindOf(call);
    if (!(known instanceof Promise)) {
      this.#open(call, known, waiter);
      return undefined;
    }
    let waits = true;
    known
      .then((found) => {
        startTurn();
        if (waits) this.#open(call, found, waiter);
      })
      .catch((error) => {
        if (waits) waiter.onUnavailable(ConnectError.from(error));
      });
    return () => {
      waits = false;
    };
  }

  #open(call: Call, kind: FanOutKind, waiter: CallWaiter): void {
    const many = new Many(this.endpoints.length);
    const request = (fields: readonly Field[], end: boolean, listener: StreamListener): FanOut => {
      many.fanOut = this.#create(kind, call, { fields, end, listener });
      return many.fanOut;
    };
    waiter.onConnection({ request }, many);
    many.fanOut?.start();
  }

  #create(kind: FanOutKind, call: Call, { fields, end, listener }: Request): FanOut {
    const { endpoints, layout, nested, outgoing } = this.#destination;
    const policy = kind === "stream" ? { ...this.#policy, wait: "all" as const } : this.#policy;
    const context = contextOfBranches(this.#context);
    const own = new InboundCall([...fields, this.#hops], { peer: call.peer, secure: call.secure });
    const { startedAt, timeoutMs } = own;
    const { legTimeoutMs } = policy;
    const fieldsOf = sharedFields(own);
    return new FanOut({
      endpoints,
      policy,
      deadline: timeoutMs === undefined ? Number.POSITIVE_INFINITY : startedAt + timeoutMs,
      listener,
      end,
      relayOf(leg) {
        const { endpoint } = leg;
        const added = outgoing?.(endpoint, call);
        const destination: RelayedTo = {
          upstream: endpoint.upstream,
          endpoint,
          fieldsOf,
          ...(added === undefined ? {} : { rewrite: { addHeaders: added } }),
          ...(legTimeoutMs === undefined ? {} : { timeoutMs: performance.now() - startedAt + legTimeoutMs }),
        };
        return [new Relay(own, leg, context), destination];
      },
      replyOf(fanOut) {
        const options = { layout, policy, nested, stream: kind === "stream" };
        return kind === "unary" ? new JoinedReply(fanOut, options) : new InterleavedReply(fanOut, options);
      },
    });
  }

  /** A schema that can't be had just now fails the call: the reply would be of another form than what the caller reads. */
  #kindOf(call: Call): FanOutKind | Promise<FanOutKind> {
    const method = this.#upstreamSchema()?.method(pathAtEndpoints(this.#destination, call.path));
    return method instanceof Promise ? method.then(kindOfMethod) : kindOfMethod(method);
  }

  #upstreamSchema(): Schema | undefined {
    return this.#context.schemaOf(this.#destination.endpoints[0]!.upstream);
  }
}

/** What a relay opens its stream with. */
interface Request {
  readonly fields: readonly Field[];
  readonly end: boolean;
  readonly listener: StreamListener;
}

/** The same fields for all legs that begin in one turn; a leg's own rewrite or time makes fields of its own. */
function sharedFields(call: InboundCall): (options: ForwardOptions) => Field[] {
  let shared: Field[] | undefined;
  let known: ForwardOptions | undefined;
  let since = 0;
  return (options) => {
    const { fields, verbatim, rewrite, secure, deadline } = options;
    if (!verbatim || rewrite !== undefined || fields !== call.fields) return forwardFields(call, options);
    const same = known?.secure === secure && known.deadline === deadline;
    if (shared !== undefined && same && (deadline === undefined || since === turn.now)) return shared;
    known = options;
    since = turn.now;
    shared = forwardFields(call, options);
    return shared;
  };
}

function kindOfMethod(method: MethodSchema | undefined): FanOutKind {
  return method?.kind === "unary" || method?.kind === "client_streaming" ? "unary" : "stream";
}

const hopsOfProxies = new WeakMap<RelayContext, Hops>();

function hopsOf(context: RelayContext): Hops {
  const known = hopsOfProxies.get(context) ?? new Hops();
  hopsOfProxies.set(context, known);
  return known;
}

const rewrites = new WeakMap<Rewrite, Rewrite>();

/** The same object for the same: what has been looked at isn't looked at again. */
function rewriteOf(rewrite: Rewrite = asItCame): Rewrite {
  const known = rewrites.get(rewrite);
  if (known !== undefined) return known;
  const made = { ...rewrite, removeHeaders: [...ownHeaders, ...(rewrite.removeHeaders ?? [])] };
  rewrites.set(rewrite, made);
  return made;
}

const asItCame: Rewrite = {};
