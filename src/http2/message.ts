/** Which header lists are well-formed requests, responses and trailers (RFC 9113 sections 8.1 to 8.3). */
import { type Field, FieldKind } from "./field.ts";

/** What a check finds out on its way, so that nobody has to look for it again. */
export interface MessageHead {
  /** Why the message is malformed, or undefined where it is well-formed. */
  readonly fault?: string;
  /** Value of content-length, or -1. */
  readonly contentLength: number;
  /** Response only: the status code. */
  readonly status: number;
}

const { method, scheme, authority, path, status, te, contentLength, connectionSpecific, malformed } = FieldKind;

const plain: MessageHead = { contentLength: -1, status: 0 };
const responses = new Map<string, MessageHead>();

/** Checks a request's fields: one each of :method, :scheme and :path, at most one :authority, all before the others. */
export function checkRequest(fields: readonly Field[]): MessageHead {
  let seen = 0;
  let length: Field | undefined;
  let regular = false;
  let connect = false;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    const kind = field.kind;
    if (kind >= method && kind <= path) {
      if (regular) return fault(`pseudo-header ${field.name} after a regular field`);
      if (seen & (1 << kind)) return fault(`two ${field.name} fields`);
      seen |= 1 << kind;
      if (kind === method) connect = field.value === "CONNECT";
      if (kind === path && field.value === "") return fault("empty :path");
      continue;
    }
    regular = true;
    if (kind === 0) continue;
    const wrong = checkRegular(field, length);
    if (wrong !== undefined) return fault(wrong);
    if (kind === status) return fault(":status in a request");
    if (kind === contentLength) length = field;
  }
  const required = connect ? (1 << method) | (1 << authority) : (1 << method) | (1 << scheme) | (1 << path);
  if ((seen & required) !== required) return fault("a pseudo-header is missing");
  if (connect && seen !== required) return fault(":scheme or :path in a CONNECT request");
  return length === undefined ? plain : { contentLength: Number(length.value), status: 0 };
}

/** Checks a response's fields: one :status of three digits, first, and not 101, which HTTP/2 doesn't have (section 8.6). */
export function checkResponse(fields: readonly Field[]): MessageHead {
  const first = fields[0];
  if (first === undefined || first.kind !== status) return fault("no :status");
  if (!/^[1-9]\d\d$/.test(first.value) || first.value === "101") return fault(`:status "${first.value}"`);
  let length: Field | undefined;
  for (let i = 1; i < fields.length; i++) {
    const field = fields[i]!;
    if (field.kind === 0) continue;
    if (field.name.startsWith(":")) return fault(`pseudo-header ${field.name} in a response`);
    const wrong = checkRegular(field, length);
    if (wrong !== undefined) return fault(wrong);
    if (field.kind === contentLength) length = field;
  }
  if (length !== undefined) return { contentLength: Number(length.value), status: Number(first.value) };
  let head = responses.get(first.value);
  if (head === undefined) {
    head = { contentLength: -1, status: Number(first.value) };
    responses.set(first.value, head);
  }
  return head;
}

/** Checks trailers: no pseudo-header. Returns the fault, or undefined. */
export function checkTrailers(fields: readonly Field[]): string | undefined {
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (field.kind === 0) continue;
    if (field.name.startsWith(":")) return `pseudo-header ${field.name} in trailers`;
    const wrong = checkRegular(field, undefined);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** Bytes of a header list, as section 6.5.2 counts them. */
export function listSize(fields: readonly Field[]): number {
  let size = 0;
  for (const field of fields) size += field.size;
  return size;
}

function checkRegular(field: Field, length: Field | undefined): string | undefined {
  switch (field.kind) {
    case malformed:
      return `malformed field ${JSON.stringify(field.name)}`;
    case connectionSpecific:
      return `connection-specific field ${field.name}`;
    case te:
      return field.value.toLowerCase() === "trailers" ? undefined : `te other than "trailers"`;
    case contentLength:
      if (!/^\d{1,15}$/.test(field.value)) return `content-length "${field.value}"`;
      return length === undefined || length.value === field.value ? undefined : "two content-length fields that differ";
    default:
      return undefined;
  }
}

function fault(why: string): MessageHead {
  return { fault: why, contentLength: -1, status: 0 };
}
