/** The codec on real sockets, against `node:http`'s client and hand-made peers: what only a kernel's buffers bring to light. */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Http1Connection } from "../../src/http1/connection.ts";
import type { Http1Settings } from "../../src/http1/settings.ts";
import { sleep, until } from "../support/until.ts";
import { Recorded, requestText } from "./memory.ts";

let server: Server;
let port: number;
let requests: Recorded[];
let connections: Http1Connection[];
let onRequest: (request: Recorded) => void;
let settings: Partial<Http1Settings>;
/** Our ends, and all. */
let served: Socket[];
const sockets: Socket[] = [];

beforeEach(async () => {
  requests = [];
  connections = [];
  served = [];
  onRequest = () => {};
  settings = {};
  server = createServer((socket) => {
    sockets.push(socket);
    served.push(socket);
    const connection = new Http1Connection(socket, {
      secure: false,
      settings,
      listener: {
        onRequest(stream, fields, end) {
          const request = new Recorded(stream, fields, end);
          requests.push(request);
          stream.listener = request;
          onRequest(request);
          return request;
        },
        onClose() {},
      },
    });
    connections.push(connection);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

interface Peer {
  readonly socket: Socket;
  text: string;
  isEnded: boolean;
  isClosed: boolean;
  error: NodeJS.ErrnoException | undefined;
}

/** A peer that keeps its side open when ours ends. */
function connect(): Peer {
  const socket = createConnection({ port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  const peer: Peer = { socket, text: "", isEnded: false, isClosed: false, error: undefined };
  socket.on("data", (chunk: Buffer) => {
    peer.text += chunk.toString("latin1");
  });
  socket.on("end", () => {
    peer.isEnded = true;
  });
  socket.on("close", () => {
    peer.isClosed = true;
  });
  socket.on("error", (error) => {
    peer.error = error;
  });
  return peer;
}

describe("node:http's client", () => {
  it("posts over one connection, with lengths and chunks, bodies and trailers both ways", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onRequest = (request) => {
      request.onData = (bytes, start, stop, end) => {
        if (!request.stream.localEnded && request.body === "") request.head(200, false, ["x-echo", "yes"]);
        Recorded.prototype.onData.call(request, bytes, start, stop, end);
        request.stream.sendData(bytes, start, stop, false);
        request.stream.consume(stop - start);
        if (end) request.end(["x-trailer", "no"]);
      };
      request.onTrailers = (fields) => {
        Recorded.prototype.onTrailers.call(request, fields);
        request.end(["x-trailer", request.trailers!.join()]);
      };
    };
    for (const [size, chunked] of [
      [10, false],
      [10, true],
      [3_000_000, false],
      [3_000_000, true],
    ] as const) {
      const body = Buffer.alloc(size, "abcdefghijk");
      const reply = await new Promise<IncomingMessage & { body?: Buffer }>((resolve, reject) => {
        const call = httpRequest(
          { port, agent, method: "POST", path: "/a.S/M" },
          (response: IncomingMessage & { body?: Buffer }) => {
            const parts: Buffer[] = [];
            response.on("data", (part) => parts.push(part));
            response.on("end", () => {
              response.body = Buffer.concat(parts);
              resolve(response);
            });
          },
        );
        call.on("error", reject);
        if (chunked) call.setHeader("trailer", "x-sum");
        else call.setHeader("content-length", size);
        call.write(body);
        if (chunked) call.addTrailers({ "x-sum": "1" });
        call.end();
      });
      expect(reply.statusCode).toBe(200);
      expect(reply.body?.equals(body)).toBe(true);
      expect(reply.trailers).toEqual({ "x-trailer": chunked ? "x-sum: 1" : "no" });
    }
    expect(connections).toHaveLength(1);
    agent.destroy();
    await until("the connection to close", () => connections[0]!.closed);
  });
});

describe("a peer that goes away", () => {
  it.each([
    ["end", (socket: Socket) => void socket.end()],
    ["destroy", (socket: Socket) => void socket.destroy()],
    ["reset", (socket: Socket) => void socket.resetAndDestroy()],
  ])("by %s is seen while its response is awaited", async (_how, leave) => {
    const { socket } = connect();
    socket.write(requestText("POST /", [], "abc"));
    await until("the request", () => requests[0]);
    leave(socket);
    await until("the reset", () => requests[0]!.reset);
    expect(requests[0]!.reset).toMatchObject({ cause: "peer" });
  });
});

describe("the last response of a connection", () => {
  it("reaches a peer that sends on, to no use", async () => {
    onRequest = (request) => request.answer(413, "too large", ["content-length", "9"]);
    const peer = connect();
    peer.socket.write(requestText("POST /", ["Content-Length: 100000000"]));
    const part = Buffer.alloc(100_000);
    for (let i = 0; i < 50; i++) {
      peer.socket.write(part);
      await sleep(2);
    }
    await until("the end", () => peer.isEnded);
    expect(peer.error).toBeUndefined();
    expect(peer.text).toMatch(/^HTTP\/1\.1 413 .*connection: close.*too large$/s);
    expect(requests).toHaveLength(1);
    await until("the close, though the peer keeps its side open", () => served[0]!.destroyed);
  });

  it("isn't cut for a peer that reads late", async () => {
    onRequest = (request) => request.answer(200, "x".repeat(8_000_000), ["content-length", "8000000"]);
    const peer = connect();
    peer.socket.pause();
    peer.socket.write(requestText("GET /", ["Connection: close"]));
    await until("the request", () => requests[0]);
    await sleep(2_500);
    peer.socket.resume();
    await until("all of it", () => peer.isEnded);
    expect(peer.text.length).toBeGreaterThan(8_000_000);
  });

  it("that is cut doesn't look whole", async () => {
    onRequest = (request) => {
      request.head(200, false);
      request.data("abc");
      request.stream.reset(2);
    };
    const chunked = connect();
    chunked.socket.write(requestText("GET /"));
    await until("the end", () => chunked.isEnded);
    expect(chunked.text).toMatch(/3\r\nabc\r\n$/);
  });
});

describe("stalled peers (fault D2)", () => {
  it("that don't read hold the sender at what the socket takes and 256 KiB", async () => {
    const part = Buffer.alloc(16 << 10);
    let given = 0;
    onRequest = (request) => {
      request.head(200, false);
      const push = () => {
        while (given < 1 << 30) {
          given += part.length;
          if (!request.stream.sendData(part, 0, part.length, false)) return;
        }
      };
      request.onSent = push;
      push();
    };
    const peer = connect();
    peer.socket.pause();
    peer.socket.write(requestText("GET /"));
    await until("the request", () => requests[0]);
    await sleep(300);
    expect(connections[0]!.output.buffered).toBeLessThan((256 << 10) + 2 * part.length);
    const before = given;
    peer.socket.resume();
    await until("more", () => given > before + (4 << 20));
    peer.socket.destroy();
    await until("the reset", () => requests[0]!.reset);
  });

  it("that aren't read are held at a window", async () => {
    const peer = connect();
    peer.socket.write(requestText("POST /", [`Content-Length: ${64 << 20}`]));
    const body = Buffer.alloc(64 << 20);
    peer.socket.write(body);
    await until("a window", () => (requests[0]?.body.length ?? 0) >= 65_535);
    await sleep(300);
    const held = requests[0]!.body.length;
    expect(held).toBeLessThan(65_535 + 2 * (64 << 10));
    requests[0]!.stream.consume(held);
    await until("another", () => requests[0]!.body.length > held);
    peer.socket.destroy();
  });
});

describe("slow senders (fault D1)", () => {
  it.each<[what: string, limits: Partial<Http1Settings>, first: string, then: string]>([
    ["a byte of a head now and then", { headerTimeoutMs: 300 }, "GET / HTTP/1.1\r\nHost: a", "a"],
    ["a body that stops", { bodyIdleTimeoutMs: 800 }, requestText("POST /", ["Content-Length: 9"]), ""],
    ["nothing at all", { headerTimeoutMs: 300 }, "", ""],
    ["nothing behind a request", { keepAliveTimeoutMs: 300 }, requestText("GET /"), ""],
    [
      "a response whose request goes on",
      { drainTimeoutMs: 300 },
      requestText("POST /now", ["Content-Length: 99"]),
      "a",
    ],
  ])("are closed: %s", async (_what, limits, first, then) => {
    settings = limits;
    onRequest = (request) => (request.isEnded || request.fields[3] === ":path: /now") && request.answer(200);
    const { socket } = connect();
    socket.write(first);
    const slow = setInterval(() => void socket.write(then), 100);
    await until("the close", () => served[0]?.destroyed);
    clearInterval(slow);
    expect(connections[0]!.closed).toBe(true);
  });
});
