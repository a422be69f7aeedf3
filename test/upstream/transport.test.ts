import { createSecureServer, createServer, type Http2Server } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import type { UpstreamConnection } from "../../src/upstream/connection.ts";
import { createTlsContext, type UpstreamTls } from "../../src/upstream/tls.ts";
import { type DialOptions, dial } from "../../src/upstream/transport.ts";
import { CertificateAuthority } from "../support/certificates.ts";

const authority = new CertificateAuthority("upstream test");
const leaf = authority.issue({ commonName: "server", dns: ["users.example"], ips: ["127.0.0.1"] });
const client = authority.issue({ commonName: "client" });

type AnyServer = TcpServer | Http2Server;
const servers: AnyServer[] = [];
const connections: UpstreamConnection[] = [];

afterEach(() => {
  for (const connection of connections.splice(0)) connection.destroy();
  for (const server of servers.splice(0)) server.close();
});

function listen(server: AnyServer, host = "127.0.0.1"): Promise<number> {
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}

type Outcome = { connection: UpstreamConnection } | { error: Error };

function attempt(port: number, options: Partial<DialOptions> = {}): Promise<Outcome> {
  const all = { addresses: ["127.0.0.1"], port, tls: undefined, timeoutMs: 5_000, http2: undefined, ...options };
  return new Promise((resolve) => {
    dial(all, {
      onOpen(connection) {
        connections.push(connection);
        resolve({ connection });
      },
      onFailed: (error) => resolve({ error }),
      onRoom() {},
      onGoaway() {},
      onClose() {},
    });
  });
}

function tls(serverName: string, settings: UpstreamTls = { ca: authority.cert }): Partial<DialOptions> {
  return { tls: { context: createTlsContext(settings), serverName } };
}

function failure(outcome: Outcome): string {
  if ("connection" in outcome) throw new Error("expected the attempt to fail");
  return outcome.error.message;
}

function tlsServer(more: { ca?: string } = {}): AnyServer & { names: (string | false | undefined)[] } {
  const asksForCertificate = { requestCert: true, rejectUnauthorized: true };
  const server = createSecureServer({
    cert: leaf.cert,
    key: leaf.key,
    ...more,
    ...(more.ca ? asksForCertificate : {}),
  });
  const names: (string | false | undefined)[] = [];
  server.on("secureConnection", (socket: TLSSocket) => names.push((socket as { servername?: string }).servername));
  server.on("sessionError", () => {});
  return Object.assign(server, { names });
}

describe("dial()", () => {
  it("opens a cleartext connection, and knows the peer's limit when it tells of it", async () => {
    const port = await listen(createServer({ settings: { maxConcurrentStreams: 7 } }));
    const outcome = await attempt(port);
    expect("connection" in outcome && outcome.connection.room).toBe(7);
  });

  it("tries one address after the other", async () => {
    const port = await listen(createServer());
    expect(await attempt(port, { addresses: ["127.0.0.2", "127.0.0.1"] })).toHaveProperty("connection");
  });

  it("fails at once where nobody listens, naming every address", async () => {
    const server = createTcpServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const message = failure(await attempt(port, { addresses: ["127.0.0.1", "127.0.0.2"] }));
    expect(message).toContain(`127.0.0.1:${port}, 127.0.0.2:${port}`);
    expect(message).toContain("ECONNREFUSED");
  });

  it("fails at the timeout where a server takes the connection and says nothing (E1)", async () => {
    const port = await listen(createTcpServer(() => {}));
    expect(failure(await attempt(port, { timeoutMs: 50 }))).toContain("no answer within 50 ms");
    expect(failure(await attempt(port, { timeoutMs: 50, ...tls("users.example") }))).toContain("within 50 ms");
  });

  it("fails where a server speaks something else, or hangs up", async () => {
    const http1 = createTcpServer((socket) => socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await attempt(await listen(http1))).toHaveProperty("error");
    const closing = createTcpServer((socket) => socket.on("error", () => {}).destroy());
    expect(await attempt(await listen(closing))).toHaveProperty("error");
  });

  it("tells nothing after it was given up", async () => {
    const port = await listen(createServer());
    let told = 0;
    const listener = {
      onOpen: () => told++,
      onFailed: () => told++,
      onRoom() {},
      onGoaway() {},
      onClose: () => told++,
    };
    dial({ addresses: ["127.0.0.1"], port, tls: undefined, timeoutMs: 5_000, http2: undefined }, listener)();
    await attempt(port);
    expect(told).toBe(0);
  });
});

describe("dial() over TLS", () => {
  it("sends the server name by SNI and takes a certificate for it", async () => {
    const server = tlsServer();
    const port = await listen(server);
    expect(await attempt(port, tls("users.example"))).toHaveProperty("connection");
    expect(server.names).toEqual(["users.example"]);
  });

  it("takes a certificate for an address, without SNI", async () => {
    const server = tlsServer();
    const port = await listen(server);
    expect(await attempt(port, tls("127.0.0.1"))).toHaveProperty("connection");
    expect(server.names).toEqual([false]);
  });

  it("refuses a certificate for another name, or by an authority it doesn't know", async () => {
    const port = await listen(tlsServer());
    expect(failure(await attempt(port, tls("other.example")))).toContain("other.example");
    expect(await attempt(port, tls("users.example", {}))).toHaveProperty("error");
    expect(await attempt(port, tls("users.example", { ca: client.cert }))).toHaveProperty("error");
  });

  it("refuses a server that doesn't choose h2", async () => {
    const server = createTlsServer({ cert: leaf.cert, key: leaf.key }, (socket) => socket.on("error", () => {}));
    expect(failure(await attempt(await listen(server), tls("users.example")))).toContain("did not choose h2");
  });

  it("shows its own certificate to a server that asks for one", async () => {
    const port = await listen(tlsServer({ ca: authority.cert }));
    const own = { ca: authority.cert, cert: client.cert, key: client.key };
    expect(await attempt(port, tls("users.example", own))).toHaveProperty("connection");
    expect(await attempt(port, tls("users.example"))).toHaveProperty("error");
  });
});
