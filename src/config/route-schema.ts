/** The schema of `routes`: which call goes where. */
import { z } from "zod";
import { errorNames } from "../wire/status.ts";
import { admissionKeys } from "./admission.ts";
import { fanOut } from "./fan-out-schema.ts";
import * as scalar from "./scalar.ts";

const headerMatch = z.union(
  [
    z.string(),
    z.strictObject({
      present: z.boolean().optional().describe("true: any value will do. false: the header must be absent."),
      prefix: z.string().min(1).optional().describe("What the value must begin with."),
    }),
  ],
  { error: scalar.expected("a string (put a number in quotes), or a map with present or prefix") },
);

const match = z
  .strictObject({
    service: scalar.servicePattern
      .optional()
      .describe('Full name of the service, "acme.users.v1.UserService"; "acme.*" is all that begins with "acme.".'),
    method: scalar.methodPattern
      .optional()
      .describe('"acme.users.v1.UserService/Get", "acme.users.v1.UserService/Get*", "acme.*/Get".'),
    authority: scalar.authorityPattern
      .optional()
      .describe('The :authority that the caller asks for; "*.internal" is any name under it.'),
    headers: z
      .record(scalar.headerName, headerMatch)
      .optional()
      .describe("Headers that the call must have: a value, { present: true } or { prefix: ... }."),
    identity: scalar.identityPattern
      .optional()
      .describe('Who calls, as the listener\'s jwt or certificate found: a name, or "spiffe://acme.example/*".'),
    claims: z
      .record(z.string().min(1), headerMatch)
      .optional()
      .describe("What the token of the listener's jwt must say, by the claim's name, as with headers."),
  })
  .describe("What a call must be for this route; everything that is given must fit. Default: every call.");

const refuse = z
  .strictObject({
    code: z.enum(errorNames).describe("The gRPC status."),
    message: z.string().optional().describe('The text that the caller gets. Default "refused".'),
  })
  .describe("Answers with an error; nothing is called.");

const rewrite = z
  .strictObject({
    authority: scalar.authority.optional().describe("Replaces :authority. Default: the caller's."),
    service: scalar.serviceName.optional().describe("Replaces the name of the service; the method stays."),
  })
  .describe("What the endpoint gets in place of what the caller sent.");

const retry = z
  .strictObject({
    attempts: z.int().min(1).max(10).optional().describe("Tries after the first. Default 1."),
    on: z
      .array(z.enum(errorNames))
      .min(1)
      .optional()
      .describe(
        "Statuses after which a call is tried again: its methods may then run twice. Default: none; calls that no server has begun to work for always are.",
      ),
    per_try_timeout: scalar.positiveDuration
      .optional()
      .describe("Time for one try, which is tried again when it is over. Default: the call's."),
    hold_reply: scalar.size
      .optional()
      .describe("Of a reply that waits for its trailers, so that its true status decides. Default 0: none does."),
    keep_request: scalar.size.optional().describe("Of a request that can be sent again. Default 64KiB."),
    hedge_delay: scalar.positiveDuration
      .optional()
      .describe("Begins another try beside the one that takes longer; the first good reply counts. Default: never."),
    max_backoff: scalar.duration.optional().describe("Longest wait before another try. Default 250ms."),
  })
  .describe(
    "Tries a call again, at another endpoint if there is one. Default: only what a server has turned away unread.",
  );

const weightedTarget = z
  .strictObject({
    upstream: z.string().min(1).describe("Its name."),
    weight: z.int().min(0).max(1e6).describe("Its share of the calls beside the others; 0 for none."),
  })
  .describe("One of several upstreams.");

export const route = z
  .strictObject({
    name: z.string().min(1).optional().describe("What metrics and logs call it. Default: what it matches."),
    match: match.optional(),
    to: z
      .union([z.string().min(1), z.array(weightedTarget).min(1)], {
        error: scalar.expected("the name of an upstream, or a list of maps with upstream and weight"),
      })
      .optional()
      .describe("Name of the upstream that gets the call, or several with a share each."),
    fan_out: fanOut.optional(),
    refuse: refuse.optional(),
    rewrite: rewrite.optional(),
    add_headers: z
      .record(scalar.changeableHeaderName, z.union([scalar.headerValue, z.array(scalar.headerValue).min(1)]))
      .optional()
      .describe("Headers added after the caller's own: a value, or a list of values."),
    remove_headers: z.array(scalar.changeableHeaderName).optional().describe("Headers of the caller that don't pass."),
    retry: retry.optional(),
    ...admissionKeys,
    timeout: scalar.positiveDuration
      .optional()
      .describe("Time for the whole call, at most; a shorter deadline of the caller's counts."),
  })
  .meta({ oneOf: [{ required: ["to"] }, { required: ["fan_out"] }, { required: ["refuse"] }] }) // for editors; check.ts reports it better than zod
  .describe("One rule of where calls go: to an upstream, to many endpoints at once, or refused.");

/** A file of routes that a configuration includes. */
export const included = z
  .strictObject({ routes: z.array(route).min(1).describe("Where calls go. The first that matches wins.") })
  .describe("Routes for a configuration of Manifold.");

export type RetryConfig = z.output<typeof retry>;
export type RouteConfig = z.output<typeof route>;
