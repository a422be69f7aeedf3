/** Own service: a request for a service of this process, beside the proxy. Admitted as any other call, and recorded like it. */
import { Code } from "@connectrpc/connect";
import type { UniversalHandler, UniversalHandlerFn } from "@connectrpc/connect/protocol";
import { Hold } from "./admit/hold.ts";
import { type Admit, HttpRefusal, InboundCall, type InboundRequest } from "./call.ts";
import { errorText } from "./contained.ts";
import type { StreamListener } from "./http2/api.ts";
import { type LocalOutcome, type LocalRequest, serveLocal } from "./local/serve-local.ts";
import { noteRefusal, type PlainHttpContext, refusePlain } from "./plain-http.ts";
import { Relay } from "./relay.ts";
import type { RelayContext } from "./relay-context.ts";
import { parseStatus, statusOfHttp, statusOk } from "./wire/status.ts";

export interface OwnContext {
  readonly relay: RelayContext;
  /** Asked first; undefined: nobody. */
  readonly admit: Admit | undefined;
  /** Answers with what a gate has thrown. */
  refuse(call: InboundCall, relay: Relay, error: unknown): void;
  /** For what is no call. */
  readonly plain: PlainHttpContext;
}

/** Whoever asks whether we are alive has no token: load balancers and kubelets send none. */
const healthPath = "/grpc.health.v1.Health/";

/** Hands a request to the service's handler, once it is admitted. */
export function serveOwn(handler: UniversalHandler, request: InboundRequest, context: OwnContext): StreamListener {
  if (context.admit === undefined || handler.requestPath.startsWith(healthPath)) return hand(handler, request, context);
  return guard(handler, request, { ...context, admit: context.admit });
}

/**
 * Only what is a call can be admitted. What isn't one never comes to the handler, which might see one in it all the same.
 */
function guard(
  handler: UniversalHandlerFn,
  request: InboundRequest,
  context: OwnContext & { readonly admit: Admit },
): StreamListener {
  const { stream, fields, origin } = request;
  let call: InboundCall;
  try {
    call = new InboundCall(fields, origin);
  } catch (error) {
    if (!(error instanceof HttpRefusal)) throw error;
    return refusePlain(request, error, context.plain);
  }
  const refuse = (error: unknown): StreamListener => {
    const relay = new Relay(call, stream, context.relay);
    stream.listener = relay;
    context.refuse(call, relay, error);
    return stream.listener;
  };
  const admitted = (more?: Partial<LocalRequest>) => {
    call.dropRestricted();
    return hand(handler, { stream, fields: call.fields, origin }, context, { identity: call.identity, ...more });
  };
  try {
    if (call.fault !== undefined) throw call.fault;
    const waiting = context.admit(call);
    if (waiting === undefined) return admitted();
    const hold = new Hold(stream);
    waiting.then(
      () => hold.over || hold.passTo(admitted({ bodyless: hold.bodyless })),
      (error) => hold.over || hold.passTo(refuse(error)),
    );
    return hold;
  } catch (error) {
    return refuse(error);
  }
}

function hand(
  handler: UniversalHandlerFn,
  { stream, fields, origin }: InboundRequest,
  context: OwnContext,
  more: Partial<LocalRequest> = {},
): StreamListener {
  const httpVersion = origin.httpVersion ?? "2.0";
  const onEnd = recorder({ fields, origin, identity: more.identity }, context);
  return serveLocal(handler, { stream, fields, origin, httpVersion, onEnd, ...more });
}

/** A call to a service of our own is a line of the log like any other, and so is what was none, which the handler has refused. */
function recorder(
  { fields, origin, identity }: Omit<InboundRequest, "stream"> & Pick<LocalRequest, "identity">,
  { relay: { onCall }, plain }: OwnContext,
): ((outcome: LocalOutcome) => void) | undefined {
  if (onCall === undefined) return undefined;
  const startedAt = performance.now();
  return ({ status, grpcStatus, requestBytes, responseBytes, error }) => {
    const durationMs = performance.now() - startedAt;
    const code = grpcStatus !== undefined ? parseStatus(grpcStatus) : statusOfOutcome(status);
    try {
      const call = new InboundCall(fields, origin);
      call.identity = identity;
      const detail = error === undefined ? {} : { detail: errorText(error) };
      onCall({ call, status: code, endpoint: "local", requestBytes, responseBytes, durationMs, ...detail });
    } catch (error) {
      if (!(error instanceof HttpRefusal)) return;
      noteRefusal({ origin, fields }, new HttpRefusal(status ?? error.status, error.message), plain);
    }
  };
}

function statusOfOutcome(http: number | undefined): number {
  if (http === undefined) return Code.Canceled;
  return http === 200 ? statusOk : statusOfHttp(http);
}
