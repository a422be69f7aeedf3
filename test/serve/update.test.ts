import { connect, createServer, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { createProxy } from "../../src/proxy.ts";
import type { Director } from "../../src/route/director.ts";
import type { ListenerOptions } from "../../src/serve/listener.ts";
import { type Server, serve } from "../../src/serve/serve.ts";
import { grpcRequest } from "../in-memory.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { Setting } from "../support/frames.ts";
import { H2Peer } from "../support/h2-peer.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { until } from "../support/until.ts";

const authority = new CertificateAuthority("test");
const [first, second] = ["first", "second"].map((commonName) => authority.issue({ commonName, ips: ["127.0.0.1"] }));

const servers: Server[] = [];
const sockets: Socket[] = [];
/** Answers every call that is open, with an error. */
let release: () => void;
let released: Promise<void>;
const waits: Director = async () => {
  await released;
  throw new ConnectError("answered", Code.Aborted);
};

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.closeNow();
});

async function start(...listen: (string | ListenerOptions)[]): Promise<Server> {
  released = new Promise((resolve) => {
    release = resolve;
  });
  const server = await serve(createProxy({ director: waits }), { listen });
  servers.push(server);
  return server;
}

async function dial(port: number): Promise<H2Peer> {
  const socket = connect({ port, host: "127.0.0.1" });
  sockets.push(socket);
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return new H2Peer(socket, { role: "client" });
}

async function dialTls(
  port: number,
  options: object = {},
): Promise<{ socket: TLSSocket; peer: H2Peer; name: unknown }> {
  const socket = connectTls({ port, host: "127.0.0.1", ca: authority.cert, ALPNProtocols: ["h2"], ...options });
  sockets.push(socket);
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return { socket, peer: new H2Peer(socket, { role: "client" }), name: socket.getPeerCertificate().subject.CN };
}

/** A call that the proxy has begun. */
async function openCall(peer: H2Peer, origin = "https://a.example"): Promise<PeerStream> {
  const stream = peer.open([...grpcRequest, ["origin", origin]], { end: true });
  await peer.ping();
  return stream;
}

async function answered(stream: PeerStream): Promise<string | undefined> {
  release();
  await stream.finished;
  return stream.field("grpc-message");
}

