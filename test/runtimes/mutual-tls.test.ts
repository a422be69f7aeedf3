/** Mutual TLS (fault C8), on both sides: who isn't let in gets a handshake error, no call is made, and the log says why. */
import type { ConnectionOptions } from "node:tls";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { type Certificate, CertificateAuthority } from "../support/certificates.ts";
import { call, connectPeer } from "../support/grpc.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { until } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.MutualTls/Get";
const authority = new CertificateAuthority("manifold test authority");
const stranger = new CertificateAuthority("another authority");
const names = { dns: ["localhost"], ips: ["127.0.0.1"] };
const server = authority.issue({ commonName: "server", ...names });
const client = authority.issue({ commonName: "client" });
const files = {
  "server.crt": server.cert,
  "server.key": server.key,
  "client.crt": client.cert,
  "client.key": client.key,
  "ca.crt": authority.cert,
};

/** The errors of lines of the log with this message. */
function errors({ program }: Manifold, message: string): string[] {
  return program
    .stdout()
    .split("\n")
    .filter((line) => line.includes(`"msg":"${message}"`))
    .map((line) => (JSON.parse(line) as { error: string }).error);
}

onRuntime("C8: callers over mutual TLS", () => {
  let upstream: Upstream;
  let manifold: Manifold;
  let sockets: number | undefined;
  beforeAll(async () => {
    upstream = await startUpstream();
    const tls = { cert: "server.crt", key: "server.key", client_ca: "ca.crt" };
    const config = {
      listeners: [{ address: "127.0.0.1:0", tls }],
      upstreams: { main: { endpoints: [upstream.url] } },
      routes: [{ to: "main" }],
    };
    manifold = await startManifold({ runtime, config, files });
    sockets = manifold.sockets();
  });
  afterAll(async () => {
    // and one to the upstream
    if (sockets !== undefined) await until("sockets to be closed", () => manifold.sockets()! <= sockets! + 1);
    expect(await manifold?.stop()).toBe(0);
    await upstream?.close();
  });

  /** Deno names the fault of one that has ended otherwise. */
  const unverified = /^client certificate refused: UNABLE_TO_VERIFY_LEAF_SIGNATURE$/;
  const refused: [what: string, certificate: ConnectionOptions, why: RegExp][] = [
    ["none", {}, /^no client certificate$/],
    ["wrong CA", stranger.issue({ commonName: "client" }), unverified],
    [
      "expired",
      authority.issue({ commonName: "client", days: -1 }),
      runtime === "deno" ? unverified : /^client certificate refused: CERT_HAS_EXPIRED$/,
    ],
  ];
  for (const [what, certificate, why] of refused) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      check(`${what}, ${maxVersion}`, async () => {
        const before = { calls: upstream.calls.length, errors: errors(manifold, "TLS handshake failed").length };
        // TLS 1.3's client learns of it behind its own handshake: then its first call is cut
        const result = await connectPeer(manifold.port, { tls: { ca: authority.cert, maxVersion, ...certificate } })
          .then((peer) => call(peer, path))
          .catch((error: Error) => error);
        if (!(result instanceof Error)) expect([maxVersion, result.stream.cut]).toEqual(["TLSv1.3", true]);
        await until("a line in the log", () => errors(manifold, "TLS handshake failed").length > before.errors);
        expect(errors(manifold, "TLS handshake failed").at(-1)).toMatch(why);
        expect(upstream.calls.length).toBe(before.calls);
      });
    }
  }

  check("good", async () => {
    const before = upstream.calls.length;
    const peer = await connectPeer(manifold.port, { tls: { ca: authority.cert, ...client } });
    expect((await call(peer, path)).status).toBe(0);
    expect(upstream.calls.length).toBe(before + 1);
    await peer.close();
  });
});

onRuntime("C8: upstreams over mutual TLS", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** A call through an upstream with this certificate, which asks for one of `authority`. */
  async function through(
    certificate: Certificate,
    tls: object = { ca: "ca.crt", cert: "client.crt", key: "client.key" },
  ) {
    const upstream = await startUpstream({ tls: { ...certificate, ca: authority.cert, requestCert: true } });
    cleanups.push(() => upstream.close());
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { endpoints: [upstream.url], tls } },
      routes: [{ to: "main" }],
    };
    const manifold = await startManifold({ runtime, config, files });
    cleanups.push(() => manifold.stop());
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    const { status, message } = await call(peer, path);
    return {
      status,
      message,
      calls: upstream.calls.length,
      why: () => errors(manifold, "endpoint can't be reached").join(),
    };
  }

  const bad: [what: string, certificate: Certificate, why: RegExp][] = [
    ["wrong CA", stranger.issue({ commonName: "server", ...names }), /verif|certificate|issuer|signature/i],
    [
      "expired",
      authority.issue({ commonName: "server", ...names, days: -1 }),
      runtime === "deno" ? /verify/ : /expired/i,
    ],
    [
      "wrong SAN",
      authority.issue({ commonName: "server", dns: ["other.example"], ips: ["127.0.0.2"] }),
      /altnames|not valid for|NotValidForName/i,
    ],
  ];
  for (const [what, certificate, why] of bad) {
    check(what, async () => {
      const seen = await through(certificate);
      expect(seen).toMatchObject({ status: 14, calls: 0 });
      expect(seen.message).not.toContain("127.0.0.1");
      expect(await until("a line in the log", seen.why)).toMatch(why);
    });
  }

  check("none of our own, where one is asked for", async () => {
    const seen = await through(server, { ca: "ca.crt" });
    expect(seen).toMatchObject({ status: 14, calls: 0 });
  });

  check("good", async () => {
    expect(await through(server)).toMatchObject({ status: 0, calls: 1 });
  });
});
