/** Listener: one port, cleartext or TLS, for HTTP/2 and whatever else comes. */
import { createServer as createTcpServer, type Server as NetServer, type Socket } from "node:net";
import { createSecureContext, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { ConnectError } from "@connectrpc/connect";
import { type AdmissionOptions, createAdmission } from "../admit/admission.ts";
import type { Http1Settings } from "../http1/settings.ts";
import { type Member, Roster } from "../http2/roster.ts";
import { checkSettings, defaultSettings, type Http2Settings } from "../http2/settings.ts";
import type { Log } from "../observe/log.ts";
import type { Proxy } from "../proxy.ts";
import { type MessageLimitOptions, messageLimits } from "../upstream/limited-connection.ts";
import { parseListenAddress } from "./address.ts";
import { type CorsOptions, createCors } from "./cors.ts";
import { detect } from "./detect.ts";
import { openSession, type Session, type SessionOptions } from "./session.ts";
import { createTlsServer, type ListenerTls, tlsOptions } from "./tls-server.ts";

export type { ListenerTls } from "./tls-server.ts";

export interface ListenerOptions extends AdmissionOptions, MessageLimitOptions {
  /** "127.0.0.1:8080", "[::1]:8080", ":8080" (all interfaces); port 0 lets the system choose. */
  readonly address: string;
  readonly tls?: ListenerTls;
  /** Limits of its HTTP/2 connections, where they differ from the defaults. */
  readonly http2?: Partial<Http2Settings>;
  /** The same for HTTP/1.1. */
  readonly http1?: Partial<Http1Settings>;
  /** Connections open at once; one more is closed at once. Default: any number. */
  readonly maxConnections?: number;
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
  readonly options: ListenerOptions;
  /** Connections open now, and calls on them. */
  readonly connections: number;
  readonly streams: number;
  /**
   * Makes ready to go on with other options, on the same port and with the same connections. Certificates and limits are for
   * new connections; if limits or client authorities differ, those there are end with their last call.
   *
   * @returns what does so, and can't fail
   * @throws TypeError, RangeError or the runtime's error for what can't be used: then all is as before
   */
  prepare(options: ListenerOptions): () => void;
  /** Stops to listen; connections stay as they are. */
  closePort(): void;
  /** Listens again. */
  openPort(): Promise<void>;
  /** Takes no new connections, and no new calls on those there are; resolves when all have ended. */
  drain(): Promise<void>;
  /** Ends all calls that are left with an error. */
  abort(error: ConnectError): void;
}

/** What a change can't turn into another without opening the port anew. */
export function kindOf({ tls }: ListenerOptions): "cleartext" | "tls" | "mutual tls" {
  return tls === undefined ? "cleartext" : tls.clientCa === undefined ? "tls" : "mutual tls";
}

export interface ListenContext {
  readonly proxy: Proxy;
  readonly log: Log | undefined;
  /** A limit has turned away what is no call yet. */
  readonly onLimit: ((limit: string) => void) | undefined;
}

/** Opens a port. Rejects with the system's error where it can't be had, with a RangeError for a limit that can't be. */
export async function listen(options: ListenerOptions, context: ListenContext): Promise<Listener> {
  const listener = new PortListener(options, context);
  await listener.openPort();
  return listener;
}

/** A connection. */
interface Accepted extends Member {
  readonly socket: Socket;
  /** Undefined as long as its protocol isn't known. */
  session: Session | undefined;
}

class PortListener implements Listener {
  options: ListenerOptions;
  bound: BoundAddress;
  readonly #context: ListenContext;
  readonly #sessionOptions: SessionOptions;
  readonly #accepted = new Roster<Accepted>();
  #server: NetServer | undefined;
  #draining: Promise<void> | undefined;
  #drained = () => {};
  /** The last connection was one too many. */
  #full = false;

  constructor(options: ListenerOptions, context: ListenContext) {
    const { host, port } = parseListenAddress(options.address);
    const secure = options.tls !== undefined;
    this.options = options;
    this.bound = { address: host, port, secure };
    this.#context = context;
    this.#sessionOptions = { ...context, secure, ...sessionParts(options) };
  }

  get connections(): number {
    return this.#accepted.size;
  }

  get streams(): number {
    let sum = 0;
    for (const { session } of this.#accepted.all()) sum += session?.streams ?? 0;
    return sum;
  }

  async openPort(): Promise<void> {
    const { address, tls } = this.options;
    const { log } = this.#context;
    const accept = (socket: Socket) => this.#accept(socket);
    const handshakeTimeout = this.#prefaceTimeoutMs;
    const server =
      tls === undefined ? createTcpServer(accept) : createTlsServer(tls, { accept, handshakeTimeout, log });
    const { host } = parseListenAddress(address);
    await bind(server, host, this.bound.port);
    server.on("error", (error) => log?.warn({ address, error: error.message }, "connection not accepted"));
    const bound = server.address() as { address: string; port: number };
    this.bound = { ...this.bound, address: bound.address, port: bound.port };
    this.#server = server;
  }

  closePort(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  prepare(options: ListenerOptions): () => void {
    const parts = sessionParts(options);
    if (options.tls !== undefined) createSecureContext(tlsOptions(options.tls));
    return () => {
      const before = this.options;
      this.options = options;
      Object.assign(this.#sessionOptions, parts);
      if (options.tls !== undefined && !same(options.tls, before.tls)) {
        (this.#server as TlsServer | undefined)?.setSecureContext(tlsOptions(options.tls));
      }
      if (same(connectionParts(before), connectionParts(options))) return;
      for (const { session } of this.#accepted.all()) session?.shutdown();
    };
  }

  drain(): Promise<void> {
    if (this.#draining !== undefined) return this.#draining;
    this.closePort();
    this.#draining = new Promise((resolve) => {
      this.#drained = resolve;
      if (this.#accepted.size === 0) resolve();
    });
    for (const { session } of this.#accepted.all()) session?.shutdown();
    return this.#draining;
  }

  abort(error: ConnectError): void {
    for (const { socket, session } of this.#accepted.all()) {
      if (session === undefined) socket.destroy();
      else session.abort(error);
    }
  }

  get #prefaceTimeoutMs(): number {
    return this.options.http2?.prefaceTimeoutMs ?? defaultSettings.prefaceTimeoutMs;
  }

  #accept(socket: Socket): void {
    if (this.#accepted.size >= (this.options.maxConnections ?? Number.POSITIVE_INFINITY)) return this.#turnAway(socket);
    this.#full = false;
    const accepted: Accepted = { place: -1, socket, session: undefined };
    this.#accepted.add(accepted);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#accepted.delete(accepted);
      if (this.#accepted.size === 0) this.#drained();
    });
    if (this.#draining !== undefined) socket.destroy();
    else if (this.bound.secure && (socket as TLSSocket).alpnProtocol === "h2") this.#open(accepted, "http2");
    else {
      detect(socket, this.#prefaceTimeoutMs, ({ protocol, head }) => {
        if (protocol === "unknown") socket.destroy();
        else this.#open(accepted, protocol).receive(head);
      });
    }
  }

  #turnAway(socket: Socket): void {
    socket.on("error", () => {});
    socket.destroy();
    const { log, onLimit } = this.#context;
    const { address, maxConnections } = this.options;
    if (!this.#full) log?.warn({ address, limit: "connections" }, `more than ${maxConnections} connections: closed`);
    this.#full = true;
    onLimit?.("connections");
  }

  #open(accepted: Accepted, protocol: "http1" | "http2"): Session {
    const session = openSession(accepted.socket, protocol, this.#sessionOptions);
    accepted.session = session;
    if (this.#draining) session.shutdown();
    return session;
  }
}

/** What sessions are made with. */
function sessionParts(
  options: ListenerOptions,
): Pick<SessionOptions, "http1" | "http2" | "cors" | "admit" | "messages"> {
  const { http1, http2, cors, maxConnections } = options;
  if (http2 !== undefined) checkSettings(http2);
  if (maxConnections !== undefined && !(maxConnections >= 1)) {
    throw new RangeError(`maxConnections must be at least 1, not ${maxConnections}`);
  }
  const admit = createAdmission(options);
  const messages = messageLimits("limits", options);
  return { http1, http2, cors: cors && createCors(cors), admit, messages };
}

/** What holds for a connection as long as it lives. */
function connectionParts({ http1 = {}, http2 = {}, tls }: ListenerOptions): object {
  return { http1, http2, clientCa: tls?.clientCa };
}

/** Plain data with its keys in one order, as the same code makes it. */
function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
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
