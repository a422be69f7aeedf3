/** Includes: routes of fan-outs from files that protoc-gen-manifold has written, or from images of the protos that it has. */
import { fanOutsOf } from "../schema/fan-outs.ts";
import { schemaOfTypes, typesOfImage } from "../schema/image.ts";
import type { Schema } from "../schema/schema.ts";
import { routeProblems } from "./check.ts";
import { fanOutProblems } from "./check-fan-out.ts";
import type { IncludeConfig } from "./fan-out-schema.ts";
import { include } from "./fan-out-schema.ts";
import { isMap, type Part, rawParts, upstreamNames } from "./parts.ts";
import type { Problem } from "./problem.ts";
import { asText, type ReadFile, whyUnread } from "./read-file.ts";
import { included as includedSchema, type RouteConfig } from "./route-schema.ts";
import { parseSource, type Source } from "./source.ts";
import { schemaProblems } from "./validate.ts";

/** A route that isn't in the file itself. */
export interface IncludedRoute {
  readonly route: RouteConfig;
  /** What describes the method as callers call it, where an image does. */
  readonly schema?: Schema;
}

export interface Includes {
  readonly routes: readonly IncludedRoute[];
  readonly problems: readonly Problem[];
}

/**
 * Reads every file under `include`.
 *
 * @param read finds a file by its path as it stands in the configuration
 */
export function readIncludes(source: Source, read: ReadFile): Includes {
  const all = rawParts(source, "include").flatMap((part) => {
    const parsed = include.safeParse(part.value);
    return parsed.success ? [{ path: part.path, value: withFile(parsed.data) }] : [];
  });
  const each = all.map((part): Includes => {
    const { file } = part.value;
    const at = isMap(source.value) && isMap(rawValue(source, part)) ? [...part.path, "file"] : part.path;
    let bytes: Uint8Array;
    try {
      bytes = read(file);
    } catch (error) {
      return { routes: [], problems: [source.problem(at, `${whyUnread(error)}: ${file}`)] };
    }
    return /\.ya?ml$/i.test(file)
      ? routesOfFile(source, part, bytes)
      : routesOfImage(source, { ...part, path: at }, bytes);
  });
  return { routes: each.flatMap(({ routes }) => routes), problems: each.flatMap(({ problems }) => problems) };
}

type Include = Exclude<IncludeConfig, string>;

function withFile(given: IncludeConfig): Include {
  return typeof given === "string" ? { file: given } : given;
}

function rawValue(source: Source, { path }: Part<unknown>): unknown {
  return rawParts(source, "include").find((part) => part.path[1] === path[1])?.value;
}

/** A file of routes is held to the same rules as the configuration; its problems are shown with its own lines. */
function routesOfFile(source: Source, { path, value }: Part<Include>, bytes: Uint8Array): Includes {
  const own = parseSource(value.file, asText(bytes));
  const lines = own.text.split(/\r?\n/);
  const foreign = (problem: Problem): Problem => ({ ...problem, text: lines[problem.line - 1] ?? "" });
  if (own.problems.length > 0) return { routes: [], problems: own.problems.map(foreign) };
  const upstreams = upstreamNames(source);
  const problems = [
    ...schemaProblems(own, includedSchema),
    ...rawParts(own, "routes").flatMap((part) => [
      ...routeProblems(own, part, upstreams),
      ...fanOutProblems(own, part, { upstreams, to: value.to }),
    ]),
  ].map(foreign);
  problems.push(...unknownUpstreams(source, { path, value }, upstreams));
  if (problems.length > 0) return { routes: [], problems };
  const { routes } = includedSchema.parse(own.value);
  return { routes: routes.map((route) => ({ route: withOverrides(route, value) })), problems };
}

function routesOfImage(source: Source, { path, value }: Part<Include>, bytes: Uint8Array): Includes {
  const problem = (message: string): Includes => ({ routes: [], problems: [source.problem(path, message)] });
  const upstreams = upstreamNames(source);
  if (value.to === undefined) return problem(`an image says no upstreams: give { file: ${value.file}, to: [...] }`);
  try {
    const types = typesOfImage(bytes);
    const schema = schemaOfTypes(types);
    const methods = fanOutsOf(types);
    if (methods.length === 0) return problem(`${value.file} has no methods that protoc-gen-manifold has written`);
    const routes = methods.map(({ match, method, kind, layout, fields, progressive }): IncludedRoute => {
      const fanOut = { layout: fields === undefined ? layout : { merge: { ...fields } }, method, kind, progressive };
      return { route: withOverrides({ match: { method: match }, fan_out: fanOut } as RouteConfig, value), schema };
    });
    return { routes, problems: unknownUpstreams(source, { path, value }, upstreams) };
  } catch (error) {
    return problem(`${value.file} can't be used: ${(error as Error).message}`);
  }
}

function unknownUpstreams(source: Source, { path, value }: Part<Include>, known: readonly string[]): Problem[] {
  const unknown = value.to?.find((name) => !known.includes(name));
  return unknown === undefined ? [] : [source.problem(path, `unknown upstream "${unknown}"`)];
}

/** What stands beside `file` counts. The method stays the caller's where the endpoints are Manifolds. */
function withOverrides(route: RouteConfig, { to, select, gather, nested }: Include): RouteConfig {
  if (route.fan_out === undefined) return route;
  const { method, ...fanOut } = route.fan_out;
  return {
    ...route,
    fan_out: {
      ...fanOut,
      ...(method === undefined || nested === true ? {} : { method }),
      ...(to === undefined ? {} : { to }),
      ...(select === undefined ? {} : { select }),
      ...(gather === undefined ? {} : { gather }),
      ...(nested === undefined ? {} : { nested }),
    },
  };
}
