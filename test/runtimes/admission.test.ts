/** Who may call, and how often: rate limits, tokens, certificates and header lists of the built command. */
import { afterAll, beforeAll, expect } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { type CallResult, call, connectPeer } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { createIssuer, type KeyServer, startKeyServer, type TestIssuer } from "../support/tokens.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Edge/Get";
const authority = new CertificateAuthority("clients");
const server = authority.issue({ commonName: "localhost", ips: ["127.0.0.1"] });

onRuntime("admission", () => {
  let issuer: TestIssuer;
  let keys: KeyServer;
  let upstream: Upstream;
  let manifold: Manifold;
  /** The ports of the listeners below, by what they ask. */
  let ports: { limited: number; token: number; certificate: number; keyFile: number };

  beforeAll(async () => {
    issuer = await createIssuer();
    keys = await startKeyServer(issuer.jwks);
    upstream = await startUpstream();
    const jwt = { issuer: issuer.name, audience: "api", jwks: keys.url };
    manifold = await startManifold({
      runtime,
      files: {
        "tls.crt": server.cert,
        "tls.key": server.key,
        "ca.crt": authority.cert,
        "keys.json": JSON.stringify(issuer.jwks),
      },
      config: {
        listeners: [
          { address: "127.0.0.1:0", rate_limit: { rate: "1/h", burst: 5, by: { header: "x-api-key" } } },
          {
            address: "127.0.0.1:0",
            jwt: { ...jwt, forward: false, claim_headers: { "x-user": "sub" } },
            headers: { allow: ["x-kept"] },
          },
          {
            address: "127.0.0.1:0",
            tls: { cert: "tls.crt", key: "tls.key", client_ca: "ca.crt" },
            certificate: { allow: ["spiffe://acme.example/*", "good.example"] },
          },
          { address: "127.0.0.1:0", jwt: { ...jwt, jwks: "keys.json" } },
        ],
        upstreams: { main: { endpoints: [upstream.url] } },
        routes: [
          { match: { service: "manifold.test.Admin", claims: { roles: "admin" } }, to: "main" },
          { match: { service: "manifold.test.Admin" }, refuse: { code: "permission_denied" } },
          { match: { service: "manifold.test.Slow" }, to: "main", rate_limit: { rate: "1/h", by: "identity" } },
          { to: "main" },
        ],
      },
    });
    const [limited, token, certificate, keyFile] = manifold.ports as [number, number, number, number];
    ports = { limited, token, certificate, keyFile };
  });
  afterAll(async () => {
    expect(await manifold?.stop()).toBe(0);
    await upstream?.close();
    await keys?.close();
  });

  async function callOn(port: number, headers: FieldPair[] = [], method = path, tls?: object): Promise<CallResult> {
    const peer = await connectPeer(port, tls === undefined ? {} : { tls });
    try {
      return await call(peer, method, { headers });
    } finally {
      peer.socket.destroy();
    }
  }

  check("a rate limit lets the burst in, whatever connection it comes by, and tells when to come again", async () => {
    const statuses: (number | undefined)[] = [];
    for (let at = 0; at < 7; at++) statuses.push((await callOn(ports.limited, [["x-api-key", "a"]])).status);
    expect(statuses).toEqual([0, 0, 0, 0, 0, 8, 8]);
    const refused = await callOn(ports.limited, [["x-api-key", "a"]]);
    expect(Number(refused.stream.field("grpc-retry-pushback-ms"))).toBeGreaterThan(3_000_000);
    expect((await callOn(ports.limited, [["x-api-key", "b"]])).status).toBe(0);
    for (let at = 0; at < 5; at++) await callOn(ports.limited);
    const response = await fetch(`http://127.0.0.1:${ports.limited}${path}`, {
      method: "POST",
      headers: { "content-type": "application/proto" },
      body: "x",
    });
    expect(response.status).toBe(429);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(3_000);
    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
  });

  check("a token is asked for, checked by keys at a URL, and told to the upstream as a header", async () => {
    const before = upstream.calls.length;
    expect((await callOn(ports.token)).status).toBe(16);
    expect((await callOn(ports.token, [["authorization", "Bearer abc"]])).status).toBe(16);
    const old = await issuer.token({}, { expiresIn: -3_600 });
    expect((await callOn(ports.token, [["authorization", `Bearer ${old}`]])).status).toBe(16);
    expect(upstream.calls.length).toBe(before);
    const token = await issuer.token();
    const result = await callOn(ports.token, [
      ["x-user", "root"],
      ["authorization", `Bearer ${token}`],
      ["x-kept", "1"],
      ["x-dropped", "1"],
    ]);
    expect(result.status).toBe(0);
    const seen = upstream.calls.at(-1)!;
    expect(seen.field("x-user")).toBe("ada");
    expect(seen.field("authorization")).toBeUndefined();
    expect(seen.field("x-kept")).toBe("1");
    expect(seen.field("x-dropped")).toBeUndefined();
    expect(keys.requests).toBe(1);
  });

  check("routes match by what a token says, and limit by whose it is", async () => {
    const bearer = async (claims: object) =>
      [["authorization", `Bearer ${await issuer.token({ ...claims })}`]] as [string, string][];
    const admin = await bearer({ roles: ["user", "admin"] });
    const user = await bearer({ sub: "bob", roles: ["user"] });
    expect((await callOn(ports.token, admin, "/manifold.test.Admin/Get")).status).toBe(0);
    expect((await callOn(ports.token, user, "/manifold.test.Admin/Get")).status).toBe(7);
    const statuses = [admin, admin, user].map(async (headers, at) => {
      await new Promise((resolve) => setTimeout(resolve, at * 200));
      return (await callOn(ports.token, headers, "/manifold.test.Slow/Get")).status;
    });
    expect(await Promise.all(statuses)).toEqual([0, 8, 0]);
  });

  check("keys may be in a file", async () => {
    expect((await callOn(ports.keyFile, [["authorization", `Bearer ${await issuer.token()}`]])).status).toBe(0);
    expect((await callOn(ports.keyFile)).status).toBe(16);
  });

  check("a client certificate is held against the list of names", async () => {
    const shown = (names: { dns?: string[]; uris?: string[] }) => ({
      ...authority.issue({ commonName: "client", ...names }),
      ca: authority.cert,
    });
    const statusOf = async (names: { dns?: string[]; uris?: string[] }) =>
      (await callOn(ports.certificate, [], path, shown(names))).status;
    expect(await statusOf({ dns: ["good.example"] })).toBe(0);
    expect(await statusOf({ uris: ["spiffe://acme.example/users"] })).toBe(0);
    const before = upstream.calls.length;
    expect(await statusOf({ dns: ["bad.example"] })).toBe(7);
    expect(await statusOf({ uris: ["spiffe://evil.example/users"] })).toBe(7);
    expect(await statusOf({})).toBe(7);
    expect(upstream.calls.length).toBe(before);
  });
});
