/** Proxy: the spine. Opens a call, asks the director, relays; and the one place where what goes wrong becomes an answer. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { type AdmissionOptions, createAdmission, inTurn } from "./admit/admission.ts";
import { type Admit, HttpRefusal, InboundCall, type InboundRequest, type Origin } from "./call.ts";
import { contained, errorText } from "./contained.ts";
import { Deadlines } from "./deadlines.ts";
import { fanOutTarget } from "./fan-out/target.ts";
import type { StreamListener } from "./http2/api.ts";
import { valueOf } from "./http2/field.ts";
import { startTurn } from "./http2/turn.ts";
import { createLocalRoutes, type Routes } from "./local/routes.ts";
import type { CallRecord, HttpRefusalRecord } from "./observe/call-record.ts";
import type { Log } from "./observe/log.ts";
import { schemasOf } from "./own-call.ts";
import { serveOwn } from "./own-service.ts";
import { answerPlain, type PlainHttpContext, type ServeHttp } from "./plain-http.ts";
import { MethodKinds } from "./protocol/method-kinds.ts";
import { Relay } from "./relay.ts";
import type { RelayContext, RelayedTo } from "./relay-context.ts";
import { retryTarget } from "./retry/target.ts";
import type { Destination, Director } from "./route/director.ts";
import { createHandler } from "./universal/handler.ts";

export interface ProxyOptions extends AdmissionOptions {
  /** Decides where each call goes. */
  readonly director: Director;
  /** Told of every call that is over, with its true status. Default: nobody. */
  readonly onCall?: (record: CallRecord) => void;
  /** Told of every request that was refused in plain HTTP, because it is no RPC or no request at all. Default: nobody. */
  readonly onHttpRefusal?: (record: HttpRefusalRecord) => void;
  /** For what goes wrong inside: a director that throws something else than a `ConnectError`. Default: nowhere. */
  readonly log?: Log;
  /** Services of our own: they win over the director, and are spoken to in all three protocols. Default: none. */
  readonly routes?: Routes;
  /** Answers requests that are no RPC, such as a browser's for a page. Default: 404, 405 or 415, as fits. */
  readonly serveHttp?: ServeHttp;
}

export interface Proxy {
  /** The proxy for hosts of other makers: Connect's adapters for Node, Express, Fastify, and everything that speaks fetch. */
  readonly handler: UniversalHandlerFn;
  /** Takes a request; what it returns is told the rest of it. Never throws: whatever goes wrong is an answer. */
  accept(request: InboundRequest): StreamListener;
  /** For listeners: what came was no request, and they have answered it with this status. */
  noteUnreadable(origin: Origin, status: number, message: string): void;
  /**
   * Changes what decides about calls that come from now on; those there are go on as it was decided for them.
   *
   * @throws TypeError if two local services have one path; then nothing has changed
   */
  update(options: Pick<ProxyOptions, "director" | "routes">): void;
}

/** Creates a proxy. It holds no sockets: `serve` gives it listeners, and upstreams dial for themselves. */
export function createProxy(options: ProxyOptions): Proxy {
  const { onCall, onHttpRefusal, log, routes, serveHttp } = options;
  const onRefusal = onHttpRefusal && contained(onHttpRefusal, { log, what: "onHttpRefusal" });
  const plain: PlainHttpContext = { serveHttp, onRefusal, log };
  const context: RelayContext = {
    deadlines: new Deadlines(),
    kinds: new MethodKinds(),
    schemaOf: schemasOf(() => context),
    onCall: onCall && contained(onCall, { log, what: "onCall" }),
  };
  const admitAll = createAdmission(options);
  let { director } = options;
  let local = routes && createLocalRoutes(routes);

  function accept(request: InboundRequest): StreamListener {
    const { stream, fields, origin } = request;
    const admit = inTurn(origin.admit, admitAll);
    const own = local?.match(valueOf(fields, ":path") ?? "");
    if (own !== undefined) return serveOwn(own, request, { relay: context, admit, refuse, plain });
    let call: InboundCall;
    try {
      call = new InboundCall(fields, origin);
    } catch (error) {
      if (!(error instanceof HttpRefusal)) throw error;
      return answerPlain(request, error, plain);
    }
    const relay = new Relay(call, stream, context);
    stream.listener = relay;
    try {
      if (call.fault !== undefined) throw call.fault;
      enter(call, relay, admit);
    } catch (error) {
      refuse(call, relay, error);
    }
    return stream.listener;
  }

  // The steps of a call. Each goes on at once where there is nothing to wait for.

  function enter(call: InboundCall, relay: Relay, admit: Admit | undefined): void {
    const waiting = admit?.(call);
    if (waiting === undefined) direct(call, relay);
    else later(waiting, { call, relay }, () => direct(call, relay));
  }

  function direct(call: InboundCall, relay: Relay): void {
    const destination = director(call);
    if (!(destination instanceof Promise)) go(call, relay, destination);
    else later(destination, { call, relay }, (decided) => go(call, relay, decided));
  }

  function go(call: InboundCall, relay: Relay, destination: Destination): void {
    const waiting = destination.admit?.(call);
    if (waiting === undefined) send(call, relay, destination);
    else later(waiting, { call, relay }, () => send(call, relay, destination));
  }

  function send(call: InboundCall, relay: Relay, destination: Destination): void {
    call.dropRestricted();
    relay.start(targetOf(destination, call, context));
  }

  function later<T>(waiting: Promise<T>, { call, relay }: Waiting, next: (value: T) => void): void {
    waiting
      .then((value) => {
        startTurn(); // time has passed: the caller's deadline has less left
        next(value);
      })
      .catch((error) => refuse(call, relay, error));
  }

  /** The one catch: a refusal of the director is the caller's to know, anything else is ours alone. */
  function refuse(call: InboundCall, relay: Relay, error: unknown): void {
    if (error instanceof ConnectError) return relay.refuse(error);
    log?.error({ path: call.path, error: errorText(error) }, "director failed");
    relay.refuse(new ConnectError("internal error", Code.Internal, undefined, undefined, error));
  }

  return {
    accept,
    handler: createHandler({ accept }),
    noteUnreadable({ peer }, httpStatus, message) {
      onRefusal?.({ peer, httpStatus, message });
    },
    update(next) {
      local = next.routes && createLocalRoutes(next.routes);
      director = next.director;
    },
  };
}

/** A call that waits for a decision. */
interface Waiting {
  readonly call: InboundCall;
  readonly relay: Relay;
}

/** One to many is one to something that stands for many, and so is one that may be tried again. */
function targetOf(destination: Destination, call: InboundCall, context: RelayContext): RelayedTo {
  switch (destination.mode) {
    case "one-to-one":
      return destination.retry === undefined ? destination : retryTarget(destination, destination.retry, context);
    case "one-to-many":
      return fanOutTarget(destination, call, context);
    default:
      throw new TypeError(`director returned mode "${(destination as { mode: unknown }).mode}"`);
  }
}
