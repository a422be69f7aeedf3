/** The schema of fan-outs: a route's, and those of included files. */
import { z } from "zod";
import { layoutNames } from "../layout/layouts.ts";
import * as scalar from "./scalar.ts";

const fieldNumber = z.int().min(1).max(536_870_911);

const mergeFields = z
  .strictObject({
    element: fieldNumber.optional().describe("In the reply: where failed legs go. Default 1."),
    metadata: fieldNumber.optional().describe("In an element: its metadata, a message. Default 99."),
    hostname: fieldNumber.optional().describe("In the metadata: the endpoint's name. Default 99."),
    error: fieldNumber.optional().describe("In the metadata: the error of a failed leg, as Go writes it. Default 100."),
    status: fieldNumber.optional().describe("In the metadata: the same as google.rpc.Status. Default: there is none."),
  })
  .describe("The layout merge with field numbers of your own.");

const layout = z
  .union([z.enum(layoutNames as [string, ...string[]]), z.strictObject({ merge: mergeFields })], {
    error: scalar.expected(`${layoutNames.join(", ")}, or a map with merge`),
  })
  .describe(
    "How replies become one. wrap: each in a message of its own, for any method. merge: replies are lists of messages, which are put one " +
      "after the other, each with the endpoint's name. talos: the same with the field numbers of Talos.",
  );

export const methodKinds = ["unary", "server_streaming", "client_streaming", "bidi_streaming"] as const;

const kind = z
  .union(
    [
      z.enum(methodKinds),
      z.partialRecord(z.enum(methodKinds), z.array(scalar.methodPattern).min(1)).describe("Methods by their kind."),
    ],
    { error: scalar.expected(`${methodKinds.join(", ")}, or a map of these to methods`) },
  )
  .describe("Kind of the method that is called. Default: what the upstream's schema says; without one, a stream.");

const waits = z
  .union([z.enum(["all", "first"]), z.strictObject({ quorum: z.int().min(1).max(1e6).describe("So many.") })], {
    error: scalar.expected("all, first, or a map with quorum"),
  })
  .describe("How many legs must succeed before the reply is sent. The others are cancelled. Default all.");

const gather = z
  .strictObject({
    wait: waits.optional(),
    leg_timeout: scalar.positiveDuration
      .optional()
      .describe("Time for one leg, which then is a failed one. Default: the call's."),
    max_concurrent: z.int().min(1).max(1e6).optional().describe("Legs under way at once. Default: all."),
    order: z.enum(["endpoint", "arrival"]).optional().describe("Of the entries of a unary reply. Default endpoint."),
    fail: z
      .enum(["entries", "call"])
      .optional()
      .describe("A leg that fails is an entry of the reply, or fails the call. Default entries."),
    metadata: z
      .enum(["merged", "none"])
      .optional()
      .describe("Headers and trailers of the legs, up to 8KiB, or none of them. Default merged."),
    on_slow: z
      .enum(["wait", "drop_leg"])
      .optional()
      .describe("A leg that takes the request slower than others holds it up, or fails at 256KiB. Default wait."),
    max_message: scalar.size.optional().describe("Of one leg's reply message. Default 4MiB."),
    max_total: scalar.size.optional().describe("Of all replies that are held together. Default 64MiB."),
  })
  .describe("How legs are waited for.");

const select = z
  .strictObject({ header: scalar.headerName.describe("Names of endpoints, in several values or with commas.") })
  .describe("Only the endpoints that a header names; all if the call has no such header. It isn't passed on.");

const names = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
    error: scalar.expected("names of upstreams"),
  })
  .transform((given) => [given].flat());

const nested = z
  .boolean()
  .optional()
  .describe("The endpoints are Manifolds that answer for others. Default: where a reply says so of itself.");

export const fanOut = z
  .strictObject({
    to: names.optional().describe("Names of the upstreams whose endpoints get the call, all of them."),
    layout: layout.optional(),
    select: select.optional(),
    kind: kind.optional(),
    method: scalar.exactMethod
      .optional()
      .describe('The method that the endpoints are called with, "acme.v1.Nodes/Get". Default: the caller\'s.'),
    progressive: z
      .boolean()
      .optional()
      .describe("The method is unary, and the caller reads a stream: each leg's reply as it comes. Default false."),
    nested,
    gather: gather.optional(),
  })
  .describe("Sends the call to many endpoints, and gives back one reply.");

const file = z.string().min(1);

export const include = z
  .union(
    [
      file,
      z.strictObject({
        file: file.describe("A file of routes, or an image of a generated .proto: buf build -o FILE."),
        to: names.optional().describe("Names of the upstreams, where the file says none."),
        select: select.optional(),
        gather: gather.optional(),
        nested,
      }),
    ],
    { error: scalar.expected("a file, or a map with file") },
  )
  .describe("Routes of fan-outs, made by protoc-gen-manifold: its .manifold.yaml, or an image.");

export type FanOutConfig = z.output<typeof fanOut>;
export type GatherConfig = z.output<typeof gather>;
export type IncludeConfig = z.output<typeof include>;