describe("server.update()", () => {
  it("asks what is new of calls on connections that are open, too", async () => {
    const server = await start("127.0.0.1:0");
    const peer = await dial(server.addresses[0]!.port);
    const before = await openCall(peer);
    const refuse = () => {
      throw new ConnectError("who?", Code.Unauthenticated);
    };
    await server.update({ listen: [{ address: "127.0.0.1:0", authorize: refuse }] });
    const after = await openCall(peer);
    await after.finished;
    expect(after.field("grpc-status")).toBe("16");
    expect(before.done).toBe(false);
    await server.update({ listen: ["127.0.0.1:0"] });
    expect(await answered(await openCall(peer))).toBe("answered");
  });

  it("keeps a port and its connections, and opens and closes others", async () => {
    const server = await start("127.0.0.1:0", "localhost:0");
    const [kept, removed] = server.addresses.map(({ port }) => port);
    const [stays, leaves] = [await dial(kept!), await dial(removed!)];
    const calls = [await openCall(stays), await openCall(leaves)];
    await server.update({ listen: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: first! }] });
    expect(server.addresses.map(({ port, secure }) => [port === kept, secure])).toEqual([
      [true, false],
      [false, true],
    ]);
    expect((await dialTls(server.addresses[1]!.port)).name).toBe("first");
    await expect(dial(removed!)).rejects.toThrow("ECONNREFUSED");
    await until("a GOAWAY on the one that leaves", () => leaves.goaways.length > 0);
    expect(stays.goaways).toEqual([]);
    expect(server.listeners.map(({ connections, streams }) => [connections, streams])).toEqual([
      [1, 1],
      [1, 0],
      [1, 1],
    ]);
    expect([await answered(calls[0]!), await answered(calls[1]!)]).toEqual(["answered", "answered"]);
    await until("the one that leaves to be closed", () => leaves.closed);
    await until("its listener to be gone", () => server.listeners.length === 2); // our end of it closes a turn later
    expect(stays.closed).toBe(false);
  });

  it("gives new handshakes the new certificate; connections go on", async () => {
    const server = await start({ address: "127.0.0.1:0", tls: first! });
    const { port } = server.addresses[0]!;
    const old = await dialTls(port);
    const call = await openCall(old.peer);
    await server.update({ listen: [{ address: "127.0.0.1:0", tls: second! }] });
    const now = await dialTls(port);
    expect([old.name, now.name, now.socket.alpnProtocol]).toEqual(["first", "second", "h2"]);
    expect(old.peer.goaways).toEqual([]);
    expect(await answered(call)).toBe("answered");
  });

  it("trusts the new client authorities alone, and ends connections that came by the old ones with their last call", async () => {
    const [one, other] = [new CertificateAuthority("one"), new CertificateAuthority("other")];
    const server = await start({ address: "127.0.0.1:0", tls: { ...first!, clientCa: one.cert } });
    const { port } = server.addresses[0]!;
    const old = await dialTls(port, one.issue({ commonName: "client" }));
    const call = await openCall(old.peer);
    await server.update({ listen: [{ address: "127.0.0.1:0", tls: { ...first!, clientCa: other.cert } }] });
    await until("a GOAWAY", () => old.peer.goaways.length > 0);
    expect(await answered(call)).toBe("answered");
    await until("the old connection to end", () => old.peer.closed);
    const good = await dialTls(port, other.issue({ commonName: "client" }));
    await good.peer.ping();
    const refused = await dialTls(port, one.issue({ commonName: "client" }));
    await until("the stranger to be cut", () => refused.peer.closed);
  });

  it("applies CORS to new calls of old connections, and limits to new connections", async () => {
    const server = await start("127.0.0.1:0");
    const { port } = server.addresses[0]!;
    const peer = await dial(port);
    const cors = { origins: ["https://a.example"] };
    await server.update({ listen: [{ address: "127.0.0.1:0", cors }] });
    const call = await openCall(peer);
    await answered(call);
    expect(call.field("access-control-allow-origin")).toBe("https://a.example");
    expect(peer.goaways).toEqual([]);
    await server.update({ listen: [{ address: "127.0.0.1:0", cors, http2: { maxConcurrentStreams: 7 } }] });
    await until("the old connection to end", () => peer.closed);
    const limited = await dial(port);
    await limited.ping();
    expect(limited.settings.get(Setting.maxConcurrentStreams)).toBe(7);
  });

  it("changes a port from cleartext to TLS and its host", async () => {
    const server = await start("0.0.0.0:0");
    const { port } = server.addresses[0]!;
    const old = await dial(port);
    const call = await openCall(old);
    await server.update({ listen: [`127.0.0.1:${port}`] });
    expect(server.addresses).toEqual([{ address: "127.0.0.1", port, secure: false }]);
    await server.update({ listen: [{ address: `127.0.0.1:${port}`, tls: first! }] });
    expect((await dialTls(port)).name).toBe("first");
    expect(await answered(call)).toBe("answered");
  });

  it("changes nothing where a port can't be had or an option can't be used", async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
    const taken = (blocker.address() as { port: number }).port;
    const server = await start("0.0.0.0:0", { address: "127.0.0.1:0", tls: first! });
    const before = server.addresses;
    const peer = await dial(before[0]!.port);
    const renamed = `127.0.0.1:${before[0]!.port}`; // closes the old one first
    const tls = { address: "127.0.0.1:0", tls: second! };
    await expect(server.update({ listen: [renamed, tls, `127.0.0.1:${taken}`] })).rejects.toThrow("EADDRINUSE");
    const unusable = { address: "127.0.0.1:0", cors: { origins: [] } };
    await expect(server.update({ listen: ["0.0.0.0:0", tls, unusable] })).rejects.toThrow("origins");
    const nonsense = { address: "127.0.0.1:0", tls: { cert: "nonsense", key: "nonsense" } };
    await expect(server.update({ listen: ["0.0.0.0:0", nonsense] })).rejects.toThrow();
    blocker.close();
    expect(server.addresses).toEqual(before);
    expect(peer.goaways).toEqual([]);
    await (await dial(before[0]!.port)).ping();
    expect((await dialTls(before[1]!.port)).name).toBe("first");
  });
});
