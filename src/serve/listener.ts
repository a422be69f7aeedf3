/** Listener: one port, cleartext or TLS, for HTTP/2 and whatever else comes. */
import { createServer as createTcpServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { ConnectError } from "@connectrpc/connect";
import { type AdmissionOptions, createAdmission } from "../admit/admission.ts";
import type { Http1Settings } from "../http1/settings.ts";
import { checkSettings, defaultSettings, type Http2Settings } from "../http2/settings.ts";
import type { Log } from "../observe/log.ts";
import type { Proxy } from "../proxy.ts";
import { parseListenAddress } from "./address.ts";
import { type CorsOptions, createCors } from "./cors.ts";
import { detect } from "./detect.ts";
import { openSession, type Session } from "./session.ts";

/** TLS of a listener; all in PEM. */
export interface ListenerTls {
  /** Certificate, and behind it those that lead up to a known authority. */
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates. With it every client must show one; without, none is asked for. */
  readonly clientCa?: string;
}

export interface ListenerOptions extends AdmissionOptions {
  /** "127.0.0.1:8080", "[::1]:8080", ":8080" (all interfaces); port 0 lets the system choose. */
  readonly address: string;
  readonly tls?: ListenerTls;
  /** Limits of its HTTP/2 connections, where they differ from the defaults. */
  readonly http2?: Partial<Http2Settings>;
  /** The same for HTTP/1.1. */
  readonly http1?: Partial<Http1Settings>;
  /** Which pages of other origins may call. Default: none is told that it may. */
  readonly cors?: CorsOptions;
}

/** Where a listener listens, once it does. */
export interface BoundAddress {
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
}

export interface Listener {
  readonly bound: BoundAddress;
  /** Takes no new connections, and no new calls on those there are; resolves when all have ended. */
  drain(): Promise<void>;
  /** Ends all calls that are left with an error. */
  abort(error: ConnectError): void;
}

/** Opens a port. Rejects with the system's error where it can't be had, with a RangeError for a limit that can't be. */
export async function listen(proxy: Proxy, options: ListenerOptions, log: Log | undefined): Promise<Listener> {
  const { host, port } = parseListenAddress(options.address);
  if (options.http2 !== undefined) checkSettings(options.http2);
  const secure = options.tls !== undefined;
  const prefaceTimeoutMs = options.http2?.prefaceTimeoutMs ?? defaultSettings.prefaceTimeoutMs;
  const sessionOptions = {
    proxy,
    secure,
    http1: options.http1,
    http2: options.http2,
    cors: options.cors === undefined ? undefined : createCors(options.cors),
    admit: createAdmission(options),
    log,
  };
  /** Every connection; without a session as long as its protocol isn't known. */
  const sockets = new Map<Socket, Session | undefined>();
  let draining: Promise<void> | undefined;
  let drained = () => {};

  function accept(socket: Socket): void {
    sockets.set(socket, undefined);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0) drained();
    });
    if (draining !== undefined) socket.destroy();
    else if (secure && (socket as TLSSocket).alpnProtocol === "h2") open(socket, "http2");
    else {
      detect(socket, prefaceTimeoutMs, ({ protocol, head }) => {
        if (protocol === "unknown") socket.destroy();
        else open(socket, protocol).receive(head);
      });
    }
  }

  function open(socket: Socket, protocol: "http1" | "http2"): Session {
    const session = openSession(socket, protocol, sessionOptions);
    sockets.set(socket, session);
    if (draining) session.shutdown();
    return session;
  }

  const server =
    options.tls === undefined
      ? createTcpServer(accept)
      : tlsServer(options.tls, { accept, handshakeTimeout: prefaceTimeoutMs, log });
  await bind(server, host, port);
  server.on("error", (error) =>
    log?.warn({ address: options.address, error: error.message }, "connection not accepted"),
  );
  const bound = server.address() as { address: string; port: number };
  return {
    bound: { address: bound.address, port: bound.port, secure },
    drain() {
      if (draining !== undefined) return draining;
      server.close();
      draining = new Promise((resolve) => {
        drained = resolve;
        if (sockets.size === 0) resolve();
      });
      for (const session of sockets.values()) session?.shutdown();
      return draining;
    },
    abort(error) {
      for (const [socket, session] of [...sockets]) {
        if (session === undefined) socket.destroy();
        else session.abort(error);
      }
    },
  };
}

interface TlsServerOptions {
  readonly accept: (socket: Socket) => void;
  /** Milliseconds. */
  readonly handshakeTimeout: number;
  readonly log: Log | undefined;
}

function tlsServer(
  { cert, key, clientCa }: ListenerTls,
  { accept, handshakeTimeout, log }: TlsServerOptions,
): NetServer {
  const server = createTlsServer(
    {
      cert,
      key,
      ALPNProtocols: ["h2", "http/1.1"],
      minVersion: "TLSv1.2", // RFC 9113 section 9.2
      handshakeTimeout,
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    },
    accept,
  );
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    log?.info({ peer: socket.remoteAddress, error: error.message }, "TLS handshake failed");
    socket.destroy();
  });
  return server;
}

function bind(server: NetServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === "" ? {} : { host }) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
