/** What a listener or a route may ask of a call: keys of the file, and the options that they make. */
import type { JSONWebKeySet } from "jose";
import { z } from "zod";
import type { AdmissionOptions, Authorize } from "../admit/admission.ts";
import { authorizeCertificate } from "../admit/certificate.ts";
import { authorizeJwt, type JwtOptions, jwtAlgorithms } from "../admit/jwt.ts";
import type { RateLimitOptions } from "../admit/rate-limit.ts";
import * as scalar from "./scalar.ts";

const rateLimit = z
  .strictObject({
    rate: scalar.rate.describe('Calls in a time: "100/s", "600/m", "10/h".'),
    burst: z.int().min(1).max(1e9).optional().describe("Calls at one go. Default: those of one second, at least 1."),
    by: z
      .union(
        [
          z.enum(["peer", "certificate", "identity", "all"]),
          z.strictObject({ header: scalar.headerName.describe("The header whose value tells callers apart.") }),
        ],
        { error: scalar.expected("peer, certificate, identity, all, or a map with header") },
      )
      .optional()
      .describe(
        "Who has a limit of their own: a peer's address, a client certificate, what jwt or certificate found, a header's value, or all callers together. Default peer.",
      ),
    max_keys: z.int().min(1).max(1e7).optional().describe("Callers remembered. Default 10000."),
  })
  .describe("How often one may call; more is resource_exhausted (HTTP 429). Each process counts for itself.");

const jwt = z
  .strictObject({
    issuer: z.string().min(1).describe("What the token's iss must be."),
    audience: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
        error: scalar.expected("a string, or a list of strings"),
      })
      .optional()
      .describe("One of these must be in the token's aud. Default: it isn't looked at."),
    jwks: scalar.keySet.describe("The issuer's public keys: a URL, asked every 10 minutes, or a file."),
    algorithms: z.array(z.enum(jwtAlgorithms)).min(1).optional().describe("How tokens may be signed. Default: all."),
    clock_tolerance: scalar.duration.optional().describe("By how much clocks may differ. Default 1m."),
    header: scalar.headerName
      .optional()
      .describe("The header with the token. Default authorization, as a bearer token."),
    forward: z.boolean().optional().describe("Whether the token goes on to the upstream. Default true."),
    allow_missing: z.boolean().optional().describe("Lets calls without a token pass. Default false."),
    claim_headers: z
      .record(scalar.changeableHeaderName, z.string().min(1))
      .optional()
      .describe("Headers for the upstream, by the claims that make them; the caller's own of these names are dropped."),
  })
  .describe("Calls need a signed token (JWT), else they are unauthenticated.");

const certificate = z
  .strictObject({
    allow: z
      .array(scalar.certificateName)
      .min(1)
      .optional()
      .describe(
        '"spiffe://acme.example/users", "spiffe://acme.example/*", "users.acme.example", "*.acme.example", or a common name. Default: all.',
      ),
  })
  .describe("Calls need a client certificate with one of these names, else permission_denied.");

const headers = z
  .strictObject({
    allow: z
      .array(scalar.headerPattern)
      .describe(
        'Headers of callers that go on to the upstream, besides those of the protocols: "x-tenant", "x-acme-*".',
      ),
  })
  .describe("Which of the callers' headers pass. Default: all.");

/** The keys, for the schemas of a listener and of a route. */
export const admissionKeys = {
  rate_limit: z
    .union([rateLimit, z.array(rateLimit).min(1)], { error: scalar.expected("a map with rate, or a list of such") })
    .optional()
    .describe("How often one may call: a limit, or several."),
  jwt: jwt.optional(),
  certificate: certificate.optional(),
  headers: headers.optional(),
};

const admission = z.strictObject(admissionKeys);
export type AdmissionConfig = z.output<typeof admission>;

/** Key sets by the paths of their files as they stand in the configuration. */
export type KeySets = ReadonlyMap<string, JSONWebKeySet>;

/** A key set's address, as against a path. */
export function isKeySetUrl(jwks: string): boolean {
  return /^https?:\/\//i.test(jwks);
}

/** The options that the keys make. Certificates are looked at first: it costs least. */
export function admissionOptions(config: AdmissionConfig, keySets: KeySets): AdmissionOptions {
  const limits = [config.rate_limit ?? []].flat();
  const authorize: Authorize[] = [];
  if (config.certificate !== undefined) {
    const { allow } = config.certificate;
    authorize.push(authorizeCertificate(allow === undefined ? {} : { allow }));
  }
  if (config.jwt !== undefined) authorize.push(authorizeJwt(jwtOptions(config.jwt, keySets)));
  return {
    ...(limits.length === 0 ? {} : { rateLimit: limits.map(rateLimitOptions) }),
    ...(authorize.length === 0 ? {} : { authorize }),
    ...(config.headers === undefined ? {} : { allowHeaders: config.headers.allow }),
  };
}

function rateLimitOptions({ rate, burst, by, max_keys }: z.output<typeof rateLimit>): RateLimitOptions {
  return {
    perSecond: rate,
    ...(burst === undefined ? {} : { burst }),
    ...(by === undefined ? {} : { by }),
    ...(max_keys === undefined ? {} : { maxKeys: max_keys }),
  };
}

function jwtOptions(config: z.output<typeof jwt>, keySets: KeySets): JwtOptions {
  const { issuer, audience, jwks, algorithms, header, forward } = config;
  return {
    issuer,
    jwks: isKeySetUrl(jwks) ? new URL(jwks) : keySets.get(jwks)!,
    ...(audience === undefined ? {} : { audience }),
    ...(algorithms === undefined ? {} : { algorithms }),
    ...(header === undefined ? {} : { header }),
    ...(forward === undefined ? {} : { forward }),
    ...(config.clock_tolerance === undefined ? {} : { clockToleranceMs: config.clock_tolerance }),
    ...(config.allow_missing === undefined ? {} : { allowMissing: config.allow_missing }),
    ...(config.claim_headers === undefined ? {} : { claimHeaders: config.claim_headers }),
  };
}
