/** Tokens for tests: an issuer with keys of its own, and a server for them. */
import { createServer, type Server } from "node:http";
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from "jose";

export interface TestIssuer {
  readonly name: string;
  readonly jwks: JSONWebKeySet;
  /** A good token, unless the claims or options say otherwise; `kid` undefined: it doesn't name its key. */
  token(claims?: Record<string, unknown>, options?: { kid?: string | undefined; expiresIn?: number }): Promise<string>;
}

export async function createIssuer(name = "https://issuer.example", kid = "key-1"): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return {
    name,
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" }] },
    token(claims = {}, options = {}) {
      const now = Math.floor(Date.now() / 1_000);
      const { expiresIn = 600 } = options;
      return new SignJWT({ iss: name, aud: "api", sub: "ada", exp: now + expiresIn, iat: now - 600, ...claims })
        .setProtectedHeader({
          alg: "ES256",
          ...("kid" in options && options.kid === undefined ? {} : { kid: options.kid ?? kid }),
        })
        .sign(privateKey);
    },
  };
}

export interface KeyServer {
  readonly url: string;
  /** What it answers; undefined: HTTP 500. */
  jwks: JSONWebKeySet | undefined;
  requests: number;
  close(): Promise<void>;
}

/** Serves a key set over HTTP. */
export async function startKeyServer(jwks: JSONWebKeySet | undefined): Promise<KeyServer> {
  const server: Server = createServer((_request, response) => {
    state.requests++;
    if (state.jwks === undefined) response.writeHead(500).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(state.jwks));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const state: KeyServer = {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}/jwks.json`,
    jwks,
    requests: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return state;
}
