/** The schema of the configuration file. Each object is a piece of its own; the JSON Schema for editors is made of it. */
import { z } from "zod";
import type { Protocol } from "../call.ts";
import { logLevels } from "../observe/log.ts";
import { errorNames } from "../wire/status.ts";
import { admin } from "./admin-schema.ts";
import { admissionKeys } from "./admission.ts";
import { fanOut, include } from "./fan-out-schema.ts";
import { listenerLimits, upstreamLimits } from "./limits.ts";
import * as scalar from "./scalar.ts";
import { endpointKeys, trafficKeys } from "./traffic.ts";

const path = z.string().min(1);

export const protocols = ["grpc", "grpc_web", "connect"] as const satisfies readonly Protocol[];
export const codecs = ["proto", "json"] as const;

/** Processes of one command, at most. */
export const maxWorkers = 256;

const listenerTls = z
  .strictObject({
    cert: path.describe("PEM file: the certificate, and those between it and its root."),
    key: path.describe("PEM file: the certificate's private key."),
    client_ca: path.optional().describe("PEM file: clients must show a certificate that one of these signed."),
  })
  .describe("Serves TLS (HTTP/2 or HTTP/1.1, by ALPN). Paths are relative to this file.");

const cors = z
  .strictObject({
    origins: z
      .array(scalar.origin)
      .min(1)
      .describe(
        '"https://app.example.com", "https://*.example.com" (any name under it), "null", or "*" for every page.',
      ),
    allow_headers: z
      .array(scalar.headerNameOrAll)
      .optional()
      .describe('Request headers that pages may send besides those of the protocols: their metadata, or "*".'),
    expose_headers: z
      .array(scalar.headerNameOrAll)
      .optional()
      .describe('Response headers and trailers that pages may read besides those of the protocols, or "*".'),
    credentials: z.boolean().optional().describe("Lets pages send cookies. Default false."),
    max_age: scalar.wholeSeconds.optional().describe("How long browsers keep a preflight's answer. Default 2h."),
  })
  .describe("Which pages of other origins may call, and what they may read. Default: none.");

export const listener = z
  .strictObject({
    address: scalar.address.describe(
      '"127.0.0.1:8080", "[::1]:8080", ":8080" (all interfaces); port 0 takes a free one.',
    ),
    tls: listenerTls.optional(),
    cors: cors.optional(),
    ...admissionKeys,
    limits: listenerLimits.optional(),
  })
  .describe("One port to listen on.");

const namedEndpoint = z
  .strictObject({
    name: z.string().min(1).optional().describe("What logs call it. Default: host and port."),
    url: scalar.endpointUrl.describe("http is cleartext (HTTP/2 with prior knowledge), https is TLS with ALPN."),
    server_name: z
      .string()
      .min(1)
      .optional()
      .describe("Name for SNI and for the certificate. Default: the URL's host."),
    ...endpointKeys,
  })
  .describe("An endpoint with more to it than its URL.");

/** Also what an endpoint file is. */
export const endpointList = z
  .array(z.union([scalar.endpointUrl, namedEndpoint], { error: scalar.expected("a URL, or a map with url") }))
  .describe("URLs. A host name stands for every address it resolves to, dns+srv:// for what SRV records say.");

const kubernetes = z
  .strictObject({
    service: scalar.kubernetesName.describe("The service's name."),
    namespace: scalar.kubernetesName.optional().describe("Default: the one of the pod that Manifold runs in."),
    port: z
      .union([z.string().min(1), z.int().min(1).max(65_535)], { error: scalar.expected("a port's name or number") })
      .optional()
      .describe("A port of the service by name, or of the pods by number. Default: the only one."),
    server: scalar.apiServer.optional().describe("The API, as https://10.0.0.1:6443. Default: the cluster's own."),
    token: path.optional().describe("File with a token for it. Default: the pod's service account."),
    ca: path.optional().describe("PEM file: who signed its certificate. Default: the pod's service account."),
  })
  .describe("A service's pods, as Kubernetes tells of them. Over TLS if the upstream has `tls`.");

const discovered = z
  .strictObject({
    file: path.optional().describe("YAML file with a list of endpoints, read again when it changes."),
    kubernetes: kubernetes.optional(),
  })
  .meta({ oneOf: [{ required: ["file"] }, { required: ["kubernetes"] }] })
  .describe("Endpoints that come and go. When it can't be told, the last ones stay.");

const upstreamTls = z
  .strictObject({
    ca: path.optional().describe("PEM file: who may have signed the endpoints' certificates. Default: the system's."),
    cert: path.optional().describe("PEM file: the certificate shown to the endpoints. With `key`."),
    key: path.optional().describe("PEM file: that certificate's private key."),
    server_name: z.string().min(1).optional().describe("Name for SNI and for the certificate, of all endpoints."),
  })
  .describe("How https endpoints are dialled. Paths are relative to this file.");

