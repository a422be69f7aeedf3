import { describe, expect, it } from "vitest";
import { admissionOptions } from "../../src/config/admission.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { createIssuer } from "../support/tokens.ts";

const authority = new CertificateAuthority("test");
const leaf = authority.issue({ commonName: "leaf" });
const files: Record<string, string> = {
  "tls.crt": leaf.cert,
  "tls.key": leaf.key,
  "ca.crt": authority.cert,
  "keys.json": JSON.stringify((await createIssuer()).jwks),
  "no-keys.json": '{ "key": [] }',
};

function load(text: string) {
  return loadConfig("manifold.yaml", (path) => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const content = name === "manifold.yaml" ? text : files[name];
    if (content === undefined) throw Object.assign(new Error("not found"), { code: "ENOENT" });
    return Buffer.from(content);
  });
}

async function report(text: string): Promise<string> {
  try {
    await load(text);
  } catch (error) {
    if (error instanceof ConfigError) return `\n${error.message}\n`;
    throw error;
  }
  throw new Error("the file was taken");
}

const rest = "upstreams: { users: { endpoints: [http://10.0.0.1:50051] } }\n";

describe("rate_limit, jwt, certificate and headers of a file", () => {
  it("become options", async () => {
    const { config, keySets, warnings } = await load(`
listeners:
  - address: 127.0.0.1:8443
    tls: { cert: tls.crt, key: tls.key, client_ca: ca.crt }
    rate_limit: [{ rate: 600/m, burst: 200 }, { rate: 5/s, by: { header: X-Api-Key }, max_keys: 50 }]
    certificate: { allow: ["spiffe://acme.example/*"] }
    jwt: { issuer: "https://issuer.example", jwks: keys.json, audience: [api], clock_tolerance: 30s, claim_headers: { X-User: sub } }
    headers: { allow: [x-tenant, x-acme-*] }
${rest}
routes:
  - match: { claims: { tenant: acme, scope: { prefix: admin } }, identity: "spiffe://acme.example/*" }
    to: users
    rate_limit: { rate: 1/h, by: identity }
`);
    expect(warnings).toBe("");
    const options = admissionOptions(config.listeners![0]!, keySets);
    expect(options).toEqual({
      rateLimit: [
        { perSecond: 10, burst: 200 },
        { perSecond: 5, by: { header: "x-api-key" }, maxKeys: 50 },
      ],
      authorize: [expect.any(Function), expect.any(Function)],
      allowHeaders: ["x-tenant", "x-acme-*"],
    });
    expect(admissionOptions(config.routes![0]!, keySets)).toEqual({
      rateLimit: [{ perSecond: 1 / 3_600, by: "identity" }],
    });
  });

  it("are held against the rest of the file, each problem at its place", async () => {
    expect(
      await report(`
listeners:
  - address: 127.0.0.1:8080
    rate_limit: { rate: 100, by: peers }
    jwt: { issuer: a, jwks: no-keys.json, algorithms: [none], claim_headers: { Authorization: sub } }
  - address: 127.0.0.1:8081
    certificate: { allow: ["*"] }
    headers: { allow: ["*"] }
  - address: 127.0.0.1:8082
    certificate: {}
    rate_limit: [{ rate: 0/s }, { rate: 1/s, burst: 0 }]
  - address: 127.0.0.1:8083
    rate_limit: [{ rate: 1/s }, { rate: 1/s, by: certificate }]
    jwt: { issuer: a, jwks: none.json, claim_headers: { authorization: sub } }
${rest}
routes:
  - { to: users, jwt: { issuer: a, jwks: "ftp://a/b" } }
  - { refuse: { code: not_found }, rate_limit: { rate: 1/s } }
  - { to: users, match: { claims: { a: { present: true, prefix: b } } } }
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:4:25: expected a rate such as "100/s", got 100
         4 |     rate_limit: { rate: 100, by: peers }
           |                         ^^^

      manifold.yaml:4:34: unknown value "peers"
         4 |     rate_limit: { rate: 100, by: peers }
           |                                  ^^^^^ did you mean "peer"?

      manifold.yaml:5:29: no JSON Web Key Set in no-keys.json
         5 |     jwt: { issuer: a, jwks: no-keys.json, algorithms: [none], claim_headers: { Authorization: sub } }
           |                             ^^^^^^^^^^^^ it is { "keys": [...] }

      manifold.yaml:5:56: unknown value "none"
         5 |     jwt: { issuer: a, jwks: no-keys.json, algorithms: [none], claim_headers: { Authorization: sub } }
           |                                                        ^^^^ known: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA

      manifold.yaml:7:28: not the name of a certificate: "*"; give "spiffe://domain/path", "spiffe://domain/*", "name.example" or "*.example"
         7 |     certificate: { allow: ["*"] }
           |                            ^^^

      manifold.yaml:8:24: not a header name, or the beginning of one with "*" behind it: "*"
         8 |     headers: { allow: ["*"] }
           |                        ^^^

      manifold.yaml:11:26: a rate of 0/s lets nobody in
        11 |     rate_limit: [{ rate: 0/s }, { rate: 1/s, burst: 0 }]
           |                          ^^^ use refuse for that

      manifold.yaml:11:53: must be at least 1
        11 |     rate_limit: [{ rate: 0/s }, { rate: 1/s, burst: 0 }]
           |                                                     ^

      manifold.yaml:13:50: callers have no certificate: this listener has no client_ca
        13 |     rate_limit: [{ rate: 1/s }, { rate: 1/s, by: certificate }]
           |                                                  ^^^^^^^^^^^ tls: { client_ca: FILE } asks callers for one

      manifold.yaml:14:29: no such file: none.json
        14 |     jwt: { issuer: a, jwks: none.json, claim_headers: { authorization: sub } }
           |                             ^^^^^^^^^

      manifold.yaml:14:57: "authorization" has the token
        14 |     jwt: { issuer: a, jwks: none.json, claim_headers: { authorization: sub } }
           |                                                         ^^^^^^^^^^^^^

      manifold.yaml:18:42: unknown scheme "ftp"
        18 |   - { to: users, jwt: { issuer: a, jwks: "ftp://a/b" } }
           |                                          ^^^^^^^^^^^ known: https, and http for tests

      manifold.yaml:19:36: "rate_limit" means nothing beside refuse
        19 |   - { refuse: { code: not_found }, rate_limit: { rate: 1/s } }
           |                                    ^^^^^^^^^^

      manifold.yaml:20:40: a claim is matched by either present or prefix
        20 |   - { to: users, match: { claims: { a: { present: true, prefix: b } } } }
           |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      "
    `);
  });

  it("need somebody who finds out what they go by", async () => {
    expect(
      await report(`
${rest}
routes:
  - { to: users, match: { claims: { tenant: acme } } }
  - { to: users, match: { identity: ada } }
  - { to: users, rate_limit: { rate: 1/s, by: identity } }
  - { to: users, certificate: { allow: [ada] } }
`),
    ).toMatchInlineSnapshot(`
      "
      manifold.yaml:5:27: no listener has jwt
        5 |   - { to: users, match: { claims: { tenant: acme } } }
          |                           ^^^^^^ routes are chosen by what a listener's jwt found

      manifold.yaml:6:27: no listener has jwt or certificate
        6 |   - { to: users, match: { identity: ada } }
          |                           ^^^^^^^^ routes are chosen by what a listener's jwt or certificate found

      manifold.yaml:7:47: callers have no identity
        7 |   - { to: users, rate_limit: { rate: 1/s, by: identity } }
          |                                               ^^^^^^^^ jwt or certificate finds one

      manifold.yaml:8:18: callers have no certificate: no listener has client_ca
        8 |   - { to: users, certificate: { allow: [ada] } }
          |                  ^^^^^^^^^^^ tls: { client_ca: FILE } asks callers for one
      "
    `);
  });

  it("are warned of where keys come over cleartext", async () => {
    const text = (url: string) => `${rest}routes: [{ to: users, jwt: { issuer: a, jwks: "${url}" } }]\n`;
    expect((await load(text("http://keys.example/jwks"))).warnings).toContain("keys that come over cleartext");
    expect((await load(text("https://keys.example/jwks"))).warnings).toBe("");
    expect((await load(text("http://127.0.0.1:1/jwks"))).warnings).toBe("");
  });
});
