/** An upstream on raw HTTP/1.1: it records every request and answers with the test's bytes. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { FieldPair } from "./hpack.ts";
import { Http1Reader } from "./http1-reader.ts";

/** One request, as far as it has come. */
export class Http1Request {
  readonly socket: Socket;
  /** `:method` and `:path`, then the fields. */
  readonly headers: FieldPair[];
  readonly chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  /** The proxy has closed the connection. */
  closed = false;
  /** `performance.now()` of that. */
  closedAt = 0;
  onMore: (() => void) | undefined;

  constructor(socket: Socket, headers: FieldPair[]) {
    this.socket = socket;
    this.headers = headers;
  }

  field(name: string): string | undefined {
    return this.headers.find(([known]) => known === name)?.[1];
  }

  /** Any bytes. */
  send(...parts: (Buffer | string)[]): void {
    const bytes = parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part));
    if (!this.closed) this.socket.write(Buffer.concat(bytes));
  }
}

export interface Http1Upstream {
  port: number;
  /** What `endpoints` takes. */
  url: string;
  /** Every request whose head came. */
  calls: Http1Request[];
  /** Connections that are open. */
  sockets: Set<Socket>;
  /** What could not be read as HTTP/1.1: a fault of the proxy's. */
  malformed: string[];
  close(): Promise<void>;
}

/** Starts one on loopback. @param onRequest told when a head has come */
export async function startHttp1Upstream(onRequest: (request: Http1Request) => void): Promise<Http1Upstream> {
  const upstream = { calls: [], sockets: new Set<Socket>(), malformed: [] } as unknown as Http1Upstream;
  const server = createServer((socket) => serve(socket, upstream, onRequest));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(upstream, {
    port,
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of upstream.sockets) socket.destroy();
      }),
  });
}

function serve(socket: Socket, upstream: Http1Upstream, onRequest: (request: Http1Request) => void): void {
  let request: Http1Request | undefined;
  const onConnection: Http1Request[] = [];
  const reader = new Http1Reader("request", {
    onHead(startLine, fields) {
      const [method = "", path = ""] = startLine.split(" ");
      request = new Http1Request(socket, [[":method", method], [":path", path], ...fields]);
      onConnection.push(request);
      upstream.calls.push(request);
      onRequest(request);
    },
    onBody(bytes) {
      request!.chunks.push(bytes);
      request!.bytes += bytes.length;
      request!.onMore?.();
    },
    onEnd() {
      request!.ended = true;
      request!.onMore?.();
    },
  });
  upstream.sockets.add(socket);
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      upstream.malformed.push(String(error));
      socket.destroy();
    }
  });
  socket.on("close", () => {
    upstream.sockets.delete(socket);
    for (const one of onConnection) {
      one.closed = true;
      one.closedAt = performance.now();
      one.onMore?.();
    }
  });
}
