/** Session: one downstream connection, HTTP/1.1 or HTTP/2, whose requests go to the proxy. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectError } from "@connectrpc/connect";
import type { Admit, Origin } from "../call.ts";
import { Http1Connection } from "../http1/connection.ts";
import type { Http1Settings } from "../http1/settings.ts";
import type { ConnectionListener } from "../http2/api.ts";
import { Http2Connection } from "../http2/connection.ts";
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
  const { secure, http1, http2 } = options;
  const httpVersion = protocol === "http1" ? "1.1" : "2.0";
  const origin: Origin = {
    ...originOf(socket, secure),
    httpVersion,
    get admit() {
      return options.admit; // as it is now
    },
    get messages() {
      return options.messages;
    },
  };
  const listener = listenerOf(origin, options);
  const connection =
    protocol === "http2"
      ? new Http2Connection(socket, { role: "server", listener, settings: http2 ?? {} })
      : new Http1Connection(socket, { secure, listener, settings: http1 ?? {} });
  return {
    get streams() {
      return connection.streamCount;
    },
    receive: (chunk) => connection.receive(chunk),
    shutdown: () => connection.shutdown(),
    abort(error) {
      for (const stream of connection.streams.all()) stream.listener.onRefused?.(error);
      connection.destroy();
    },
  };
}

/** What limits are called in a configuration. */
const limitOf = { maxConcurrentStreams: "max_concurrent_streams", maxHeaderListSize: "max_header_list_size" };

/** Those that HTTP/1.1 has a status for. */
const limitOfStatus: Readonly<Record<number, string>> = { 414: "max_request_line", 431: "max_header_list_size" };

function listenerOf(origin: Origin, options: SessionOptions): ConnectionListener {
  const { proxy, log, onLimit } = options;
  return {
    onRequest(raw, fields) {
      const { cors } = options; // as it is now
      if (cors === undefined) return proxy.accept({ stream: raw, fields, origin });
      const layer = corsLayer(cors, raw, fields);
      if (layer === undefined) return discardRest(raw);
      layer.listener = proxy.accept({ stream: layer, fields, origin });
      return layer;
    },
    onLimit(setting) {
      const limit = limitOf[setting];
      log?.info({ peer: origin.peer.address, limit }, "request refused by a limit");
      onLimit?.(limit);
    },
    onUnreadable(status, message) {
      const limit = limitOfStatus[status];
      if (limit !== undefined) onLimit?.(limit);
      proxy.noteUnreadable(origin, status, message);
    },
    onClose(error) {
      if (error !== undefined) log?.debug({ peer: origin.peer.address, error: error.message }, "connection ended");
    },
  };
}

function originOf(socket: Socket, secure: boolean): Origin {
  const certificate = secure ? certificateOf(socket as TLSSocket) : undefined;
  return {
    secure,
    peer: {
      address: socket.remoteAddress ?? "",
      port: socket.remotePort ?? 0,
      ...(certificate === undefined ? {} : { certificate }),
    },
  };
}
