/** The schema of `admin`: the port for those who run Manifold. */
import { z } from "zod";
import * as scalar from "./scalar.ts";

export const admin = z
  .strictObject({
    address: scalar.address.optional().describe("Where it listens, in cleartext. Default 127.0.0.1:9901."),
    token_file: z
      .string()
      .min(1)
      .optional()
      .describe(
        "File with the token that POST needs; where other machines reach the address, GET as well. Default: one is made at the start.",
      ),
  })
  .describe("A port for those who run Manifold: metrics, upstreams, reload, drain. Default: none.");

/** Envoy's is the same. */
export const defaultAdminAddress = "127.0.0.1:9901";
