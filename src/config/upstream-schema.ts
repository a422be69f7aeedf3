/** The schema of `upstreams`: where services run, and how they are spoken to. */
import { z } from "zod";
import type { Protocol } from "../call.ts";
import { upstreamLimits } from "./limits.ts";
import * as scalar from "./scalar.ts";
import { endpointKeys, trafficKeys } from "./traffic.ts";

export const protocols = ["grpc", "grpc_web", "connect"] as const satisfies readonly Protocol[];
const codecs = ["proto", "json"] as const;

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
    token: scalar.path.optional().describe("File with a token for it. Default: the pod's service account."),
    ca: scalar.path.optional().describe("PEM file: who signed its certificate. Default: the pod's service account."),
  })
  .describe("A service's pods, as Kubernetes tells of them. Over TLS if the upstream has `tls`.");

const discovered = z
  .strictObject({
    file: scalar.path.optional().describe("YAML file with a list of endpoints, read again when it changes."),
    kubernetes: kubernetes.optional(),
  })
  .meta({ oneOf: [{ required: ["file"] }, { required: ["kubernetes"] }] })
  .describe("Endpoints that come and go. When it can't be told, the last ones stay.");

const upstreamTls = z
  .strictObject({
    ca: scalar.path
      .optional()
      .describe("PEM file: who may have signed the endpoints' certificates. Default: the system's."),
    cert: scalar.path.optional().describe("PEM file: the certificate shown to the endpoints. With `key`."),
    key: scalar.path.optional().describe("PEM file: that certificate's private key."),
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
        image: scalar.path.describe(
          "A Buf image or a FileDescriptorSet, binary or JSON, gzipped or not: buf build -o FILE.",
        ),
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

export type UpstreamConfig = z.output<typeof upstream>;
