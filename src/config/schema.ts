/** The schema of the configuration file. Each object is a piece of its own; the JSON Schema for editors is made of it. */
import { z } from "zod";
import { logLevels } from "../observe/log.ts";
import { admin } from "./admin-schema.ts";
import { include } from "./fan-out-schema.ts";
import { listener } from "./listener-schema.ts";
import { route } from "./route-schema.ts";
import * as scalar from "./scalar.ts";
import { upstream } from "./upstream-schema.ts";

/** Processes of one command, at most. */
export const maxWorkers = 256;

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
    module: scalar.path
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

/** The file as it is read: durations in milliseconds, sizes in bytes, header names in lower case. */
export type Config = z.output<typeof config>;
