/** Session: one downstream connection, HTTP/1.1 or HTTP/2, whose requests go to the proxy. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectError } from "@connectrpc/connect";
import type { Admit, Origin, Peer } from "../call.ts";
import { Http1Connection } from "../http1/connection.ts";
import type { Http1Settings } from "../http1/settings.ts";
import type { ConnectionListener, HttpStream, StreamListener } from "../http2/api.ts";
import { Http2Connection } from "../http2/connection.ts";
import type { Field } from "../http2/field.ts";
import type { Http2Settings } from "../http2/settings.ts";
import type { Log } from "../observe/log.ts";
import type { Proxy } from "../proxy.ts";
import { discardRest } from "../refuse.ts";
import type { MessageLimits } from "../wire/message-limit.ts";
import { certificateOf } from "./certificate.ts";
import type { Cors } from "./cors.ts";
import { corsLayer } from "./cors-layer.ts";

/** A listener's, for all its sessions: what isn't read-only changes when the listener does. */
export interface SessionOptions {
  readonly proxy: Proxy;
  readonly secure: boolean;
  http1: Partial<Http1Settings> | undefined;
  http2: Partial<Http2Settings> | undefined;
  cors: Cors | undefined;
  admit: Admit | undefined;
  messages: MessageLimits | undefined;
  readonly log: Log | undefined;
  readonly onLimit: ((limit: string) => void) | undefined;
}

export interface Session {
  /** Calls open now. */
  readonly streams: number;
  /** Takes bytes that were read before the session was made. */
  receive(chunk: Uint8Array): void;
  /** Closed with the last call. */
  shutdown(): void;
  /** Ends all calls with an error, then the connection. */
  abort(error: ConnectError): void;
}

export function openSession(socket: Socket, protocol: "http1" | "http2", options: SessionOptions): Session {
  return new ProxySession(socket, protocol, options);
}

/** What limits are called in a configuration. */
const limitOf = { maxConcurrentStreams: "max_concurrent_streams", maxHeaderListSize: "max_header_list_size" };

/** Those that HTTP/1.1 has a status for. */
const limitOfStatus: Readonly<Record<number, string>> = { 414: "max_request_line", 431: "max_header_list_size" };

/** A class, as is its origin: V8 gives each literal with a getter in it a shape of its own, which was 8 % of a short connection's CPU. */
class ProxySession implements Session, ConnectionListener {
  readonly #options: SessionOptions;
  readonly #origin: SessionOrigin;
  readonly #connection: Http1Connection | Http2Connection;

  constructor(socket: Socket, protocol: "http1" | "http2", options: SessionOptions) {
    const { secure, http1, http2 } = options;
    this.#options = options;
    this.#origin = new SessionOrigin(socket, protocol, options);
    this.#connection =
      protocol === "http2"
        ? new Http2Connection(socket, { role: "server", listener: this, settings: http2 ?? {} })
        : new Http1Connection(socket, { secure, listener: this, settings: http1 ?? {} });
  }

  get streams(): number {
    return this.#connection.streamCount;
  }

  receive(chunk: Uint8Array): void {
    this.#connection.receive(chunk);
  }

  shutdown(): void {
    this.#connection.shutdown();
  }

  abort(error: ConnectError): void {
    for (const stream of this.#connection.streams.all()) stream.listener.onRefused?.(error);
    this.#connection.destroy();
  }

  // --- what its connection tells

  onRequest(raw: HttpStream, fields: Field[]): StreamListener {
    const { proxy, cors } = this.#options; // as it is now
    const origin = this.#origin;
    if (cors === undefined) return proxy.accept({ stream: raw, fields, origin });
    const layer = corsLayer(cors, raw, fields);
    if (layer === undefined) return discardRest(raw);
    layer.listener = proxy.accept({ stream: layer, fields, origin });
    return layer;
  }

  onLimit(setting: keyof typeof limitOf): void {
    const { log, onLimit } = this.#options;
    const limit = limitOf[setting];
    log?.info({ peer: this.#origin.peer.address, limit }, "request refused by a limit");
    onLimit?.(limit);
  }

  onUnreadable(status: number, message: string): void {
    const { proxy, onLimit } = this.#options;
    const limit = limitOfStatus[status];
    if (limit !== undefined) onLimit?.(limit);
    proxy.noteUnreadable(this.#origin, status, message);
  }

  onClose(error: Error | undefined): void {
    if (error === undefined) return;
    this.#options.log?.debug({ peer: this.#origin.peer.address, error: error.message }, "connection ended");
  }
}

class SessionOrigin implements Origin {
  readonly secure: boolean;
  readonly peer: Peer;
  readonly httpVersion: "1.1" | "2.0";
  readonly #options: SessionOptions;

  constructor(socket: Socket, protocol: "http1" | "http2", options: SessionOptions) {
    this.secure = options.secure;
    this.peer = peerOf(socket, options.secure);
    this.httpVersion = protocol === "http1" ? "1.1" : "2.0";
    this.#options = options;
  }

  /** As it is now. */
  get admit(): Admit | undefined {
    return this.#options.admit;
  }

  get messages(): MessageLimits | undefined {
    return this.#options.messages;
  }
}

function peerOf(socket: Socket, secure: boolean): Peer {
  const certificate = secure ? certificateOf(socket as TLSSocket) : undefined;
  const address = socket.remoteAddress ?? "";
  const port = socket.remotePort ?? 0;
  return certificate === undefined ? { address, port } : { address, port, certificate };
}
