/** Proxy: the spine. Opens a call, asks the director, relays; and the one place where what goes wrong becomes an answer. */
import { Code, ConnectError } from "@connectrpc/connect";
import { HttpRefusal, InboundCall, type Origin } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import type { StreamListener } from "./http2/api.ts";
import { type Field, valueOf } from "./http2/field.ts";
import type { Http2Stream } from "./http2/stream.ts";
import { startTurn } from "./http2/turn.ts";
import type { CallRecord } from "./observe/call-record.ts";
import type { Log } from "./observe/log.ts";
import { answerHttp, discardRest, statusFields } from "./refuse.ts";
import { Relay, type RelayContext } from "./relay.ts";
import type { Destination, Director } from "./route/director.ts";

export interface ProxyOptions {
  /** Decides where each call goes. */
  readonly director: Director;
  /** Told of every call that is over, with its true status. Default: nobody. */
  readonly onCall?: (record: CallRecord) => void;
  /** For what goes wrong inside: a director that throws something else than a `ConnectError`. Default: nowhere. */
  readonly log?: Log;
}

/** A request that has come over HTTP/2. */
export interface InboundRequest {
  readonly stream: Http2Stream;
  readonly fields: readonly Field[];
  readonly origin: Origin;
}

export interface Proxy {
  /** Takes a request; what it returns is told the rest of it. Never throws: whatever goes wrong is an answer. */
  accept(request: InboundRequest): InboundListener;
}

/** A call that is under way. */
export interface InboundListener extends StreamListener {
  /** Ends it with a status of ours, unless it is over. */
  refuse?(error: ConnectError): void;
}

/** Creates a proxy. It holds no sockets: `serve` gives it listeners, and upstreams dial for themselves. */
export function createProxy({ director, onCall, log }: ProxyOptions): Proxy {
  const context: RelayContext = { deadlines: new Deadlines(), onCall: onCall && contained(onCall, log) };

  function direct(call: InboundCall, relay: Relay): void {
    const destination = director(call);
    if (!(destination instanceof Promise)) return go(relay, destination);
    destination
      .then((decided) => {
        startTurn(); // time has passed: the caller's deadline has less left
        go(relay, decided);
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

  return {
    accept({ stream, fields, origin }) {
      let call: InboundCall;
      try {
        call = new InboundCall(fields, origin);
      } catch (error) {
        if (error instanceof HttpRefusal) answerHttp(stream, error, valueOf(fields, ":method") === "HEAD");
        else stream.sendHeaders(statusFields(ConnectError.from(error), "application/grpc"), true);
        return discardRest(stream);
      }
      const relay = new Relay(call, stream, context);
      try {
        direct(call, relay);
      } catch (error) {
        refuseWith(call, relay)(error);
      }
      return relay;
    },
  };
}

function go(relay: Relay, destination: Destination): void {
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
