/** Key set: the public keys of a token's issuer, from a file or an address, kept up to date without a call waiting for it. */
import { createLocalJWKSet, createRemoteJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";

/** A set that can't be had. Tells nothing of the token. */
export class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

export interface RemoteKeySetOptions {
  /** Milliseconds for one request. Default 5 s. */
  readonly timeoutMs?: number;
  /** Milliseconds after which the set is asked for anew, in the background of a call. Default 10 min, as Envoy and jose. */
  readonly refreshMs?: number;
  /** Milliseconds after an answer in which a token with an unknown key doesn't make us ask again. Default 30 s. */
  readonly cooldownMs?: number;
  /** The same after a failure. Default 5 s. */
  readonly failureRestMs?: number;
}

/** @throws JWKSInvalid if it isn't a key set */
export function localKeySet(keys: JSONWebKeySet): JWTVerifyGetKey {
  return createLocalJWKSet(keys);
}

const shared = new Map<string, JWTVerifyGetKey>();

/** The same set for all who name the same address: also for a configuration that takes another's place. */
export function sharedKeySet(url: URL): JWTVerifyGetKey {
  const keys = shared.get(url.href) ?? remoteKeySet(url);
  shared.set(url.href, keys);
  return keys;
}

/**
 * The set at an address. It is asked for at the first call. An issuer that is down for a while does no harm: the last good set
 * stays in use, and while there is none, calls fail at once with `KeysUnavailable`, and don't each wait for it.
 */
export function remoteKeySet(url: URL, options: RemoteKeySetOptions = {}): JWTVerifyGetKey {
  const { timeoutMs = 5_000, refreshMs = 600_000, cooldownMs = 30_000, failureRestMs = 5_000 } = options;
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: timeoutMs,
    cacheMaxAge: Number.POSITIVE_INFINITY, // by us: its way would fail calls where the issuer doesn't answer
    cooldownDuration: cooldownMs,
  });
  let refreshAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  let failure: unknown;

  async function load(): Promise<void> {
    try {
      await remote.reload();
      refreshAt = performance.now() + refreshMs;
    } catch (error) {
      failedAt = performance.now();
      failure = error;
      throw new KeysUnavailable(`no keys from ${url.href}: ${reasonOf(error)}`, { cause: error });
    }
  }

  return async (header, token) => {
    const now = performance.now();
    const resting = now - failedAt < failureRestMs;
    const keys = remote.jwks();
    if (keys === undefined) {
      if (resting) throw new KeysUnavailable(`no keys from ${url.href}: ${reasonOf(failure)}`, { cause: failure });
      await load();
    } else if (now > refreshAt && !resting && !remote.reloading) {
      load().catch(() => {}); // the old ones are good until there are new ones
    }
    const known = createLocalJWKSet(remote.jwks()!);
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || resting || remote.coolingDown) throw error;
      await load();
      return createLocalJWKSet(remote.jwks()!)(header, token);
    }
  };
}

/** fetch() says "fetch failed", and why only in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
