/** Proxy: the spine. Opens a call, asks the director, relays; and the one place where what goes wrong becomes an answer. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { type AdmissionOptions, createAdmission, inTurn } from "./admit/admission.ts";
import { type Admit, type Call, HttpRefusal, InboundCall, type Origin } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import { fanOutTarget } from "./fan-out/target.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { type Field, valueOf } from "./http2/field.ts";
import { startTurn } from "./http2/turn.ts";
import { createLocalRoutes, type Routes } from "./local/routes.ts";
import type { CallRecord, HttpRefusalRecord } from "./observe/call-record.ts";
import type { Log } from "./observe/log.ts";
import { callerOf } from "./own-call.ts";
import { serveOwn } from "./own-service.ts";
import { askForAnswer, httpRequest, type ServeHttp, sendAnswer } from "./plain-http.ts";
import { MethodKinds } from "./protocol/method-kinds.ts";
import { answerHttp, discardRest } from "./refuse.ts";
import { Relay } from "./relay.ts";
import type { RelayContext } from "./relay-context.ts";
import { retryTarget } from "./retry/target.ts";
import type { Destination, Director } from "./route/director.ts";
import { ReflectedSchema } from "./schema/reflected.ts";
import type { ReflectionCall } from "./schema/reflection.ts";
import type { Schema } from "./schema/schema.ts";
import { type Acceptor, createHandler } from "./universal/handler.ts";
import type { CallTarget } from "./upstream/upstream.ts";

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

/** A request that has come over HTTP/2. */
export interface InboundRequest {
  readonly stream: HttpStream;
  readonly fields: readonly Field[];
  readonly origin: Origin;
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
  const noteRefusal = onHttpRefusal && contained(onHttpRefusal, { log, what: "onHttpRefusal" });
  const admitAll = createAdmission(options);
  let { director } = options;
  let local = routes && createLocalRoutes(routes);
  const context: RelayContext = {
    deadlines: new Deadlines(),
    kinds: new MethodKinds(),
    schemaOf: schemasOf((upstream) => callerOf(upstream, context)),
    onCall: onCall && contained(onCall, { log, what: "onCall" }),
  };

  /** Goes on once the call is admitted; where nobody is asked, at once. */
  function enter(call: InboundCall, relay: Relay, admit: Admit | undefined): void {
    const waiting = admit?.(call);
    if (waiting === undefined) return direct(call, relay);
    waiting
      .then(() => {
        startTurn(); // time has passed: the caller's deadline has less left
        direct(call, relay);
      })
      .catch(refuseWith(call, relay));
  }

  function direct(call: InboundCall, relay: Relay): void {
    const destination = director(call);
    if (!(destination instanceof Promise)) return go(call, relay, destination);
    destination
      .then((decided) => {
        startTurn();
        go(call, relay, decided);
      })
      .catch(refuseWith(call, relay));
  }

  function go(call: InboundCall, relay: Relay, destination: Destination): void {
    const waiting = destination.admit?.(call);
    if (waiting === undefined) return send(relay, { destination, call, context });
    waiting
      .then(() => {
        startTurn();
        send(relay, { destination, call, context });
      })
      .catch(refuseWith(call, relay));
  }

  /** The one catch: a refusal of the director is the caller's to know, anything else is ours alone. */
  function refuseWith(call: InboundCall, relay: Relay): (error: unknown) => void {
    return (error) => {
      if (error instanceof ConnectError) return relay.refuse(error);
      log?.error({ path: call.path, error: errorText(error) }, "director failed");
      relay.refuse(new ConnectError("internal error", Code.Internal, undefined, undefined, error));
    };
  }

  const refuseCall = (call: InboundCall, relay: Relay, error: unknown) => refuseWith(call, relay)(error);
  const noteHttpRefusal = (refusal: HttpRefusal, origin: Origin, fields: readonly Field[]) =>
    noteRefusal?.(refusalRecord(origin, refusal, fields));

  const proxy: Acceptor = {
    accept({ stream, fields, origin }) {
      const own = local?.match(valueOf(fields, ":path") ?? "");
      if (own !== undefined) {
        const ownContext = {
          relay: context,
          admit: inTurn(origin.admit, admitAll),
          refuse: refuseCall,
          noteHttpRefusal,
        };
        return serveOwn(own, { stream, fields, origin }, ownContext);
      }
      let call: InboundCall;
      try {
        call = new InboundCall(fields, origin);
      } catch (error) {
        if (!(error instanceof HttpRefusal)) throw error;
        const request = httpRequest(fields);
        const answer = serveHttp && askForAnswer(serveHttp, request, log);
        if (answer === undefined) {
          answerHttp(stream, error, request.method === "HEAD");
          noteHttpRefusal(error, origin, fields);
        } else sendAnswer(stream, request.method, answer);
        return discardRest(stream);
      }
      const relay = new Relay(call, stream, context);
      stream.listener = relay;
      try {
        if (call.fault !== undefined) throw call.fault;
        enter(call, relay, origin.admit === undefined ? admitAll : inTurn(origin.admit, admitAll));
      } catch (error) {
        refuseWith(call, relay)(error);
      }
      return stream.listener;
    },
  };
  return {
    ...proxy,
    handler: createHandler(proxy),
    noteUnreadable({ peer }, httpStatus, message) {
      noteRefusal?.({ peer, httpStatus, message });
    },
    update(next) {
      local = next.routes && createLocalRoutes(next.routes);
      director = next.director;
    },
  };
}

function refusalRecord(
  { peer }: Origin,
  { status, message }: HttpRefusal,
  fields: readonly Field[],
): HttpRefusalRecord {
  const { method, path } = httpRequest(fields);
  const authority = valueOf(fields, ":authority") ?? valueOf(fields, "host");
  return { peer, httpStatus: status, message, method, path, ...(authority === undefined ? {} : { authority }) };
}

/** Looks up the schema of an upstream; those by reflection are asked for once and kept as long as their upstream. */
function schemasOf(caller: (upstream: CallTarget) => ReflectionCall): (upstream: CallTarget) => Schema | undefined {
  const reflected = new WeakMap<CallTarget, Schema>();
  return (upstream) => {
    if (upstream.schema !== "reflection") return upstream.schema;
    const known = reflected.get(upstream) ?? new ReflectedSchema(caller(upstream));
    reflected.set(upstream, known);
    return known;
  };
}

/** What the director has decided, and of which call. */
interface Decided {
  readonly destination: Destination;
  readonly call: InboundCall;
  readonly context: RelayContext;
}

/** One to many is one to something that stands for many. */
function send(relay: Relay, { destination, call, context }: Decided): void {
  call.dropRestricted();
  switch (destination.mode) {
    case "one-to-one":
      if (destination.retry === undefined) return relay.start(destination);
      return relay.start(retryTarget(destination, destination.retry, context));
    case "one-to-many":
      return relay.start(fanOutTarget(destination, call, context));
    default:
      throw new TypeError(`director returned mode "${(destination as { mode: unknown }).mode}"`);
  }
}

/** What a user's callback throws is logged: it would end the connection, or from a timer the process, that it was called for. */
function contained<Told extends { readonly call?: Call; readonly path?: string }>(
  tell: (record: Told) => void,
  { log, what }: { readonly log: Log | undefined; readonly what: string },
): (record: Told) => void {
  return (record) => {
    try {
      tell(record);
    } catch (error) {
      log?.error({ path: record.call?.path ?? record.path, error: errorText(error) }, `${what} failed`);
    }
  };
}

function errorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
