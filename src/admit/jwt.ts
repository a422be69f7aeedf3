/** JWT: who calls, by a signed token in a header. */
import { Code, ConnectError } from "@connectrpc/connect";
import {
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from "jose";
import type { Call, Identity, InboundCall } from "../call.ts";
import { encodeMessage } from "../wire/message.ts";
import { type Authorize, unauthenticated } from "./admission.ts";
import { claimOf, claimText } from "./claims.ts";
import { KeysUnavailable, localKeySet, sharedKeySet } from "./key-set.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

/** What may sign a token. None with a shared secret: whoever can check such a one can make one; and never "none". */
export const jwtAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;
export type JwtAlgorithm = (typeof jwtAlgorithms)[number];

export interface JwtOptions {
  /** What `iss` must be. */
  readonly issuer: string;
  /** One of these must be in `aud`. Default: it isn't looked at. */
  readonly audience?: string | readonly string[];
  /** Where the issuer's public keys are (fetched, and kept up to date), or the keys themselves. */
  readonly jwks: URL | JSONWebKeySet;
  /** Default: all of `jwtAlgorithms`. */
  readonly algorithms?: readonly JwtAlgorithm[];
  /** Milliseconds by which clocks may differ. Default 1 min, as Envoy. */
  readonly clockToleranceMs?: number;
  /** The header with the token, with or without "Bearer " before it. Default "authorization", where it must stand. */
  readonly header?: string;
  /** Whether the token goes on to the upstream. Default true: what passes is passed as it came. */
  readonly forward?: boolean;
  /** A call without a token passes, without identity. One with a bad token never does. Default false. */
  readonly allowMissing?: boolean;
  /**
   * Headers that the upstream gets, and the claims that make them: strings as they are, percent-encoded where they aren't
   * printable ASCII, all else as JSON. What a caller sends under these names is always dropped.
   */
  readonly claimHeaders?: Readonly<Record<string, string>>;
}

const defaultClockToleranceMs = 60_000;

/**
 * Makes of a token's subject the call's identity, with all its claims. `unauthenticated` is the answer to a call without a token or
 * with one that isn't good; `unavailable` where the issuer's keys can't be had.
 *
 * @throws JWKSInvalid if `jwks` isn't a key set
 */
export function authorizeJwt(options: JwtOptions): Authorize {
  const { header = "authorization", forward = true, allowMissing = false } = options;
  const name = header.toLowerCase();
  const verify = verifier(options);
  const claimHeaders = Object.entries(options.claimHeaders ?? {}).map(
    ([key, claim]) => [key.toLowerCase(), claim] as const,
  );
  return (call) => {
    const inbound = call as InboundCall;
    for (const [key] of claimHeaders) inbound.replaceHeader(key, undefined);
    const token = tokenOf(call, name);
    if (token === undefined) {
      if (allowMissing) return undefined;
      throw unauthenticated("a token is needed", call);
    }
    if (!forward) inbound.replaceHeader(name, undefined);
    const proved = (identity: Identity) => {
      for (const [key, claim] of claimHeaders) {
        const text = claimText(claimOf(identity.claims, claim));
        if (text !== undefined) inbound.replaceHeader(key, encodeMessage(text));
      }
      return identity;
    };
    const found = verify(token, call);
    return found instanceof Promise ? found.then(proved) : proved(found);
  };
}

type Verify = (token: string, call: Call) => Identity | Promise<Identity>;

/** A token is checked once, and then known for a minute: clients send the same one with each call. */
function verifier(options: JwtOptions): Verify {
  const { issuer, audience, jwks, algorithms = jwtAlgorithms } = options;
  const keys: JWTVerifyGetKey = jwks instanceof URL ? sharedKeySet(jwks) : localKeySet(jwks);
  const clockToleranceMs = options.clockToleranceMs ?? defaultClockToleranceMs;
  const rules = {
    issuer,
    algorithms: [...algorithms],
    clockTolerance: clockToleranceMs / 1_000,
    ...(audience === undefined ? {} : { audience: typeof audience === "string" ? audience : [...audience] }),
  };
  const verified = new VerifiedTokens<Identity>();
  return (token, call) => {
    const known = verified.get(token);
    if (known !== undefined) return known;
    return payloadOf(token, keys, rules).then(
      (payload) => {
        const identity = identityOf(payload);
        verified.set(token, identity, payload.exp === undefined ? undefined : payload.exp * 1_000 + clockToleranceMs);
        return identity;
      },
      (error: Error) => {
        if (error instanceof KeysUnavailable) {
          throw new ConnectError("tokens can't be checked", Code.Unavailable, undefined, undefined, error);
        }
        throw unauthenticated("the token is not valid", call, error);
      },
    );
  };
}

/** A token that doesn't say which key has signed it may be of any that fits: an issuer that changes keys has two for a while. */
async function payloadOf(token: string, keys: JWTVerifyGetKey, rules: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys, rules)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, rules)).payload;
      } catch (notThisOne) {
        if (!(notThisOne instanceof errors.JWSSignatureVerificationFailed)) throw notThisOne;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

function identityOf(payload: JWTPayload): Identity {
  return { name: typeof payload.sub === "string" ? payload.sub : "", claims: payload };
}

/** Two tokens are none: a server behind us might look at the other one. */
function tokenOf(call: Call, name: string): string | undefined {
  const values = call.headerValues(name);
  if (values.length === 0) return undefined;
  const [value = ""] = values;
  if (values.length > 1) throw unauthenticated("more than one token", call);
  const bearer = /^Bearer +(\S+)$/i.exec(value)?.[1];
  if (bearer !== undefined) return bearer;
  if (name === "authorization") throw unauthenticated("authorization is not a bearer token", call);
  return value;
}
