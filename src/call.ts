/** Call: one inbound RPC, as a director sees it. */

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
