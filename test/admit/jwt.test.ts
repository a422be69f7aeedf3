import type { ConnectError } from "@connectrpc/connect";
import { SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { authorizeJwt, type JwtOptions } from "../../src/admit/jwt.ts";
import { remoteKeySet } from "../../src/admit/key-set.ts";
import { InboundCall } from "../../src/call.ts";
import { request } from "../support/memory-proxy.ts";
import { fieldsOf, type Pairs, pairsOf } from "../support/memory-stream.ts";
import { createIssuer, type KeyServer, startKeyServer, type TestIssuer } from "../support/tokens.ts";
import { until } from "../support/until.ts";

let issuer: TestIssuer;
let stranger: TestIssuer;

beforeAll(async () => {
  issuer = await createIssuer();
  stranger = await createIssuer();
});

function callWith(...headers: Pairs): InboundCall {
  return new InboundCall(fieldsOf(request("application/grpc", headers)), {
    peer: { address: "192.0.2.1", port: 1 },
    secure: false,
  });
}

function authorizer(options: Partial<JwtOptions> = {}) {
  return authorizeJwt({ issuer: issuer.name, audience: "api", jwks: issuer.jwks, ...options });
}

/** "ok", or the code and the message of the refusal. */
async function outcomeOf(token: string, options?: Partial<JwtOptions>): Promise<string> {
  try {
    await authorizer(options)(callWith(["authorization", `Bearer ${token}`]));
    return "ok";
  } catch (error) {
    return (error as ConnectError).message;
  }
}

const invalid = "[unauthenticated] the token is not valid";

describe("authorizeJwt()", () => {
  it("finds out who calls, and what else the token says", async () => {
    const token = await issuer.token({ roles: ["admin"], aud: ["other", "api"] });
    const identity = await authorizer()(callWith(["authorization", `Bearer ${token}`]));
    expect(identity).toMatchObject({ name: "ada", claims: { sub: "ada", roles: ["admin"] } });
  });

  it("checks a token that comes again only once, and not behind its end", async () => {
    const authorize = authorizer({ clockToleranceMs: 0 });
    const token = await issuer.token({}, { expiresIn: 2 });
    await authorize(callWith(["authorization", `Bearer ${token}`]));
    expect(authorize(callWith(["authorization", `Bearer ${token}`]))).not.toBeInstanceOf(Promise);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await expect(authorize(callWith(["authorization", `Bearer ${token}`]))).rejects.toThrow(invalid);
  });

  it.each([
    ["of another issuer", () => issuer.token({ iss: "https://evil.example" })],
    ["for another audience", () => issuer.token({ aud: "other" })],
    ["without an audience", () => issuer.token({ aud: undefined })],
    ["that has ended", () => issuer.token({}, { expiresIn: -120 })],
    ["that begins later", () => issuer.token({ nbf: Math.floor(Date.now() / 1_000) + 120 })],
    ["by another's key of the same name", () => stranger.token()],
    ["by an unknown key", () => issuer.token({}, { kid: "key-2" })],
    ["without a signature", async () => new UnsecuredJWT({ iss: issuer.name, aud: "api", sub: "ada" }).encode()],
    ["signed with the public key as a shared secret", hs256],
    ["that is changed", async () => changed(await issuer.token())],
    ["that is none", async () => "abc"],
  ])("refuses a token %s", async (_what, make) => {
    expect(await outcomeOf(await make())).toBe(invalid);
  });

  it("takes the difference of clocks that it is told, a minute by default", async () => {
    expect(await outcomeOf(await issuer.token({}, { expiresIn: -50 }))).toBe("ok");
    expect(await outcomeOf(await issuer.token({}, { expiresIn: -50 }), { clockToleranceMs: 10_000 })).toBe(invalid);
  });

  it("tries every key that fits where a token doesn't name its own", async () => {
    const next = await createIssuer(issuer.name, "key-2");
    const jwks = { keys: [...issuer.jwks.keys, ...next.jwks.keys] };
    for (const one of [issuer, next]) {
      expect(await outcomeOf(await one.token({}, { kid: undefined }), { jwks })).toBe("ok");
      expect(await outcomeOf(await one.token({ aud: "other" }, { kid: undefined }), { jwks })).toBe(invalid);
    }
    expect(await outcomeOf(await stranger.token({}, { kid: undefined }), { jwks })).toBe(invalid);
  });

  it("takes only the algorithms of its list", async () => {
    expect(await outcomeOf(await issuer.token(), { algorithms: ["RS256"] })).toBe(invalid);
    expect(await outcomeOf(await issuer.token(), { algorithms: ["RS256", "ES256"] })).toBe("ok");
  });

  it.each([
    ["no token", [], "a token is needed"],
    ["two tokens", ["Bearer a", "Bearer b"], "more than one token"],
    ["another scheme", ["Basic YTpi"], "not a bearer token"],
    ["no scheme", ["abc"], "not a bearer token"],
  ])("refuses %s", (_what, values, message) => {
    const call = callWith(...values.map((value) => ["authorization", value] as const));
    expect(() => authorizer()(call)).toThrow(message);
  });

  it("says in Connect's form of HTTP what is asked for", () => {
    const call = new InboundCall(fieldsOf(request("application/json")), {
      peer: { address: "", port: 0 },
      secure: false,
    });
    try {
      authorizer()(call);
      expect.unreachable();
    } catch (error) {
      expect((error as ConnectError).metadata.get("www-authenticate")).toBe("Bearer");
    }
  });

  it("lets a call without a token pass where that is allowed, and none with a bad one", async () => {
    const authorize = authorizer({ allowMissing: true });
    expect(authorize(callWith())).toBeUndefined();
    await expect(authorize(callWith(["authorization", "Bearer abc"]))).rejects.toThrow(invalid);
  });

  it("makes headers of claims, and drops the caller's own of these names", async () => {
    const claimHeaders = { "x-user": "sub", "X-Roles": "realm.roles", "x-tenant": "tenant", "x-name": "name" };
    const authorize = authorizer({ claimHeaders });
    const token = await issuer.token({ realm: { roles: ["a", "b"] }, name: "Zoë\r\nx-admin: 1" });
    const call = callWith(
      ["x-user", "root"],
      ["authorization", `Bearer ${token}`],
      ["x-tenant", "forged"],
      ["x-user", "root"],
      ["x-other", "stays"],
    );
    await authorize(call);
    expect(pairsOf(call.fields).slice(5)).toEqual([
      ["authorization", `Bearer ${token}`],
      ["x-other", "stays"],
      ["x-user", "ada"],
      ["x-roles", '["a","b"]'],
      ["x-name", "Zo%C3%AB%0D%0Ax-admin: 1"],
    ]);
    const missing = callWith(["x-user", "root"]);
    authorizer({ claimHeaders, allowMissing: true })(missing);
    expect(missing.header("x-user")).toBeUndefined();
  });

  it("takes the token from another header, and keeps it from the upstream if told so", async () => {
    const authorize = authorizer({ header: "X-Token", forward: false });
    const call = callWith(["x-token", await issuer.token()]);
    expect(await authorize(call)).toMatchObject({ name: "ada" });
    expect(call.header("x-token")).toBeUndefined();
  });

  it("refuses what isn't a key set", () => {
    expect(() => authorizer({ jwks: { keys: 1 } as never })).toThrow();
  });
});

async function hs256(): Promise<string> {
  const secret = new TextEncoder().encode(JSON.stringify(issuer.jwks.keys[0]));
  return new SignJWT({ iss: issuer.name, aud: "api", sub: "ada" })
    .setProtectedHeader({ alg: "HS256", kid: "key-1" })
    .sign(secret);
}

function changed(token: string): string {
  const [head, , signature] = token.split(".");
  const payload = { iss: issuer.name, aud: "api", sub: "root", exp: 4e9 };
  return [head, Buffer.from(JSON.stringify(payload)).toString("base64url"), signature].join(".");
}

describe("remoteKeySet()", () => {
  const servers: KeyServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  async function server(jwks: KeyServer["jwks"]): Promise<KeyServer> {
    const started = await startKeyServer(jwks);
    servers.push(started);
    return started;
  }
  const header = (kid: string) => ({ alg: "ES256", kid }) as never;
  const token = {} as never;

  it("asks once for all calls, and again for an unknown key behind the cooldown", async () => {
    const keys = await server(issuer.jwks);
    const find = remoteKeySet(new URL(keys.url), { cooldownMs: 200 });
    await Promise.all([1, 2, 3].map(() => find(header("key-1"), token)));
    await expect(find(header("key-2"), token)).rejects.toThrow();
    expect(keys.requests).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 250));
    keys.jwks = (await createIssuer("next", "key-2")).jwks;
    await find(header("key-2"), token);
    expect(keys.requests).toBe(2);
  });

  it("keeps the last good set while the issuer is down, and asks in the background", async () => {
    const keys = await server(issuer.jwks);
    const find = remoteKeySet(new URL(keys.url), { refreshMs: 50, cooldownMs: 0, failureRestMs: 100 });
    await find(header("key-1"), token);
    keys.jwks = undefined;
    await new Promise((resolve) => setTimeout(resolve, 80));
    await find(header("key-1"), token);
    await until("a second request", () => keys.requests === 2);
    await find(header("key-1"), token);
    expect(keys.requests).toBe(2); // it rests after the failure
    await new Promise((resolve) => setTimeout(resolve, 120));
    await find(header("key-1"), token);
    await until("a third request", () => keys.requests === 3);
  });

  it("fails at once while there never was one, and finds it when it comes", async () => {
    const keys = await server(undefined);
    const find = remoteKeySet(new URL(keys.url), { failureRestMs: 100 });
    await expect(find(header("key-1"), token)).rejects.toThrow("no keys from");
    for (let at = 0; at < 10; at++) await expect(find(header("key-1"), token)).rejects.toThrow("no keys from");
    expect(keys.requests).toBe(1);
    keys.jwks = issuer.jwks;
    await new Promise((resolve) => setTimeout(resolve, 120));
    await find(header("key-1"), token);
  });

  it("makes a call unavailable, and not unauthenticated, where keys can't be had", async () => {
    const keys = await server(undefined);
    const outcome = await outcomeOf(await issuer.token(), { jwks: new URL(keys.url) });
    expect(outcome).toBe("[unavailable] tokens can't be checked");
  });
});
