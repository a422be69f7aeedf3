/** What a schema can't say of a configuration: that its parts fit together. Works on each part that is sound by itself. */
import { admissionKeys } from "./admission.ts";
import { admissionProblems, admissionWarnings } from "./check-admission.ts";
import { endpointProblems, repeated } from "./check-endpoints.ts";
import { fanOutProblems } from "./check-fan-out.ts";
import { targetProblems, targetsOf, trafficProblems } from "./check-traffic.ts";
import type { Listener } from "./listener-schema.ts";
import { isMap, type Part, type Parts, rawParts, upstreamNames } from "./parts.ts";
import type { Problem } from "./problem.ts";
import type { RouteConfig } from "./route-schema.ts";
import type { Source } from "./source.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

/** Everything that makes the file unusable although its shape is right. */
export function crossProblems(source: Source, parts: Parts): Problem[] {
  const upstreams = upstreamNames(source);
  return [
    ...repeatedAddresses(source, parts.listeners),
    ...parts.listeners.flatMap((part) => corsProblems(source, part)),
    ...parts.upstreams.flatMap((part) => upstreamProblems(source, part)),
    ...withoutRoutes(source),
    ...rawParts(source, "routes").flatMap((part) => [
      ...routeProblems(source, part, upstreams),
      ...fanOutProblems(source, part, { upstreams }),
    ]),
    ...admissionProblems(source, parts),
  ];
}

function withoutRoutes(source: Source): Problem[] {
  const { value } = source;
  if (!isMap(value) || "routes" in value || "include" in value) return [];
  return [source.problem([], 'missing key "routes"', { part: "key" })];
}

function repeatedAddresses(source: Source, listeners: readonly Part<Listener>[]): Problem[] {
  return repeated(
    listeners.filter(({ value }) => !value.address.endsWith(":0")),
    (part) => part.value.address,
  ).map((part) => source.problem([...part.path, "address"], `address ${part.value.address} is listened on twice`));
}

/** Browsers take a "*" for nothing where cookies are sent. */
function corsProblems(source: Source, { path, value }: Part<Listener>): Problem[] {
  const { cors } = value;
  if (cors?.credentials !== true) return [];
  return (["origins", "allow_headers", "expose_headers"] as const).flatMap((key) => {
    const index = cors[key]?.indexOf("*") ?? -1;
    if (index === -1) return [];
    const options = { hint: "with credentials, name them" };
    return [source.problem([...path, "cors", key, index], `"*" can't stand beside credentials: true`, options)];
  });
}

function upstreamProblems(source: Source, part: Part<UpstreamConfig>): Problem[] {
  return [...protocolProblems(source, part), ...endpointProblems(source, part), ...trafficProblems(source, part)];
}

function protocolProblems(source: Source, { path, value }: Part<UpstreamConfig>): Problem[] {
  const problems: Problem[] = [];
  for (const key of ["protocols", "codecs"] as const) {
    const given: readonly string[] = value[key] ?? [];
    given.forEach((word, index) => {
      if (given.indexOf(word) === index) return;
      problems.push(source.problem([...path, key, index], `"${word}" is given twice`));
    });
  }
  if (value.http === "1.1" && (value.protocols ?? ["grpc"]).includes("grpc")) {
    const index = value.protocols?.indexOf("grpc");
    const at = index === undefined ? [...path, "http"] : [...path, "protocols", index];
    const hint = "give protocols: [grpc_web], or [connect]";
    problems.push(source.problem(at, "grpc can't be spoken over HTTP/1.1", index === undefined ? { hint } : {}));
  }
  return problems;
}

