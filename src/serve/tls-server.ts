/** TLS server: a listener's port where it speaks TLS, whose certificates can be exchanged while it listens. */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import type { Log } from "../observe/log.ts";

/** TLS of a listener; all in PEM. */
export interface ListenerTls {
  /** Certificate, and behind it those that lead up to a known authority. */
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates. With it every client must show one; without, none is asked for. */
  readonly clientCa?: string;
}

export interface TlsServerOptions {
  readonly accept: (socket: Socket) => void;
  /** Milliseconds. */
  readonly handshakeTimeout: number;
  readonly log: Log | undefined;
}

export function createTlsServer(tls: ListenerTls, { accept, handshakeTimeout, log }: TlsServerOptions): Server {
  const server = createServer({ ...tlsOptions(tls), handshakeTimeout }, accept);
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    log?.info({ peer: socket.remoteAddress, error: reasonOf(error, socket) }, "TLS handshake failed");
    socket.destroy();
  });
  return server;
}

/**
 * What Node, Bun and Deno take both to create a server and, for the handshakes to come, in `setSecureContext`.
 * Client authorities included: who asks for certificates can't be changed to who doesn't, or back.
 */
export function tlsOptions({ cert, key, clientCa }: ListenerTls): TlsOptions {
  return {
    cert,
    key,
    ALPNProtocols: ["h2", "http/1.1"],
    minVersion: "TLSv1.2", // RFC 9113 section 9.2
    ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
  };
}

/** Where a client's certificate is refused, Node and Deno only say that the socket has ended: the reason stands on it. */
function reasonOf(error: Error & { code?: string }, socket: TLSSocket): string {
  if (error.code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return "no client certificate";
  const refused: unknown = socket.authorizationError; // the code, whatever the types say
  if (refused === undefined || refused === null) return error.message;
  return `client certificate refused: ${refused instanceof Error ? refused.message : String(refused)}`;
}
