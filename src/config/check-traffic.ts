/** What a schema can't say of how calls are spread: that health, subsets, tiers and weighted routes fit together. */

import { listedEndpoints } from "./check-endpoints.ts";
import { isMap, type Part } from "./parts.ts";
import type { Problem } from "./problem.ts";
import type { Path, Source } from "./source.ts";
import { suggestion } from "./suggest.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

/** Of an upstream that is sound by itself. */
export function trafficProblems(source: Source, part: Part<UpstreamConfig>): Problem[] {
  return [...healthProblems(source, part), ...subsetProblems(source, part), ...limitProblems(source, part)];
}

function healthProblems(source: Source, { path, value }: Part<UpstreamConfig>): Problem[] {
  const { health, http } = value;
  if (health === undefined) return [];
  const at = [...path, "health"];
  const kinds = (["grpc", "http", "tcp"] as const).filter((kind) => health[kind] !== undefined);
  if (kinds.length === 0) return [source.problem(at, "health needs grpc, http or tcp", { part: "key" })];
  if (kinds.length > 1) {
    const message = `health is checked by one of grpc, http and tcp, not by ${kinds.join(" and ")}`;
    return [source.problem([...at, kinds[1]!], message, { part: "key" })];
  }
  if (kinds[0] !== "grpc" || http !== "1.1") return [];
  return [
    source.problem([...at, "grpc"], "gRPC's health service needs HTTP/2", { hint: "give http or tcp", part: "key" }),
  ];
}

function subsetProblems(source: Source, { path, value }: Part<UpstreamConfig>): Problem[] {
  const { subset } = value;
  if (subset === undefined || !Array.isArray(value.endpoints)) return []; // else nobody knows the labels yet
  const labels = listedEndpoints(value).flatMap((one) =>
    typeof one === "string" ? [] : Object.keys(one.labels ?? {}),
  );
  if (labels.includes(subset.label)) return [];
  const hint = labels.length === 0 ? "give endpoints labels" : suggestion(subset.label, [...new Set(labels)]);
  return [source.problem([...path, "subset", "label"], `no endpoint has the label "${subset.label}"`, { hint })];
}

function limitProblems(source: Source, { path, value }: Part<UpstreamConfig>): Problem[] {
  const { outlier } = value;
  if (outlier === undefined || outlier === false) return [];
  const { ejection = 30_000, max_ejection: max } = outlier;
  if (max === undefined || max >= ejection) return [];
  return [source.problem([...path, "outlier", "max_ejection"], "max_ejection is less than ejection")];
}

/** The upstreams that a route names, each with its place. */
export function targetsOf({ path, value }: Part<unknown>): Part<string>[] {
  const to = isMap(value) ? value.to : undefined;
  if (typeof to === "string") return [{ path: [...path, "to"], value: to }];
  if (!Array.isArray(to)) return [];
  return to.flatMap((one, index) => {
    const at: Path = [...path, "to", index, "upstream"];
    return isMap(one) && typeof one.upstream === "string" ? [{ path: at, value: one.upstream }] : [];
  });
}

/** Of a route, sound or not. */
export function targetProblems(source: Source, route: Part<unknown>, names: readonly string[]): Problem[] {
  const targets = targetsOf(route).filter(({ value }) => value !== "");
  const unknown = targets.filter(({ value }) => !names.includes(value));
  return [
    ...unknown.map(({ path, value }) => {
      const hint = names.length === 0 ? "the file has no upstreams" : suggestion(value, names);
      return source.problem(path, `unknown upstream "${value}"`, { hint });
    }),
    ...targets
      .filter(({ value }, index) => targets.findIndex((other) => other.value === value) < index)
      .map(({ path, value }) => source.problem(path, `upstream "${value}" is given twice`)),
    ...weightProblems(source, route),
  ];
}

function weightProblems(source: Source, { path, value }: Part<unknown>): Problem[] {
  const to = isMap(value) ? value.to : undefined;
  if (!Array.isArray(to) || to.length === 0 || !to.every((one) => isMap(one) && one.weight === 0)) return [];
  return [source.problem([...path, "to"], "every weight is 0: no call could go anywhere", { part: "key" })];
}
