import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import type { Call } from "../../src/call.ts";
import { createProxy } from "../../src/proxy.ts";
import type { Director } from "../../src/route/director.ts";
import { type ServeOptions, type Server, serve } from "../../src/serve/serve.ts";
import { grpcRequest } from "../in-memory.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { Setting } from "../support/frames.ts";
import { H2Peer } from "../support/h2-peer.ts";
import { until } from "../support/until.ts";

const servers: Server[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.closeNow();
});

const refuses: Director = () => {
  throw new ConnectError("answered", Code.Aborted);
};

async function start(options: Partial<ServeOptions> = {}, director = refuses): Promise<Server> {
  const server = await serve(createProxy({ director }), { listen: ["127.0.0.1:0"], ...options });
  servers.push(server);
  return server;
}

function dial(server: Server, allowHalfOpen = false): Socket {
  const socket = connect({ port: server.addresses[0]!.port, host: "127.0.0.1", allowHalfOpen });
  socket.on("error", () => {});
  sockets.push(socket);
  return socket;
}

const client = (socket: Socket) => new H2Peer(socket, { role: "client" });

/** What a socket was sent until it was closed. */
async function answerTo(socket: Socket, text: string): Promise<string> {
  let answer = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    answer += chunk;
  });
  socket.write(text, "latin1");
  await until("the end of input", () => socket.readableEnded || socket.destroyed);
  return answer;
}

describe("serve()", () => {
  it("answers calls in cleartext with prior knowledge", async () => {
    const server = await start();
    expect(server.addresses).toEqual([{ address: "127.0.0.1", port: expect.any(Number), secure: false }]);
    const stream = client(dial(server)).open(grpcRequest, { end: true });
    await stream.finished;
    expect(stream.field("grpc-status")).toBe("10");
  });

  it("takes the preface in parts, and calls that come with it", async () => {
    const server = await start();
    const socket = dial(server);
    const peer = client(socket);
    const stream = peer.open(grpcRequest, { end: true });
    await stream.finished;
    expect(stream.field("grpc-message")).toBe("answered");
  });

  it("tells the director of the caller, and over TLS of its certificate", async () => {
    const ca = new CertificateAuthority("test");
    const tls = { ...ca.issue({ commonName: "server", dns: ["localhost"] }), clientCa: ca.cert };
    const calls: Call[] = [];
    const server = await start({ listen: [{ address: "127.0.0.1:0", tls }] }, (call) => {
      calls.push(call);
      return refuses(call);
    });
    expect(server.addresses[0]!.secure).toBe(true);
    const own = ca.issue({ commonName: "someone", dns: ["a.example", "b.example"] });
    const { port } = server.addresses[0]!;
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: ca.cert,
      ALPNProtocols: ["h2"],
      ...own,
    });
    sockets.push(socket);
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    const stream = client(socket).open(grpcRequest, { end: true });
    await stream.finished;
    expect(calls).toHaveLength(1);
    expect(calls[0]!.secure).toBe(true);
    expect(calls[0]!.peer).toEqual({
      address: "127.0.0.1",
      port: socket.localPort,
      certificate: {
        subject: "someone",
        alternativeNames: ["DNS:a.example", "DNS:b.example"],
        fingerprint256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
      },
    });
  });

  it("announces the limits of its listener", async () => {
    const server = await start({ listen: [{ address: "127.0.0.1:0", http2: { maxConcurrentStreams: 7 } }] });
    const peer = client(dial(server));
    await peer.ping();
    expect(peer.settings.get(Setting.maxConcurrentStreams)).toBe(7);
  });

  it("opens nothing where one of its addresses can't be had", async () => {
    const taken = (await start()).addresses[0]!.port;
    const free = (await start()).addresses[0]!.port;
    await servers.pop()!.close();
    await expect(start({ listen: [`127.0.0.1:${free}`, `127.0.0.1:${taken}`] })).rejects.toThrow("EADDRINUSE");
    await expect(start({ listen: [`127.0.0.1:${free}`, "nonsense"] })).rejects.toThrow('"nonsense"');
    const limits = { address: "127.0.0.1:0", http2: { maxFrameSize: 1 } };
    await expect(start({ listen: [`127.0.0.1:${free}`, limits] })).rejects.toThrow("maxFrameSize");
    await start({ listen: [`127.0.0.1:${free}`] });
  });
});

