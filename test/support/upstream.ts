/** An upstream made of hand-made peers: it records every call and answers as the test says, byte by byte. */
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import { H2Peer, type H2PeerOptions } from "./h2-peer.ts";
import type { FieldPair } from "./hpack.ts";
import type { PeerStream } from "./peer-stream.ts";

export type StreamHandler = (stream: PeerStream, connection: UpstreamConnection) => void;

export interface UpstreamConnection {
  peer: H2Peer;
  /** Streams opened on it so far. */
  opened: number;
}

export interface Upstream {
  port: number;
  /** What `--to` takes. */
  url: string;
  connections: UpstreamConnection[];
  /** Every request whose headers came, canary calls excepted, unless `record` is false. */
  calls: PeerStream[];
  /** Replaces what answers a path, or every path without one of its own ("*"). */
  handle(path: string, handler: StreamHandler): void;
  /** Cuts every connection as a killed process does, and stops listening. */
  close(): Promise<void>;
}

export interface UpstreamOptions extends Partial<Omit<H2PeerOptions, "role" | "onStream">> {
  handlers?: Record<string, StreamHandler>;
  tls?: TlsOptions;
  /** Default 0, a free one. */
  port?: number;
  /** Default 127.0.0.1; all of 127.0.0.0/8 is there on Linux. */
  host?: string;
  /** Keep each call in `calls`. Default true. */
  record?: boolean;
}

export const canaryPath = "/manifold.test.Canary/Ping";

export const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
export const okTrailers: readonly FieldPair[] = [["grpc-status", "0"]];

/** Starts one on loopback. What no handler is given for is echoed. */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const handlers = new Map(Object.entries(options.handlers ?? {}));
  const connections: UpstreamConnection[] = [];
  const calls: PeerStream[] = [];
  const onSocket = (socket: Socket | TLSSocket) => {
    const connection = { opened: 0 } as UpstreamConnection;
    const onStream = (stream: PeerStream) => {
      connection.opened++;
      const path = stream.field(":path") ?? "";
      if (options.record !== false && path !== canaryPath) calls.push(stream);
      const handler = path === canaryPath ? echo : (handlers.get(path) ?? handlers.get("*") ?? echo);
      handler(stream, connection);
    };
    connection.peer = new H2Peer(socket, { ...options, role: "server", onStream });
    connections.push(connection);
  };
  const server = options.tls
    ? createTlsServer({ ALPNProtocols: ["h2"], ...options.tls }, onSocket)
    : createServer(onSocket);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
  });
  const { port } = server.address() as { port: number };
  return {
    port,
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${port}`,
    connections,
    calls,
    handle: (path, handler) => void handlers.set(path, handler),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const { peer } of connections) peer.socket.destroy();
      }),
  };
}

/** Answers with headers at once, then each chunk of the request as it came, then trailers with status 0. */
export function echo(stream: PeerStream): void {
  stream.sendHeaders(okHeaders);
  let sent = 0;
  const more = () => {
    for (; sent < stream.chunks.length; sent++) stream.sendData(stream.chunks[sent]!);
    if (!stream.ended) return;
    stream.onMore = undefined;
    stream.sendTrailers(okTrailers);
  };
  stream.onMore = more;
  more();
}

/** Waits for the request's end and sends this: fields, messages' bytes, trailers. */
export function reply(parts: { headers?: readonly FieldPair[]; body?: Buffer; trailers?: readonly FieldPair[] }) {
  return (stream: PeerStream): void => {
    const answer = () => {
      if (!stream.ended) return;
      stream.onMore = undefined;
      stream.sendHeaders(parts.headers ?? okHeaders);
      if (parts.body) stream.sendData(parts.body);
      stream.sendTrailers(parts.trailers ?? okTrailers);
    };
    stream.onMore = answer;
    answer();
  };
}

/** Ends the call with a Trailers-Only response. */
export function trailersOnly(status: number, more: readonly FieldPair[] = []): StreamHandler {
  const fields: FieldPair[] = [...okHeaders, ["grpc-status", String(status)], ...more];
  return (stream) => stream.sendHeaders(fields, { end: true });
}
