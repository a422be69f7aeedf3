/** Forward: the header fields of a request as the upstream gets them. */
import type { InboundCall } from "./call.ts";
import { Field, FieldKind, Indexing } from "./http2/field.ts";
import { turn } from "./http2/turn.ts";
import type { Rewrite } from "./route/director.ts";
import { parsePath } from "./wire/path.ts";
import { formatGrpcTimeout } from "./wire/timeout.ts";

const post = new Field(":method", "POST");
const schemes = { http: new Field(":scheme", "http"), https: new Field(":scheme", "https") };
const teTrailers = new Field("te", "trailers");

export interface ForwardOptions {
  readonly rewrite: Rewrite | undefined;
  /** The upstream connection is TLS: `:scheme` says what the upstream sees, not what the caller saw. */
  readonly secure: boolean;
  /** When the call must be over, in milliseconds of `performance.now()`; undefined without a deadline. */
  readonly deadline: number | undefined;
}

/**
 * Copies the caller's fields, all and in their order, but for `:scheme`; host, which becomes `:authority`; grpc-timeout,
 * which becomes the time that is left; te, of which there is exactly one; http2-settings; and what the route rewrites.
 */
export function forwardFields(call: InboundCall, { rewrite, secure, deadline }: ForwardOptions): Field[] {
  const out = [post, secure ? schemes.https : schemes.http];
  const authority = authorityField(call, rewrite);
  if (authority !== undefined) out.push(authority);
  out.push(rewrite?.service === undefined ? call.pathField : new Field(":path", `/${rewrite.service}/${call.method}`));
  const removed = rewrite?.removeHeaders;
  const { fields } = call;
  let te = false;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    const { kind } = field;
    if (kind === FieldKind.te) {
      if (!te) out.push(teTrailers);
      te = true;
    } else if (kind === FieldKind.contentLength || (kind === FieldKind.regular && field !== call.timeoutField)) {
      if (field.name !== "http2-settings" && removed?.includes(field.name) !== true) out.push(field);
    }
  }
  if (!te) out.push(teTrailers);
  if (deadline !== undefined) out.push(timeoutField(call, deadline));
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

/** In the turn in which the call came no time has passed: the caller's own words stay. */
function timeoutField(call: InboundCall, deadline: number): Field {
  const own = call.timeoutField;
  if (own !== undefined && turn.now === call.startedAt && deadline === call.startedAt + call.timeoutMs!) return own;
  return new Field("grpc-timeout", formatGrpcTimeout(deadline - turn.now), Indexing.without);
}
