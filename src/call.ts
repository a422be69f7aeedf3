/** Call: one inbound RPC, as a director sees it. */
import { Field, FieldKind, valueOf } from "./http2/field.ts";
import { turn } from "./http2/turn.ts";
import { parseContentType } from "./wire/content-type.ts";
import { type MethodPath, parsePath } from "./wire/path.ts";
import { parseGrpcTimeout } from "./wire/timeout.ts";
import { Code, ConnectError } from "@connectrpc/connect";

/** Who calls: the other end of the downstream connection. */
export interface Peer {
  /** Address without port, as the socket has it: "127.0.0.1", "::1". */
  readonly address: string;
  readonly port: number;
  /** The client's certificate, where the listener asked for one over TLS. */
  readonly certificate?: PeerCertificate;
}

/** What a director needs of a verified client certificate. */
export interface PeerCertificate {
  /** Common name of the subject, or "". */
  readonly subject: string;
  /** Subject alternative names as node:tls writes them: "DNS:a.example", "URI:spiffe://...". */
  readonly alternativeNames: readonly string[];
  /** SHA-256 of the certificate in colon-separated hex. */
  readonly fingerprint256: string;
}

/** The protocols a call can come in. */
export type Protocol = "grpc";

/** One inbound RPC. */
export interface Call {
  /** "/acme.users.v1.UserService/Get", exactly as it came. */
  readonly path: string;
  /** "acme.users.v1.UserService": fully qualified. */
  readonly service: string;
  /** "Get". */
  readonly method: string;
  /** The caller's :authority, or its Host. "" where it sent neither. */
  readonly authority: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
  /** True over TLS. */
  readonly secure: boolean;
  /** Milliseconds the caller gave (fractions kept), counted from `startedAt`; undefined without a deadline. */
  readonly timeoutMs: number | undefined;
  /** When the call came, in milliseconds of `performance.now()`. */
  readonly startedAt: number;
  /** The first value of a header, by its lower-case name, as a binary string; undefined where there is none. */
  header(name: string): string | undefined;
  /** Every value of a header, in order. */
  headerValues(name: string): string[];
}

/** Where calls come from: the same for all of a connection. */
export interface Origin {
  readonly peer: Peer;
  readonly secure: boolean;
}

/** A request that is no RPC: answered in plain HTTP, for there is no RPC protocol to answer in. */
export class HttpRefusal extends Error {
  override readonly name = "HttpRefusal";
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];

  constructor(status: number, message: string, headers: readonly (readonly [string, string])[] = []) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The call that a request over HTTP/2 is. */
export class InboundCall implements Call {
  readonly protocol: Protocol = "grpc";
  readonly startedAt = turn.now;
  readonly timeoutMs: number | undefined;
  readonly pathField: Field;
  /** `:authority`, or else Host. */
  readonly authorityField: Field | undefined;
  readonly timeoutField: Field | undefined;
  /** The request's header fields, as they came. */
  readonly fields: readonly Field[];
  /** The caller's content type, which answers to it must have as well. */
  readonly contentType: string;
  readonly #parts: MethodPath;
  readonly #origin: Origin;

  /**
   * @throws HttpRefusal 404, 405 or 415 for what isn't an RPC
   * @throws ConnectError `unimplemented` for a path that names no method, `invalid_argument` for a bad grpc-timeout, or two
   */
  constructor(fields: readonly Field[], origin: Origin) {
    let path: Field | undefined;
    let method = "";
    let authority: Field | undefined;
    let host: Field | undefined;
    let contentType: string | undefined;
    let timeout: Field | undefined;
    let twoTimeouts = false;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      const { kind } = field;
      if (kind === FieldKind.regular) {
        if (field.name === "content-type") contentType = field.value;
        else if (field.name === "grpc-timeout") {
          if (timeout !== undefined) twoTimeouts = true;
          timeout = field;
        }
      } else if (kind === FieldKind.path) path = field;
      else if (kind === FieldKind.method) method = field.value;
      else if (kind === FieldKind.authority) authority = field;
      else if (kind === FieldKind.host) host = field;
    }
    this.fields = fields;
    this.#origin = origin;
    this.pathField = path ?? noPath;
    this.authorityField = authority ?? host;
    this.timeoutField = timeout;
    const parts = methodPath(this.path);
    if (parseContentType(contentType) === undefined) {
      throw notAnRpc({ path: this.path, method, contentType, known: parts !== undefined });
    }
    this.contentType = contentType!;
    if (method !== "POST") throw wrongMethod(method);
    if (parts === undefined) throw new ConnectError(`no method at path "${this.path}"`, Code.Unimplemented);
    this.#parts = parts;
    if (twoTimeouts) throw new ConnectError("more than one grpc-timeout", Code.InvalidArgument);
    this.timeoutMs = parseGrpcTimeout(timeout?.value);
  }

  get path(): string {
    return this.pathField.value;
  }

  get authority(): string {
    return this.authorityField?.value ?? "";
  }

  get service(): string {
    return this.#parts.service;
  }

  get method(): string {
    return this.#parts.method;
  }

  get peer(): Peer {
    return this.#origin.peer;
  }

  get secure(): boolean {
    return this.#origin.secure;
  }

  header(name: string): string | undefined {
    return valueOf(this.fields, name);
  }

  headerValues(name: string): string[] {
    return this.fields.filter((field) => field.name === name).map((field) => field.value);
  }
}

interface NotAnRpc {
  readonly path: string;
  readonly method: string;
  readonly contentType: string | undefined;
  /** The path is one that a method could have. */
  readonly known: boolean;
}

function notAnRpc({ path, method, contentType, known }: NotAnRpc): HttpRefusal {
  if (!known) return new HttpRefusal(404, `no method at path "${path}"`);
  if (method !== "POST") return wrongMethod(method);
  const given = contentType === undefined ? "no content-type" : `content-type "${contentType}"`;
  return new HttpRefusal(415, `${given}, expected application/grpc`, [["accept-post", "application/grpc"]]);
}

function wrongMethod(method: string): HttpRefusal {
  return new HttpRefusal(405, `method ${method}, only POST is an RPC`, [["allow", "POST"]]);
}

/** CONNECT has no path (RFC 9113 section 8.5). */
const noPath = new Field(":path", "");

/** Paths that were parsed before. They repeat in nearly every call, and are the callers' to choose: so it is bounded. */
const knownPaths = new Map<string, MethodPath | undefined>();
const maxKnownPaths = 1_000;

function methodPath(path: string): MethodPath | undefined {
  const known = knownPaths.get(path);
  if (known !== undefined) return known;
  const parts = parsePath(path);
  if (parts === undefined) return undefined;
  if (knownPaths.size >= maxKnownPaths) knownPaths.clear();
  knownPaths.set(path, parts);
  return parts;
}
