/** Forward: the header fields of a request as the upstream gets them. */
import type { InboundCall } from "./call.ts";
import { Field, FieldKind, Indexing } from "./http2/field.ts";
import { turn } from "./http2/turn.ts";
import type { Rewrite } from "./route/director.ts";
import { parsePath } from "./wire/path.ts";
import { formatConnectTimeout, formatGrpcTimeout } from "./wire/timeout.ts";

const post = new Field(":method", "POST");
const get = new Field(":method", "GET");
const schemes = { http: new Field(":scheme", "http"), https: new Field(":scheme", "https") };
const teTrailers = new Field("te", "trailers");

export interface ForwardOptions {
  /** The request's fields, in the protocol in which they are sent: the caller's own, or those of gRPC. */
  readonly fields: readonly Field[];
  /** They are the caller's own. */
  readonly verbatim: boolean;
  readonly rewrite: Rewrite | undefined;
  /** The upstream connection is TLS: `:scheme` says what the upstream sees, not what the caller saw. */
  readonly secure: boolean;
  /** When the call must be over, in milliseconds of `performance.now()`; undefined without a deadline. */
  readonly deadline: number | undefined;
}

/**
 * Copies the fields, all and in their order, but for `:scheme`; host, which becomes `:authority`; the deadline, which
 * becomes the time that is left; te, of which gRPC has exactly one; what is for one hop alone; and what the route rewrites.
 */
export function forwardFields(call: InboundCall, options: ForwardOptions): Field[] {
  const { fields, verbatim, rewrite, secure, deadline } = options;
  const isGrpc = !verbatim || call.protocol === "grpc";
  const out = [verbatim && call.get !== undefined ? get : post, secure ? schemes.https : schemes.http];
  const authority = authorityField(call, rewrite);
  if (authority !== undefined) out.push(authority);
  out.push(pathField(call, options));
  const removed = rewrite?.removeHeaders;
  let te = false;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    const { kind } = field;
    if (kind === FieldKind.te) {
      if (!te && isGrpc) out.push(teTrailers);
      te = true;
    } else if (kind === FieldKind.contentLength || (kind === FieldKind.regular && field !== call.timeoutField)) {
      if (removed?.includes(field.name) !== true) out.push(field);
    }
  }
  if (!te && isGrpc) out.push(teTrailers);
  if (deadline !== undefined) out.push(timeoutField(call, deadline, verbatim));
  if (rewrite?.addHeaders !== undefined) {
    for (const [name, value] of rewrite.addHeaders) out.push(new Field(name, value));
  }
  return out;
}

/** Those that were found well-formed: a route's is the same for all its calls. */
const wellFormed = new WeakSet<Rewrite>();

/**
 * Looks at what a director wants to have changed, before anything is sent (fault C1).
 *
 * @throws TypeError naming the value that can't be part of a request
 */
export function checkRewrite(rewrite: Rewrite | undefined): void {
  if (rewrite === undefined || wellFormed.has(rewrite)) return;
  const { authority, service, addHeaders = [] } = rewrite;
  if (authority !== undefined && !isValue(authority)) throw unusable("authority", authority);
  if (service !== undefined && parsePath(`/${service}/M`) === undefined) throw unusable("service", service);
  for (const [name, value] of addHeaders) {
    if (!isValue(value)) throw unusable(`value of header ${name}`, value);
    if (new Field(name, value).kind !== FieldKind.regular) throw unusable("header", name);
  }
  wellFormed.add(rewrite);
}

/** One character for each byte, and none that section 8.2.1 of RFC 9113 forbids. */
function isValue(text: unknown): boolean {
  return typeof text === "string" && /^[^\0\r\n\u0100-\uffff]*$/.test(text);
}

function unusable(what: string, value: unknown): TypeError {
  return new TypeError(`rewrite: ${what} ${JSON.stringify(value)} can't be sent`);
}

function authorityField(call: InboundCall, rewrite: Rewrite | undefined): Field | undefined {
  if (rewrite?.authority !== undefined) return new Field(":authority", rewrite.authority);
  if (call.authorityField?.kind !== FieldKind.host) return call.authorityField;
  return new Field(":authority", call.authorityField.value);
}

/** A query is Connect's GET: it goes along where the request does. */
function pathField(call: InboundCall, { verbatim, rewrite }: ForwardOptions): Field {
  const query = verbatim && call.query !== undefined ? `?${call.query}` : "";
  if (rewrite?.service === undefined && rewrite?.method === undefined && query === "") return call.pathField;
  const { service = call.service, method = call.method } = rewrite ?? {};
  return new Field(":path", `/${service}/${method}${query}`);
}

/** In the turn in which the call came no time has passed: the caller's own words stay. */
function timeoutField(call: InboundCall, deadline: number, verbatim: boolean): Field {
  const own = call.timeoutField;
  const connect = verbatim && call.protocol === "connect";
  const sameWords = verbatim || call.protocol !== "connect";
  if (own !== undefined && sameWords && turn.now === call.startedAt && deadline === call.startedAt + call.timeoutMs!) {
    return own;
  }
  const left = deadline - turn.now;
  if (connect) return new Field("connect-timeout-ms", formatConnectTimeout(left), Indexing.without);
  return new Field("grpc-timeout", formatGrpcTimeout(left), Indexing.without);
}
