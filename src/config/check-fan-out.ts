/** What a schema can't say of a fan-out: that its upstreams exist, and that replies are such as can be merged. */
import type { LayoutName } from "../layout/layouts.ts";
import { type MergeFields, siderolabs, talos } from "../layout/merge-fields.ts";
import { mergeProblems } from "../layout/merge-shape.ts";
import { compileMatch } from "../route/match.ts";
import type { MethodSchema, Schema } from "../schema/schema.ts";
import type { FanOutConfig } from "./fan-out-schema.ts";
import { given } from "./given.ts";
import { isMap, type Part } from "./parts.ts";
import type { Problem } from "./problem.ts";
import type { RouteConfig } from "./route-schema.ts";
import type { Source } from "./source.ts";
import { suggestion } from "./suggest.ts";

export interface FanOutSurroundings {
  /** Names of the file's upstreams. */
  readonly upstreams: readonly string[];
  /** Those that an include names in the route's place. */
  readonly to?: readonly string[] | undefined;
}

/** What is wrong with the fan-out of a route as it stands in the file. */
export function fanOutProblems(source: Source, { path, value }: Part<unknown>, around: FanOutSurroundings): Problem[] {
  const fanOut = isMap(value) ? value.fan_out : undefined;
  if (!isMap(fanOut)) return [];
  const at = [...path, "fan_out"];
  const problems: Problem[] = [];
  const names = fanOut.to === undefined ? [] : [fanOut.to].flat();
  if (names.length === 0 && fanOut.to === undefined && around.to === undefined) {
    const hint = "give to: [...], or { file: ..., to: [...] } where it is included";
    problems.push(source.problem(at, 'missing key "to"', { part: "key", hint }));
  }
  names.forEach((name, index) => {
    if (typeof name !== "string" || name === "" || around.upstreams.includes(name)) return;
    const hint = around.upstreams.length === 0 ? "the file has no upstreams" : suggestion(name, around.upstreams);
    const where = Array.isArray(fanOut.to) ? [...at, "to", index] : [...at, "to"];
    problems.push(source.problem(where, `unknown upstream "${name}"`, { hint }));
  });
  if (fanOut.progressive === true && typeof fanOut.kind === "string" && fanOut.kind !== "unary") {
    problems.push(source.problem([...at, "progressive"], `a ${fanOut.kind} method can't be progressive`));
  }
  if (isMap(value) && isMap(value.rewrite) && value.rewrite.service !== undefined && fanOut.method !== undefined) {
    problems.push(source.problem([...at, "method"], "rewrite.service says another service", { part: "key" }));
  }
  return problems;
}

/** Replies that can't be merged, as far as the schemas of the upstreams tell. */
export function shapeProblems(
  source: Source,
  { path, value }: Part<RouteConfig>,
  schemaOf: (upstream: string) => Schema | undefined,
): Problem[] {
  const fanOut = value.fan_out;
  const fields = fanOut === undefined ? undefined : mergeFieldsOf(fanOut.layout);
  if (fanOut === undefined || fields === undefined) return [];
  const methods = (fanOut.to ?? []).flatMap((upstream) => [...methodsOf(value, schemaOf(upstream))]);
  const problems = methods.flatMap((method) => {
    const stream = method.kind === "server_streaming" || method.kind === "bidi_streaming";
    return mergeProblems(method.output, stream, fields).map(({ message }) => `${method.path.slice(1)}: ${message}`);
  });
  return [...new Set(problems)].map((message) => {
    return source.problem([...path, "fan_out", "layout"], `replies can't be merged: ${message}`);
  });
}

/** The methods that the endpoints are called with by calls which the route takes. */
function* methodsOf({ match, fan_out: fanOut }: RouteConfig, schema: Schema | undefined): Iterable<MethodSchema> {
  if (schema?.methods === undefined) return;
  const { service, method } = match ?? {};
  const pattern = compileMatch({
    ...(service === undefined ? {} : { service }),
    ...(method === undefined ? {} : { method }),
  });
  for (const one of schema.methods()) {
    const [, ofService = "", name = ""] = one.path.split("/");
    const wanted =
      fanOut?.method === undefined ? pattern.matchesPath(ofService, name) : one.path === `/${fanOut.method}`;
    if (wanted) yield one;
  }
}

/** The numbers that a layout writes; undefined for one that wraps. */
export function mergeFieldsOf(layout: FanOutConfig["layout"]): MergeFields | undefined {
  if (layout === undefined || layout === "wrap") return undefined;
  if (typeof layout !== "string") return { ...siderolabs, ...given(layout.merge) };
  return { merge: siderolabs, talos }[layout as Exclude<LayoutName, "wrap">];
}
