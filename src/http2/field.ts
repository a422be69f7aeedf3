/** One header field as HTTP/2 carries it, and what its name means to the protocol (RFC 9113 section 8). */

/** How HPACK may represent a field (RFC 7541 section 6.2). A relay keeps what the sender chose. */
export const Indexing = { incremental: 0, without: 1, never: 2 } as const;
export type Indexing = (typeof Indexing)[keyof typeof Indexing];

/** What a field is to RFC 9113 section 8, known from its name alone, so that no rule compares strings per call. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  te: 6,
  contentLength: 7,
  host: 8,
  /** Section 8.2.2: connection, keep-alive, proxy-connection, transfer-encoding, upgrade. */
  connectionSpecific: 9,
  /** An unknown pseudo-header, a name that isn't a lower-case token, or a value with NUL, CR or LF. */
  malformed: 10,
  /** Meant for the next hop alone, though HTTP/2 takes it for any other: http2-settings, and what HTTP says to proxies (RFC 9110 section 11.7). */
  nextHop: 11,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

const kindOfName = new Map<string, FieldKind>([
  [":method", FieldKind.method],
  [":scheme", FieldKind.scheme],
  [":authority", FieldKind.authority],
  [":path", FieldKind.path],
  [":status", FieldKind.status],
  ["te", FieldKind.te],
  ["content-length", FieldKind.contentLength],
  ["host", FieldKind.host],
  ["connection", FieldKind.connectionSpecific],
  ["keep-alive", FieldKind.connectionSpecific],
  ["proxy-connection", FieldKind.connectionSpecific],
  ["transfer-encoding", FieldKind.connectionSpecific],
  ["upgrade", FieldKind.connectionSpecific],
  ["http2-settings", FieldKind.nextHop],
  ["proxy-authenticate", FieldKind.nextHop],
  ["proxy-authorization", FieldKind.nextHop],
  ["proxy-authentication-info", FieldKind.nextHop],
]);

/** RFC 9110 section 5.6.2, without upper case (RFC 9113 section 8.2.1). */
const lowerCaseToken = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** Section 8.2.1: these three could end a line or a string elsewhere. */
const forbiddenInValue = /[\0\r\n]/;

/**
 * A header field. Immutable and shared: a field that HPACK has in a table is the same object every time it is
 * repeated, so what is known of it (its kind, its validity) is found out once.
 *
 * Name and value are binary strings, one character for each byte (latin1), so that bytes above 0x7f pass unchanged.
 */
export class Field {
  readonly name: string;
  readonly value: string;
  readonly indexing: Indexing;
  readonly kind: FieldKind;
  /** Name and value in one string: what an encoder's table is searched by. */
  readonly key: string;
  #literal: Uint8Array | undefined;

  constructor(name: string, value: string, indexing: Indexing = Indexing.incremental) {
    this.name = name;
    this.value = value;
    this.indexing = indexing;
    this.kind = kindOf(name, value);
    this.key = `${name}\0${value}`;
  }

  /** Bytes this field counts in a table and in a header list: name, value and 32 (RFC 7541 section 4.1). */
  get size(): number {
    return this.name.length + this.value.length + 32;
  }

  /** The encoder's note: the bytes this field is written as, where it is a literal that comes again; empty after the first. */
  get literal(): Uint8Array | undefined {
    return this.#literal;
  }

  set literal(bytes: Uint8Array) {
    this.#literal = bytes;
  }
}

/**
 * White space at the ends of a value, which section 8.2.1 forbids too, is let through: real gRPC servers send it in
 * grpc-message, and in HTTP/2 it can't be read two ways.
 */
function kindOf(name: string, value: string): FieldKind {
  if (forbiddenInValue.test(value)) return FieldKind.malformed;
  const kind = kindOfName.get(name);
  if (kind !== undefined) return kind;
  return lowerCaseToken.test(name) ? FieldKind.regular : FieldKind.malformed;
}

/** The first value of a name in a list, or undefined. Names are lower case. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}
