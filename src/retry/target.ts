/** Target: makes of an upstream one whose calls are tried again, as a policy says; a relay sends calls to it as to any upstream. */
import { type Call, InboundCall } from "../call.ts";
import type { StreamListener } from "../http2/api.ts";
import { Field } from "../http2/field.ts";
import { Relay } from "../relay.ts";
import { contextOfBranches, type RelayContext, type RelayedTo } from "../relay-context.ts";
import type { OneToOne } from "../route/director.ts";
import { type CompleteRetryPolicy, completeRetry, type RetryPolicy } from "../route/retry-policy.ts";
import type { Schema } from "../schema/schema.ts";
import type { Breaker } from "../upstream/breaker.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { CallTarget } from "../upstream/upstream.ts";
import type { CallWaiter, CancelWait, Reached } from "../upstream/waiter.ts";
import { Tries } from "./tries.ts";
import type { Try } from "./try.ts";

/**
 * Where a relay sends a call that may be tried again. Inside it is one of gRPC, so calls of other protocols are bridged, not passed verbatim.
 *
 * @throws TypeError for a policy that can't be
 */
export function retryTarget(
  { upstream, endpoint, route, rewrite, timeoutMs }: OneToOne,
  policy: RetryPolicy,
  context: RelayContext,
): RelayedTo {
  const to: RelayedTo = endpoint === undefined ? { upstream } : { upstream, endpoint };
  return {
    upstream: new RetryTarget(to, completeRetry(policy), { breaker: upstream.breaker, context }),
    ...(route === undefined ? {} : { route }),
    ...(rewrite === undefined ? {} : { rewrite }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

interface Around {
  readonly breaker: Breaker;
  readonly context: RelayContext;
}

/** What the relay of the call has reached: the endpoint of the last try, which was told how it went by an attempt of its own. */
class Last implements Reached {
  readonly address = "";
  tries: Tries | undefined;
  endpoint: Reached | undefined;

  constructor(endpoint: Reached | undefined) {
    this.endpoint = endpoint;
  }

  /** "node-2", or "node-2, try 2": for the log, when the call is over. */
  get name(): string {
    const count = this.tries?.count ?? 0;
    const name = this.endpoint?.name ?? "none";
    return count > 1 ? `${name}, try ${count}` : name;
  }

  get secure(): boolean {
    return this.endpoint?.secure ?? false;
  }

  get why(): unknown {
    return this.tries?.why;
  }

  begin(): void {}
  report(): void {}
}

class RetryTarget implements CallTarget {
  readonly name: string;
  readonly protocols = ["grpc"] as const;
  readonly codecs: readonly string[];
  readonly schema: Schema | "reflection" | undefined;
  readonly endpoints: readonly Endpoint[];
  readonly #to: RelayedTo;
  readonly #policy: CompleteRetryPolicy;
  readonly #context: RelayContext;
  readonly #breaker: Breaker;
  readonly #last: Last;
  /** When the call must be over, whichever try is on: in milliseconds of `performance.now()`. */
  #deadline: number | undefined;

  constructor(to: RelayedTo, policy: CompleteRetryPolicy, { breaker, context }: Around) {
    this.#to = to;
    this.#policy = policy;
    this.#last = new Last(to.endpoint);
    this.#breaker = breaker;
    this.#context = contextOfBranches(context);
    this.name = to.upstream.name;
    this.codecs = to.upstream.codecs;
    this.schema = to.upstream.schema;
    this.endpoints = to.upstream.endpoints;
  }

  acquire(call: Call, waiter: CallWaiter): CancelWait | undefined {
    const request = (fields: readonly Field[], end: boolean, listener: StreamListener): Tries => {
      this.#last.tries = new Tries({
        policy: this.#policy,
        breaker: this.#breaker,
        listener,
        end,
        begin: (one, number) => this.#begin(one, number, { fields, call }),
      });
      return this.#last.tries;
    };
    waiter.onConnection({ request }, this.#last);
    this.#last.tries?.start();
    return undefined;
  }

  #begin(one: Try, number: number, { fields, call }: { fields: readonly Field[]; call: Call }): void {
    const { perTryTimeoutMs = Number.POSITIVE_INFINITY } = this.#policy;
    // gRPC A6: servers may want to know that they see a call again
    const own = number === 0 ? fields : [...fields, new Field("grpc-previous-rpc-attempts", String(number))];
    const tried = new InboundCall(own, { peer: call.peer, secure: call.secure });
    // the fields say what was left before the first
    this.#deadline ??= tried.startedAt + (tried.timeoutMs ?? Number.POSITIVE_INFINITY);
    const timeoutMs = Math.min(perTryTimeoutMs, this.#deadline - tried.startedAt);
    one.relay = new Relay(tried, one, this.#context);
    one.listener = one.relay;
    one.relay.start({
      ...this.#to,
      upstream: this.#avoiding(call),
      ...(timeoutMs === Number.POSITIVE_INFINITY ? {} : { timeoutMs }),
    });
  }

  /**
   * The upstream, which gives another endpoint than that of the last try, if it has any. It chooses by the call as it came: a try has only
   * those headers that the route lets through.
   */
  #avoiding(call: Call): CallTarget {
    const { upstream } = this.#to;
    const last = this.#last.endpoint;
    const acquire = (_try: Call, waiter: CallWaiter, avoid?: Reached) => {
      const noting: CallWaiter = {
        onConnection: (connection, endpoint) => {
          this.#last.endpoint = endpoint;
          waiter.onConnection(connection, endpoint);
        },
        onUnavailable: (error) => waiter.onUnavailable(error),
      };
      return upstream.acquire(call, noting, avoid ?? last);
    };
    const { name, protocols, codecs, schema, endpoints } = upstream;
    return { name, protocols, codecs, schema, endpoints, acquire };
  }
}