/** YAML reads 1.1 and 2 as numbers; what is meant is plain. */
const httpVersion = z.literal(["2", "1.1", 2, 1.1]).transform((version) => String(version) as "2" | "1.1");

const schema = z
  .union(
    [
      scalar.schemaWord,
      z.strictObject({
        image: path.describe("A Buf image or a FileDescriptorSet, binary or JSON, gzipped or not: buf build -o FILE."),
      }),
    ],
    { error: scalar.expected("reflection, or a map with image") },
  )
  .describe("Where messages are described, to translate JSON for endpoints that read protobuf only. Default: nowhere.");

export const upstream = z
  .strictObject({
    endpoints: z
      .union([endpointList.min(1), discovered], {
        error: scalar.expected("a list of endpoints, or a map with file or kubernetes"),
      })
      .describe("Where the service runs: a list, or who tells."),
    dns: z
      .strictObject({
        servers: z
          .array(scalar.dnsServer)
          .min(1)
          .describe(
            'Asked in place of the system\'s: "10.0.0.53", "[fd00::53]:5353". They don\'t know the hosts file.',
          ),
      })
      .optional()
      .describe("Who is asked for the addresses of host names. Default: the system."),
    protocols: z
      .array(z.enum(protocols))
      .min(1)
      .optional()
      .describe(
        "What the endpoints speak; a call in one of these passes verbatim, any other is bridged to the first. Default [grpc].",
      ),
    http: httpVersion
      .optional()
      .describe('The HTTP version that they are spoken to in: "2" or "1.1", which can\'t carry grpc. Default "2".'),
    codecs: z
      .array(z.enum(codecs))
      .min(1)
      .optional()
      .describe(
        "What their handlers read; a bridged call in JSON is translated unless json is listed. Default [proto].",
      ),
    schema: schema.optional(),
    ...trafficKeys,
    tls: upstreamTls.optional(),
    connect_timeout: scalar.positiveDuration
      .optional()
      .describe("Time for TCP, TLS and HTTP/2's first SETTINGS together. Default 5s."),
    max_connections: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe(
        "Connections to one endpoint; more than one only where it takes too few streams. Default 4, over HTTP/1.1 1024.",
      ),
    max_pending: z
      .int()
      .min(1)
      .max(1e6)
      .optional()
      .describe("Calls that may wait for room at one endpoint; one more is unavailable. Default 1024."),
    limits: upstreamLimits.optional(),
  })
  .describe("A named group of endpoints that all serve the same.");

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

export const match = z
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

export const config = z
  .strictObject({
    listeners: z
      .array(listener)
      .min(1)
      .optional()
      .describe("Ports to listen on. Default: 127.0.0.1:8080 in cleartext."),
    upstreams: z.record(z.string().min(1), upstream).optional().describe("Groups of endpoints, by name."),
    include: z
      .array(include)
      .min(1)
      .optional()
      .describe("Routes of fan-outs that protoc-gen-manifold has written. They come before those of this file."),
    routes: z
      .array(route)
      .min(1)
      .optional()
      .describe("Where calls go. The first that matches wins; no match is unimplemented."),
    module: path
      .optional()
      .describe("JavaScript file that exports routes(router): services of its own, which win over the routes."),
    access_log: z
      .enum(["auto", "pretty", "json", "off"])
      .optional()
      .describe("One line for each call. Default auto: pretty on a terminal, JSON lines otherwise."),
    log_level: z.enum(logLevels).optional().describe("What else is logged. Default info."),
    admin: admin.optional(),
    health_service: z
      .boolean()
      .optional()
      .describe(
        "Answers grpc.health.v1 for Manifold itself; it wins over the routes. Default false: such calls go where others go.",
      ),
    workers: z
      .union([z.literal("auto"), z.int().min(1).max(maxWorkers)], { error: scalar.expected("auto, or a number") })
      .optional()
      .describe("Processes that share the ports: a number, or auto for one per core. Default: this one process alone."),
    drain_delay: scalar.duration
      .optional()
      .describe(
        "Time after SIGTERM or SIGINT in which calls are still taken, while the health service says NOT_SERVING. Default 0s.",
      ),
    drain_timeout: scalar.duration
      .optional()
      .describe("Time that calls have to finish after SIGTERM or SIGINT. Default 30s."),
  })
  .describe("Configuration of Manifold.");

export type Listener = z.output<typeof listener>;
export type UpstreamConfig = z.output<typeof upstream>;
export type Match = z.output<typeof match>;
export type RetryConfig = z.output<typeof retry>;
export type RouteConfig = z.output<typeof route>;
/** A file of routes that a configuration includes. */
export const included = z
  .strictObject({ routes: z.array(route).min(1).describe("Where calls go. The first that matches wins.") })
  .describe("Routes for a configuration of Manifold.");

/** The file as it is read: durations in milliseconds, sizes in bytes, header names in lower case. */
export type Config = z.output<typeof config>;
