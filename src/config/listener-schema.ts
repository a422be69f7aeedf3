/** The schema of `listeners`: the ports that are listened on. */
import { z } from "zod";
import { admissionKeys } from "./admission.ts";
import { listenerLimits } from "./limits.ts";
import * as scalar from "./scalar.ts";

const listenerTls = z
  .strictObject({
    cert: scalar.path.describe("PEM file: the certificate, and those between it and its root."),
    key: scalar.path.describe("PEM file: the certificate's private key."),
    client_ca: scalar.path.optional().describe("PEM file: clients must show a certificate that one of these signed."),
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

export type Listener = z.output<typeof listener>;
