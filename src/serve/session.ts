/** Session: one downstream HTTP/2 connection, whose requests go to the proxy. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectError } from "@connectrpc/connect";
import type { Origin } from "../call.ts";
import { Http2Connection } from "../http2/connection.ts";
import type { Http2Settings } from "../http2/settings.ts";
import type { Log } from "../observe/log.ts";
import type { InboundListener, Proxy } from "../proxy.ts";
import { certificateOf } from "./certificate.ts";

export interface SessionOptions {
  readonly proxy: Proxy;
  readonly secure: boolean;
  readonly settings: Partial<Http2Settings> | undefined;
  readonly log: Log | undefined;
}

export interface Session {
  /** Takes bytes that were read before the session was made. */
  receive(chunk: Uint8Array): void;
  /** GOAWAY, closed with the last call. */
  shutdown(): void;
  /** Ends all calls with an error, then the connection. */
  abort(error: ConnectError): void;
}

export function openSession(socket: Socket, { proxy, secure, settings, log }: SessionOptions): Session {
  const origin = originOf(socket, secure);
  const connection = new Http2Connection(socket, {
    role: "server",
    ...(settings === undefined ? {} : { settings }),
    listener: {
      onRequest: (stream, fields) => proxy.accept({ stream, fields, origin }),
      onClose(error) {
        if (error !== undefined) log?.debug({ peer: origin.peer.address, error: error.message }, "connection ended");
      },
    },
  });
  return {
    receive: (chunk) => connection.receive(chunk),
    shutdown: () => connection.shutdown(),
    abort(error) {
      for (const stream of connection.streams.all()) (stream.listener as InboundListener).refuse?.(error);
      connection.destroy();
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
