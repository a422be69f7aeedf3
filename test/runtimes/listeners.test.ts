/** Listeners and upstreams over TLS (ALPN, client certificates), one port for HTTP/1.1 too, and the drain at SIGTERM. */
import { connect as connectTcp } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { call, connectPeer, startCall } from "../support/grpc.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { standIn } from "../support/stand-in.ts";
import { sleep, until } from "../support/until.ts";
import { echo, startUpstream, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Listeners/Get";
const holdPath = "/manifold.test.Listeners/Hold";

const authority = new CertificateAuthority("manifold test authority");
const stranger = new CertificateAuthority("another authority");
const serverCertificate = authority.issue({ commonName: "localhost", dns: ["localhost"], ips: ["127.0.0.1"] });
const clientCertificate = authority.issue({ commonName: "good client" });
const files = {
  "server.crt": serverCertificate.cert,
  "server.key": serverCertificate.key,
  "client.crt": clientCertificate.cert,
  "client.key": clientCertificate.key,
  "ca.crt": authority.cert,
  "stranger.crt": stranger.cert,
};

onRuntime("listeners", () => {
  let upstream: Upstream;
  let manifold: Manifold;
  const held: PeerStream[] = [];

  beforeAll(async () => {
    if (standIn !== undefined) throw new Error("no stand-in is set up for TLS listeners");
    upstream = await startUpstream({ handlers: { [holdPath]: (stream) => held.push(stream) } });
    const tls = { cert: "server.crt", key: "server.key" };
    const config = {
      listeners: [
        { address: "127.0.0.1:0" },
        { address: "127.0.0.1:0", tls },
        { address: "127.0.0.1:0", tls: { ...tls, client_ca: "ca.crt" } },
      ],
      upstreams: { main: { endpoints: [upstream.url] } },
      routes: [{ to: "main" }],
    };
    manifold = await startManifold({ runtime, config, files });
  });
  afterAll(async () => {
    const exit = await manifold?.stop();
    await upstream?.close();
    expect(exit).toBe(0);
  });

  const close = "Connection: close\r\n";
  for (const [request, status] of [
    [`GET / HTTP/1.1\r\nHost: a.example\r\n${close}\r\n`, 404],
    [`POST /a.S/M HTTP/1.1\r\nHost: a\r\n${close}Content-Length: 3\r\n\r\nabc`, 415],
    ["GET / HTTP/1.1\r\n\r\n", 400],
  ] as const) {
    check(`one port: ${request.slice(0, 4).trim()} over HTTP/1.1 is answered ${status} beside HTTP/2`, async () => {
      const socket = connectTcp(manifold.port, "127.0.0.1");
      const answer = await textUntilEnd(socket, request);
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      const peer = await connectPeer(manifold.port);
      expect((await call(peer, path)).status).toBe(0);
      await peer.close();
    });
  }

  check("one port: HTTP/1.1 over TLS too", async () => {
    const socket = connectTls({
      host: "127.0.0.1",
      port: manifold.ports[1]!,
      ca: authority.cert,
      ALPNProtocols: ["http/1.1"],
    });
    const request = `GET / HTTP/1.1\r\nHost: a.example\r\n${close}\r\n`;
    expect(await textUntilEnd(socket, request)).toMatch(/^HTTP\/1\.1 404 /);
  });

  check("one port: bytes that are neither HTTP/2 nor HTTP/1 close the connection", async () => {
    const socket = connectTcp(manifold.port, "127.0.0.1");
    await textUntilEnd(socket, "\x00\x01\x02 nothing that anyone knows\r\n\r\n");
    const peer = await connectPeer(manifold.port);
    expect((await call(peer, path)).status).toBe(0);
    await peer.close();
  });

  check("TLS: ALPN chooses h2, and calls pass", async () => {
    const socket = connectTls({
      host: "127.0.0.1",
      port: manifold.ports[1]!,
      ca: authority.cert,
      ALPNProtocols: ["http/1.1", "h2"],
    });
    await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    expect(socket.alpnProtocol).toBe("h2");
    socket.destroy();
    const peer = await connectPeer(manifold.ports[1]!, { tls: { ca: authority.cert } });
    const result = await call(peer, path, { messages: [Buffer.alloc(300_000, 1)] });
    expect(result.status).toBe(0);
    expect(result.messages?.[0]?.bytes.length).toBe(300_000);
    await peer.close();
  });

  check("TLS: a client certificate of the right authority is let in", async () => {
    const peer = await connectPeer(manifold.ports[2]!, { tls: { ca: authority.cert, ...clientCertificate } });
    expect((await call(peer, path)).status).toBe(0);
    await peer.close();
  });

  const strangers: [string, ConnectionOptions][] = [
    ["no client certificate", {}],
    ["one of another authority", stranger.issue({ commonName: "good client" })],
    ["one that has ended", authority.issue({ commonName: "good client", days: -1 })],
  ];
  for (const [what, certificate] of strangers) {
    check(`TLS: ${what} is turned away, without an upstream call`, async () => {
      const calls = upstream.calls.length;
      // with TLS 1.3 a client learns of it only after its own handshake: the first call is cut
      const result = await connectPeer(manifold.ports[2]!, { tls: { ca: authority.cert, ...certificate } })
        .then((peer) => call(peer, path))
        .catch((error: Error) => error);
      if (!(result instanceof Error)) expect(result.stream.cut).toBe(true);
      expect(upstream.calls.length).toBe(calls);
      const good = await connectPeer(manifold.ports[2]!, { tls: { ca: authority.cert, ...clientCertificate } });
      expect((await call(good, path)).status).toBe(0);
      await good.close();
    });
  }

  check("SIGTERM: calls in flight finish, new connections are refused, exit 0", async () => {
    const draining = await startManifold({ runtime, to: [upstream.url] });
    const peer = await connectPeer(draining.port);
    expect((await call(peer, path)).status).toBe(0);
    held.length = 0;
    const streams = Array.from({ length: 20 }, () => startCall(peer, holdPath));
    await until("the calls upstream", () => held.length === 20);
    const ended = draining.stop(20_000);
    await until("a GOAWAY", () => peer.goaways.length > 0);
    expect(peer.goaways[0]?.code).toBe(0);
    await expect(connectPeer(draining.port)).rejects.toThrow();
    expect(draining.program.exit()).toBeUndefined();
    for (const stream of held) echo(stream);
    await Promise.all(streams.map(({ finished }) => finished));
    expect(streams.map((stream) => stream.field("grpc-status", "trailers"))).toEqual(new Array(20).fill("0"));
    expect(await ended).toBe(0);
    expect(peer.closed).toBe(true);
  });

  check("SIGTERM twice: ends at once, calls in flight or not", async () => {
    const draining = await startManifold({ runtime, to: [upstream.url] });
    const peer = await connectPeer(draining.port);
    held.length = 0;
    const stream = startCall(peer, holdPath);
    await until("the call upstream", () => held.length === 1);
    draining.program.process.kill("SIGTERM");
    await until("a GOAWAY", () => peer.goaways.length > 0);
    await sleep(300); // two signals at once may be one key pressed
    const exit = await draining.stop(5_000);
    expect(exit).not.toBe("SIGKILL");
    await stream.finished;
  });
});

onRuntime("upstreams over TLS", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function callThrough(tls: object | undefined, names: { dns?: string[]; ips?: string[] }) {
    const certificate = authority.issue({ commonName: "upstream", ...names });
    const upstream = await startUpstream({
      tls: { ...certificate, ca: authority.cert, requestCert: true, rejectUnauthorized: false },
    });
    cleanups.push(() => upstream.close());
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { endpoints: [upstream.url], ...(tls && { tls }) } },
      routes: [{ to: "main" }],
    };
    const manifold = await startManifold({ runtime, config, files });
    cleanups.push(() => manifold.stop());
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    const result = await call(peer, path, { messages: [Buffer.alloc(100_000, 1)] });
    return { result, upstream };
  }

  check("an https upstream is trusted by its authority and its name", async () => {
    const { result, upstream } = await callThrough({ ca: "ca.crt" }, { ips: ["127.0.0.1"] });
    expect(result.status).toBe(0);
    expect(upstream.calls[0]?.field(":scheme")).toBe("https");
    expect(upstream.calls[0]?.field(":authority")).toBe("test.example");
  });

  check("server_name is the name that is asked for and checked", async () => {
    const { result, upstream } = await callThrough(
      { ca: "ca.crt", server_name: "inner.example" },
      { dns: ["inner.example"] },
    );
    expect(result.status).toBe(0);
    const socket = upstream.connections[0]!.peer.socket as { servername?: string };
    expect(socket.servername).toBe("inner.example");
  });

  check("a client certificate is shown to an https upstream", async () => {
    const tls = { ca: "ca.crt", cert: "client.crt", key: "client.key" };
    const { result, upstream } = await callThrough(tls, { ips: ["127.0.0.1"] });
    expect(result.status).toBe(0);
    const socket = upstream.connections[0]!.peer.socket as unknown as import("node:tls").TLSSocket;
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate().subject.CN).toBe("good client");
  });

  const untrusted: [string, object | undefined, { dns?: string[]; ips?: string[] }][] = [
    ["of an authority that is not trusted", { ca: "stranger.crt" }, { ips: ["127.0.0.1"] }],
    ["of another name", { ca: "ca.crt", server_name: "inner.example" }, { dns: ["outer.example"] }],
    ["of no authority of the system's", undefined, { ips: ["127.0.0.1"] }],
  ];
  for (const [what, tls, names] of untrusted) {
    check(`an https upstream with a certificate ${what} is unavailable, and gets no call`, async () => {
      const { result, upstream } = await callThrough(tls, names);
      expect(result.status).toBe(14);
      expect(result.message).not.toContain("127.0.0.1");
      expect(upstream.calls).toEqual([]);
    });
  }
});

function textUntilEnd(socket: ReturnType<typeof connectTcp>, request: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.write(Buffer.from(request, "latin1"));
  });
}