describe("what isn't HTTP/2", () => {
  it("is HTTP/1.1 if its first line says so", async () => {
    const answer = await answerTo(dial(await start()), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 404 [\s\S]*\r\n\r\nno method at path "\/"\n$/);
  });

  it.each(["PRI * HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n", "GET  / HTTP/1.1\r\n\r\n"])(
    "is refused and closed if it is HTTP/1.1 and wrong: %j",
    async (text) => {
      expect(await answerTo(dial(await start()), text)).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\nconnection: close\r\n/i);
    },
  );

  it.each(["\x16\x03\x01\x02\x00\n", "hello\n", "GET /\r\n"])("is closed without a word else: %.20j", async (text) => {
    expect(await answerTo(dial(await start()), text)).toBe("");
  });

  it("is destroyed though the client never closes", async () => {
    const socket = dial(await start(), true);
    await answerTo(socket, "GET / HTTP/1.1\r\n\r\n"); // no Host
    const probe = setInterval(() => socket.write("more"), 50);
    await until("a reset", () => socket.destroyed, 5_000).finally(() => clearInterval(probe));
  });

  it("is destroyed if it says nothing, or half a line, for too long", async () => {
    const server = await start({ listen: [{ address: "127.0.0.1:0", http2: { prefaceTimeoutMs: 200 } }] });
    expect(await answerTo(dial(server), "")).toBe("");
    expect(await answerTo(dial(server), "GET / HT")).toBe("");
    expect(await answerTo(dial(server), "PRI * HTTP/2.0")).toBe("");
  });

  it("is destroyed if it never finishes a TLS handshake", async () => {
    const tls = new CertificateAuthority("test").issue({ commonName: "server" });
    const server = await start({ listen: [{ address: "127.0.0.1:0", tls, http2: { prefaceTimeoutMs: 200 } }] });
    expect(await answerTo(dial(server), "\x16\x03\x01")).toBe("");
  });
});

describe("close()", () => {
  /** A call that is under way until it is let go. */
  function pending(): { director: Director; answer: () => void; calls: () => number } {
    const waiting: (() => void)[] = [];
    const director: Director = () =>
      new Promise((_, reject) => waiting.push(() => reject(new ConnectError("late", Code.Aborted))));
    return { director, answer: () => waiting.splice(0).map((one) => one()), calls: () => waiting.length };
  }

  it("takes no connections, says GOAWAY, and lets calls finish (fault E5)", async () => {
    const { director, answer, calls } = pending();
    const server = await start({}, director);
    const peer = client(dial(server));
    const stream = peer.open(grpcRequest, { end: true });
    await until("the call", () => calls() === 1);
    let closed = false;
    const closing = server.close().then(() => {
      closed = true;
    });
    await until("GOAWAY twice", () => peer.goaways.length === 2);
    expect(peer.goaways.map(({ lastStreamId, code }) => [lastStreamId, code])).toEqual([
      [2 ** 31 - 1, 0],
      [1, 0],
    ]);
    await expect(
      new Promise((resolve, reject) => dial(server).once("error", reject).once("connect", resolve)),
    ).rejects.toThrow("ECONNREFUSED");
    expect(closed).toBe(false);
    answer();
    await stream.finished;
    expect(stream.field("grpc-message")).toBe("late");
    await closing;
    await until("the peer to see it", () => peer.closed);
  });

  it("ends what is left after its time with unavailable", async () => {
    const { director, calls } = pending();
    const server = await start({ drainTimeoutMs: 100 }, director);
    const stream = client(dial(server)).open(grpcRequest, { end: true });
    await until("the call", () => calls() === 1);
    await Promise.all([server.close(), server.close()]);
    expect(stream.field("grpc-status")).toBe("14");
    expect(stream.field("grpc-message")).toBe("server is shutting down");
  });

  it("closes idle connections at once, and resolves without any", async () => {
    const server = await start();
    const peer = client(dial(server));
    await peer.ping();
    await server.close();
    await until("the peer to see it", () => peer.closed);
    await server.close();
  });
});

describe("closeNow()", () => {
  it("ends calls and connections, whatever they are in", async () => {
    const server = await start({}, () => new Promise(() => {}));
    const silent = dial(server);
    await new Promise((resolve) => silent.once("connect", resolve));
    const peer = client(dial(server));
    const stream = peer.open(grpcRequest);
    await peer.ping();
    server.closeNow();
    await stream.finished;
    expect(stream.field("grpc-status")).toBe("14");
    await until("all to be closed", () => peer.closed && silent.destroyed);
  });
});
