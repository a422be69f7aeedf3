/** Proxy: the spine. Opens a call, asks the director, relays; and the one place where what goes wrong becomes an answer. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { type AdmissionOptions, createAdmission, inTurn } from "./admit/admission.ts";
import { type Admit, HttpRefusal, InboundCall, type Origin } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import type { HttpStream, StreamListener } from "./http2/api.ts";
import { type Field, valueOf } from "./http2/field.ts";
import { startTurn } from "./http2/turn.ts";
import { createLocalRoutes, type Routes } from "./local/routes.ts";
import type { CallRecord } from "./observe/call-record.ts";
import type { Log } from "./observe/log.ts";
import { callerOf } from "./own-call.ts";
import { serveOwn } from "./own-service.ts";
import { askForAnswer, httpRequest, type ServeHttp, sendAnswer } from "./plain-http.ts";
import { MethodKinds } from "./protocol/method-kinds.ts";
import { answerHttp, discardRest } from "./refuse.ts";
import { Relay, type RelayContext } from "./relay.ts";
import type { Destination, Director } from "./route/director.ts";
import { ReflectedSchema } from "./schema/reflected.ts";
import type { ReflectionCall } from "./schema/reflection.ts";
import type { Schema } from "./schema/schema.ts";
import { type Acceptor, createHandler } from "./universal/handler.ts";
import type { Upstream } from "./upstream/upstream.ts";

export interface ProxyOptions extends AdmissionOptions {
  /** Decides where each call goes. */
  readonly director: Director;
  /** Told of every call that is over, with its true status. Default: nobody. */
  readonly onCall?: (record: CallRecord) => void;
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
}

/** Creates a proxy. It holds no sockets: `serve` gives it listeners, and upstreams dial for themselves. */
export function createProxy(options: ProxyOptions): Proxy {
  const { director, onCall, log, routes, serveHttp } = options;
  const admitAll = createAdmission(options);
  const local = routes && createLocalRoutes(routes);
  const context: RelayContext = {
    deadlines: new Deadlines(),
    kinds: new MethodKinds(),
    schemaOf: schemasOf((upstream) => callerOf(upstream, context)),
    onCall: onCall && contained(onCall, log),
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
    if (waiting === undefined) return send(call, relay, destination);
    waiting
      .then(() => {
        startTurn();
        send(call, relay, destination);
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

  const proxy: Acceptor = {
    accept({ stream, fields, origin }) {
      const own = local?.match(valueOf(fields, ":path") ?? "");
      if (own !== undefined) {
        const refuse = (call: InboundCall, relay: Relay, error: unknown) => refuseWith(call, relay)(error);
        return serveOwn(
          own,
          { stream, fields, origin },
          { relay: context, admit: inTurn(origin.admit, admitAll), refuse },
        );
      }
      let call: InboundCall;
      try {
        call = new InboundCall(fields, origin);
      } catch (error) {
        if (!(error instanceof HttpRefusal)) throw error;
        const request = httpRequest(fields);
        const answer = serveHttp && askForAnswer(serveHttp, request, log);
        if (answer === undefined) answerHttp(stream, error, request.method === "HEAD");
        else sendAnswer(stream, request.method, answer);
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
  return { ...proxy, handler: createHandler(proxy) };
}

/** Looks up the schema of an upstream; those by reflection are asked for once and kept as long as their upstream. */
function schemasOf(caller: (upstream: Upstream) => ReflectionCall): (upstream: Upstream) => Schema | undefined {
  const reflected = new WeakMap<Upstream, Schema>();
  return (upstream) => {
    if (upstream.schema !== "reflection") return upstream.schema;
    const known = reflected.get(upstream) ?? new ReflectedSchema(caller(upstream));
    reflected.set(upstream, known);
    return known;
  };
}

function send(call: InboundCall, relay: Relay, destination: Destination): void {
  call.dropRestricted();
  switch (destination.mode) {
    case "one-to-one":
      return relay.start(destination);
    default:
      throw new TypeError(`director returned mode "${(destination as { mode: unknown }).mode}"`);
  }
}

/** What a user's callback throws is logged: it would end the connection, or from a timer the process, that it was called for. */
function contained(onCall: (record: CallRecord) => void, log: Log | undefined): (record: CallRecord) => void {
  return (record) => {
    try {
      onCall(record);
    } catch (error) {
      log?.error({ path: record.call.path, error: errorText(error) }, "onCall failed");
    }
  };
}

function errorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
