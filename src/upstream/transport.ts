/** Transport: opens one connection to one endpoint. The only part that dials. */
import { connect as connectTcp, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import type { ConnectionListener } from "../http2/api.ts";
import { Http2Connection } from "../http2/connection.ts";
import type { ErrorCode } from "../http2/errors.ts";
import type { Http2Settings } from "../http2/settings.ts";
import type { UpstreamConnection } from "./connection.ts";
import { hostPort, isAddress } from "./target.ts";

/** Where and how to connect. */
export interface DialOptions {
  /** Tried one after the other until one connects; `timeoutMs` is for all of them together. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Undefined for cleartext; HTTP/2 is then spoken with prior knowledge (RFC 9113 section 3.3). */
  readonly tls: DialTls | undefined;
  /** Milliseconds until it is connected, on HTTP/2 until the peer's first SETTINGS have come. */
  readonly timeoutMs: number;
  readonly http2: Partial<Http2Settings> | undefined;
}

export interface DialTls {
  readonly context: SecureContext | undefined;
  /** The name the certificate must have, and SNI unless it is an address, which SNI can't carry (RFC 6066 section 3). */
  readonly serverName: string;
}

/** What the one who dials is told: first `onOpen` or `onFailed`; the others only after `onOpen`. */
export interface DialListener {
  /** The peer's SETTINGS came: `room` is its true limit. */
  onOpen(connection: UpstreamConnection): void;
  /** Nothing comes after this. The message names addresses: it is for the log. */
  onFailed(error: Error): void;
  onRoom(): void;
  onGoaway(code: ErrorCode): void;
  onClose(error: Error | undefined): void;
}

/** Starts to connect; returns what gives up the attempt, after which the listener is told nothing of it. */
export type Dial = (options: DialOptions, listener: DialListener) => () => void;

/** Milliseconds of silence after which TCP itself asks whether the peer is there. */
const tcpKeepaliveMs = 60_000;

/**
 * What an upstream may send ahead. Four times what a caller may: it is ours to choose, and its replies are the larger part. As
 * much as one stream whose caller doesn't read may cost (fault D2); larger reads, and fewer frames to give credit.
 */
const windows = { initialWindowSize: 256 << 10, connectionWindowSize: 4 << 20 };

/** What speaks HTTP over a socket. */
export interface Wire {
  readonly alpn: "h2" | "http/1.1";
  /** Starts to speak; `onReady` tells when calls can be made, but not before this returns. */
  start(socket: Socket, settings: Partial<Http2Settings>, listener: ConnectionListener): UpstreamConnection;
}

/** Makes what opens a TCP or TLS socket and a connection over it. */
export function createDial(wire: Wire): Dial {
  return (options, listener) => new Attempt(wire, options, listener).start();
}

/** Opens a TCP or TLS socket and an HTTP/2 connection over it. The listener is never called before this returns. */
export const dial: Dial = createDial({
  alpn: "h2",
  start: (socket, settings, listener) =>
    new Http2Connection(socket, { role: "client", settings: { ...windows, ...settings }, listener }),
});

/**
 * Opens a TCP or TLS socket and says nothing over it: for those who want to know whether that is possible. What it opens takes no
 * requests.
 */
export function dialSilently(alpn: Wire["alpn"]): Dial {
  return createDial({
    alpn,
    start(socket, _settings, listener) {
      socket.on("error", () => {}); // "close" follows
      socket.on("close", () => listener.onClose(undefined));
      queueMicrotask(() => listener.onReady?.());
      return {
        room: 0,
        streamCount: 0,
        resetsSent: 0,
        closed: false,
        request: () => {
          throw new Error("a silent connection takes no requests");
        },
        shutdown: () => socket.destroy(),
        destroy: () => socket.destroy(),
      };
    },
  });
}

/** One attempt to connect, over all addresses. */
class Attempt {
  readonly #wire: Wire;
  readonly #options: DialOptions;
  readonly #listener: DialListener;
  readonly #timer: ReturnType<typeof setTimeout>;
  #next = 0;
  #socket: Socket | TLSSocket | undefined;
  #connection: UpstreamConnection | undefined;
  #state: "connecting" | "open" | "over" = "connecting";

  constructor(wire: Wire, options: DialOptions, listener: DialListener) {
    this.#wire = wire;
    this.#options = options;
    this.#listener = listener;
    this.#timer = setTimeout(
      () => this.#fail(new Error(`no answer within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
  }

  start(): () => void {
    this.#tryNext();
    return () => this.#end();
  }

  #tryNext(): void {
    const { addresses, port, tls } = this.#options;
    const host = addresses[this.#next++]!;
    const socket = tls === undefined ? connectTcp({ host, port, noDelay: true }) : this.#connectTls(host, port, tls);
    const failed = (error: Error) => {
      socket.destroy();
      if (this.#socket === socket) this.#socketFailed(error);
    };
    const closed = () => failed(new Error("closed during the handshake"));
    socket.on("error", failed);
    socket.on("close", closed);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      socket.off("close", closed);
      socket.off("error", failed);
      if (this.#socket === socket) this.#connected(socket);
    });
    this.#socket = socket;
  }

  #connectTls(host: string, port: number, { context, serverName }: DialTls): TLSSocket {
    return connectTls({
      host,
      port,
      ...(context === undefined ? {} : { secureContext: context }),
      ...(isAddress(serverName) ? {} : { servername: serverName }),
      ALPNProtocols: [this.#wire.alpn],
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    });
  }

  #connected(socket: Socket | TLSSocket): void {
    socket.setNoDelay(true); // small frames are gathered by the connection: Nagle would only delay them
    socket.setKeepAlive(true, tcpKeepaliveMs);
    const { alpn } = this.#wire;
    const chosen =
      "alpnProtocol" in socket && this.#options.tls !== undefined ? socket.alpnProtocol || "nothing" : alpn;
    // who speaks HTTP/1.1 need not know of ALPN (RFC 7301 section 3.2)
    if (chosen !== alpn && !(alpn === "http/1.1" && chosen === "nothing")) {
      socket.on("error", () => {});
      this.#fail(new Error(`the server did not choose ${alpn} by ALPN, but ${chosen}`));
      return;
    }
    const listener: ConnectionListener = {
      onReady: () => this.#ready(),
      onRoom: () => {
        if (this.#state === "open") this.#listener.onRoom();
      },
      onGoaway: (code) => {
        if (this.#state === "open") this.#listener.onGoaway(code);
        else this.#fail(new Error(`GOAWAY ${code} in place of SETTINGS`));
      },
      onClose: (error) => {
        if (this.#state === "open") this.#listener.onClose(error);
        else this.#fail(error ?? new Error("closed before its SETTINGS came"));
        this.#state = "over";
      },
    };
    this.#connection = this.#wire.start(socket, this.#options.http2 ?? {}, listener);
  }

  #ready(): void {
    if (this.#state !== "connecting") return;
    clearTimeout(this.#timer);
    this.#state = "open";
    this.#listener.onOpen(this.#connection!);
  }

  /** A socket that never became a connection: the next address may do. */
  #socketFailed(error: Error): void {
    if (this.#state !== "connecting") return;
    if (this.#next < this.#options.addresses.length) this.#tryNext();
    else this.#fail(error);
  }

  #fail(error: Error): void {
    if (this.#state !== "connecting") return;
    this.#end();
    const where = this.#options.addresses.map((address) => hostPort(address, this.#options.port)).join(", ");
    this.#listener.onFailed(new Error(`${where}: ${error.message}`, { cause: error }));
  }

  #end(): void {
    if (this.#state !== "connecting") return;
    this.#state = "over";
    clearTimeout(this.#timer);
    if (this.#connection === undefined) this.#socket?.destroy();
    else this.#connection.destroy();
  }
}
