/** Call: one inbound RPC, as a director sees it. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { HttpStream } from "./http2/api.ts";
import { Field, FieldKind, Indexing, valueOf } from "./http2/field.ts";
import { turn } from "./http2/turn.ts";
import type { ConnectGet } from "./wire/connect-get.ts";
import type { Framing } from "./wire/content-type.ts";
import { checkConnectVersion, detectProtocol, splitQuery } from "./wire/detect.ts";
import type { MessageLimits } from "./wire/message-limit.ts";
import type { MethodPath } from "./wire/path.ts";
import { methodPath, readHead } from "./wire/request-head.ts";
import { parseConnectTimeout, parseGrpcTimeout } from "./wire/timeout.ts";

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

/** Who calls, as far as that is proved: by a token, a certificate, or what else `authorize` goes by. */
export interface Identity {
  /** A token's subject, the certificate's name, or what `authorize` says. What is not empty can be limited by. */
  readonly name: string;
  /** What a token says beside that, checked with it. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** The protocols a call can come in, and an upstream can speak. */
export type Protocol = "grpc" | "grpc_web" | "connect";

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
  /** Undefined where nobody asked, or none was needed. */
  readonly identity?: Identity | undefined;
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
  /** Default "2.0". */
  readonly httpVersion?: "1.1" | "2.0";
  /** What the listener asks of every call. Default: nothing. */
  readonly admit?: Admit | undefined;
  /** How large the messages of its calls may be. Default: of any size. */
  readonly messages?: MessageLimits | undefined;
}

/** A request, whichever way it has come. */
export interface InboundRequest {
  readonly stream: HttpStream;
  /** As HTTP/2 has them. */
  readonly fields: readonly Field[];
  readonly origin: Origin;
}

/**
 * Decides whether a call may go on. It may give the call an identity, and change its headers.
 *
 * @returns undefined where the call may go on at once
 * @throws ConnectError (or rejects with it) that refuses the call
 */
export type Admit = (call: InboundCall) => Promise<void> | undefined;

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

const none: readonly Field[] = [];

/** The call that a request is. */
export class InboundCall implements Call {
  readonly protocol: Protocol;
  readonly framing: Framing;
  /** "proto", "json" or what else the two ends agreed upon. */
  readonly codec: string;
  /** The request of Connect's GET. */
  readonly get: ConnectGet | undefined;
  readonly startedAt = turn.now;
  readonly timeoutMs: number | undefined;
  /** `:path`, without a query. */
  readonly pathField: Field;
  /** What follows its `?`; only a GET of Connect has one. */
  readonly query: string | undefined;
  /** `:authority`, or else Host. */
  readonly authorityField: Field | undefined;
  readonly timeoutField: Field | undefined;
  identity: Identity | undefined;
  /** The caller's content type; "" for a GET. */
  readonly contentType: string;
  /** The request's header fields: as they came, but for what admission has changed. */
  fields: readonly Field[];
  /** Header fields that didn't come from the caller. */
  #ours: readonly Field[] = none;
  #passes: ((name: string) => boolean) | undefined;
  readonly #parts: MethodPath | undefined;
  readonly #origin: Origin;
  /** What was wrong with it, though it is an RPC: to be answered in its own protocol. */
  readonly fault: ConnectError | undefined;

  /** @throws HttpRefusal 404, 405 or 415 for what isn't an RPC, 505 for gRPC over HTTP/1.1 */
  constructor(fields: readonly Field[], origin: Origin) {
    const head = readHead(fields);
    const { path, query } = splitQuery(head.path.value);
    const type = detectProtocol({ ...head, query });
    const parts = methodPath(path);
    if (type.framing === undefined) {
      if (parts === undefined) throw new HttpRefusal(404, `no method at path "${path}"`);
      throw new HttpRefusal(type.status, type.message, [type.header]);
    }
    if (type.framing === "grpc" && origin.httpVersion === "1.1") {
      throw new HttpRefusal(505, "gRPC needs HTTP/2; over HTTP/1.1 there are gRPC-Web and Connect");
    }
    this.fields = fields;
    this.#origin = origin;
    this.framing = type.framing;
    this.codec = type.codec;
    this.get = type.get;
    this.protocol = protocolOf[type.framing];
    this.query = query;
    this.pathField = query === undefined ? head.path : new Field(":path", path);
    this.authorityField = head.authority;
    this.contentType = head.contentType ?? "";
    this.timeoutField = this.protocol === "connect" ? head.connectTimeout : head.grpcTimeout;
    this.#parts = parts;
    try {
      if (parts === undefined || (query !== undefined && type.get === undefined)) {
        throw new ConnectError(`no method at path "${head.path.value}"`, Code.Unimplemented);
      }
      if (head.twoTimeouts) throw new ConnectError("more than one deadline", Code.InvalidArgument);
      if (this.protocol === "connect") checkConnectVersion(head.connectProtocolVersion);
      const timeout = this.timeoutField?.value;
      this.timeoutMs = this.protocol === "connect" ? parseConnectTimeout(timeout) : parseGrpcTimeout(timeout);
    } catch (error) {
      this.fault = ConnectError.from(error);
    }
  }

  get path(): string {
    return this.pathField.value;
  }

  get authority(): string {
    return this.authorityField?.value ?? "";
  }

  get service(): string {
    return this.#parts?.service ?? "";
  }

  get method(): string {
    return this.#parts?.method ?? "";
  }

  get peer(): Peer {
    return this.#origin.peer;
  }

  get messages(): MessageLimits | undefined {
    return this.#origin.messages;
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

  /** Takes the caller's own values of a header away, and puts ours in their place if there is one. */
  replaceHeader(name: string, value: string | undefined): void {
    const rest = this.fields.filter((field) => field.name !== name);
    if (value === undefined) {
      if (rest.length < this.fields.length) this.fields = rest;
      return;
    }
    const field = new Field(name, value, Indexing.without);
    this.fields = [...rest, field];
    this.#ours = [...this.#ours, field];
  }

  /** Only headers that pass this, too, will be forwarded. The director still sees all. */
  restrictHeaders(passes: (name: string) => boolean): void {
    const before = this.#passes;
    this.#passes = before === undefined ? passes : (name) => before(name) && passes(name);
  }

  /** Drops the caller's headers that mustn't be forwarded. */
  dropRestricted(): void {
    const passes = this.#passes;
    if (passes === undefined) return;
    this.fields = this.fields.filter(
      (field) => field.kind !== FieldKind.regular || passes(field.name) || this.#ours.includes(field),
    );
  }
}

const protocolOf: Record<Framing, Protocol> = {
  grpc: "grpc",
  grpc_web: "grpc_web",
  grpc_web_text: "grpc_web",
  connect_stream: "connect",
  connect_unary: "connect",
};