/** What is wrong with a route as it stands in the file. */
export function routeProblems(source: Source, { path, value }: Part<unknown>, upstreams: readonly string[]): Problem[] {
  if (!isMap(value)) return [];
  const problems: Problem[] = [];
  const answers = ["to", "fan_out", "refuse"].filter((key) => key in value);
  if (answers.length === 0) problems.push(source.problem(path, "a route needs to, fan_out or refuse"));
  for (const more of answers.slice(1)) {
    const message = `a route has either ${answers[0]} or ${more}, not both`;
    problems.push(source.problem([...path, more], message, { part: "key" }));
  }
  if ("refuse" in value) {
    const forwarding = ["rewrite", "add_headers", "remove_headers", "timeout", "retry", ...Object.keys(admissionKeys)];
    for (const key of forwarding) {
      if (key in value)
        problems.push(source.problem([...path, key], `"${key}" means nothing beside refuse`, { part: "key" }));
    }
  }
  if ("fan_out" in value && "retry" in value) {
    const message = '"retry" means nothing beside fan_out: a leg that fails is an entry of the reply';
    problems.push(source.problem([...path, "retry"], message, { part: "key" }));
  }
  const match = isMap(value.match) ? value.match : {};
  problems.push(...repeatedHeaders(source, { path: [...path, "add_headers"], value: value.add_headers }));
  problems.push(...headerMatchProblems(source, { path: [...path, "match", "headers"], value: match.headers }));
  problems.push(...targetProblems(source, { path, value }, upstreams));
  problems.push(...headerMatchProblems(source, { path: [...path, "match", "claims"], value: match.claims }));
  return problems;
}

/** Names that differ in case only are one header. */
function repeatedHeaders(source: Source, { path, value }: Part<unknown>): Problem[] {
  const names = isMap(value) ? Object.keys(value) : [];
  return repeated(names, (name) => name.toLowerCase()).map((name) =>
    source.problem([...path, name], `header "${name.toLowerCase()}" is given twice`, { part: "key" }),
  );
}

function headerMatchProblems(source: Source, { path, value }: Part<unknown>): Problem[] {
  const wrong = Object.entries(isMap(value) ? value : {}).filter(
    ([, wanted]) => isMap(wanted) && "present" in wanted === "prefix" in wanted,
  );
  const what = path.at(-1) === "claims" ? "claim" : "header";
  return [
    ...(what === "header" ? repeatedHeaders(source, { path, value }) : []),
    ...wrong.map(([name]) => source.problem([...path, name], `a ${what} is matched by either present or prefix`)),
  ];
}

/** What is no fault, but hardly meant. */
export function warningsOf(source: Source, parts: Parts, included: readonly RouteConfig[]): Problem[] {
  const routes = [...parts.routes, ...included.map((value) => ({ path: [], value }))];
  const used = new Set([
    ...routes.flatMap(targetsOf).map(({ value }) => value),
    ...routes.flatMap(({ value }) => value.fan_out?.to ?? []),
  ]);
  const unused = parts.upstreams.filter(({ path }) => !used.has(String(path[1])));
  const all = parts.routes.findIndex(({ value }) => matchesAll(value));
  const unreached = all === -1 ? [] : parts.routes.slice(all + 1);
  const refusedReflection = parts.upstreams.filter(
    ({ value }) => value.http === "1.1" && value.schema === "reflection",
  );
  return [
    ...admissionWarnings(source, parts),
    ...refusedReflection.map(({ path }) => {
      const hint = "give { image: FILE }";
      const message = "reflection is a bidirectional stream, which most servers refuse over HTTP/1.1";
      return source.problem([...path, "schema"], message, { hint });
    }),
    ...unused.map(({ path }) =>
      source.problem(path, `no route leads to upstream "${String(path[1])}"`, { part: "key" }),
    ),
    ...unreached.map(({ path }) =>
      source.problem(path, `this route is never reached: route ${all + 1} takes every call`),
    ),
  ];
}

function matchesAll({ match }: RouteConfig): boolean {
  if (match === undefined) return true;
  const { service, method, authority, headers, identity, claims } = match;
  return (
    (service === undefined || service === "*") &&
    (method === undefined || method === "*/*") &&
    authority === undefined &&
    identity === undefined &&
    Object.keys({ ...headers, ...claims }).length === 0
  );
}
