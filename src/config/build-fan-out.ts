/** A fan-out of the configuration as that of a route. */

import type { Layout } from "../layout/layout.ts";
import { layoutOf } from "../layout/layouts.ts";
import { mergeLayout } from "../layout/merge.ts";
import type { FanOutKind } from "../route/director.ts";
import type { FanOutOptions } from "../route/fan-out-route.ts";
import type { GatherPolicy } from "../route/gather-policy.ts";
import type { Schema } from "../schema/schema.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { mergeFieldsOf } from "./check-fan-out.ts";
import { type FanOutConfig, type GatherConfig, methodKinds } from "./fan-out-schema.ts";
import { given } from "./given.ts";

/** What a fan-out is in a route; of its method see `methodRewrite`. */
export function fanOutOptions(
  config: FanOutConfig,
  upstreams: ReadonlyMap<string, Upstream>,
  schema: Schema | undefined,
): FanOutOptions {
  const kind = kindOf(config);
  return {
    to: (config.to ?? []).map((name) => upstreams.get(name)!),
    layout: layoutOfConfig(config.layout),
    ...(config.select === undefined ? {} : { select: config.select }),
    ...(kind === undefined ? {} : { kind }),
    ...(config.gather === undefined ? {} : { gather: gatherPolicy(config.gather) }),
    ...(config.nested === undefined ? {} : { nested: config.nested }),
    ...(schema === undefined ? {} : { schema }),
  };
}

/** The method that the endpoints are called with, where it isn't the caller's. */
export function methodRewrite({ method: full }: FanOutConfig): { service: string; method: string } | undefined {
  if (full === undefined) return undefined;
  const [service = "", method = ""] = full.split("/");
  return { service, method };
}

function layoutOfConfig(layout: FanOutConfig["layout"]): Layout {
  if (layout === undefined) return layoutOf("wrap")!;
  return typeof layout === "string" ? layoutOf(layout)! : mergeLayout({ fields: mergeFieldsOf(layout)! });
}

type MethodKind = (typeof methodKinds)[number];

function kindOf({ kind, progressive }: FanOutConfig): FanOutOptions["kind"] {
  if (progressive === true) return "progressive";
  if (kind === undefined || typeof kind === "string") return kind && gathered(kind);
  return methodKinds.flatMap((one) => (kind[one] ?? []).map((method) => ({ method, kind: gathered(one) })));
}

/** One reply message is gathered, many are interleaved. */
function gathered(kind: MethodKind): FanOutKind {
  return kind === "unary" || kind === "client_streaming" ? "unary" : "stream";
}

function gatherPolicy(config: GatherConfig): GatherPolicy {
  const { wait, order, fail, metadata } = config;
  return given({
    wait,
    order,
    fail,
    metadata,
    legTimeoutMs: config.leg_timeout,
    maxConcurrent: config.max_concurrent,
    onSlow: config.on_slow,
    maxMessageBytes: config.max_message,
    maxTotalBytes: config.max_total,
  });
}
