/** Parts: the listeners, upstreams and routes of a configuration file, each with its place in it. */
import type { z } from "zod";
import { type Listener, listener } from "./listener-schema.ts";
import { type RouteConfig, route } from "./route-schema.ts";
import { kindOf } from "./scalar.ts";
import type { Path, Source } from "./source.ts";
import { type UpstreamConfig, upstream } from "./upstream-schema.ts";

/** A part of the file with its place. */
export interface Part<T> {
  readonly path: Path;
  readonly value: T;
}

/** The parts that the schema finds no fault with; one bad part must not hide the problems of the others. */
export interface Parts {
  readonly listeners: readonly Part<Listener>[];
  readonly upstreams: readonly Part<UpstreamConfig>[];
  readonly routes: readonly Part<RouteConfig>[];
}

export function partsOf(source: Source): Parts {
  return {
    listeners: soundParts(source, "listeners", listener),
    upstreams: soundParts(source, "upstreams", upstream),
    routes: soundParts(source, "routes", route),
  };
}

function soundParts<T>(source: Source, key: string, schema: z.ZodType<T>): Part<T>[] {
  return rawParts(source, key).flatMap(({ path, value }) => {
    const result = schema.safeParse(value);
    return result.success ? [{ path, value: result.data }] : [];
  });
}

/** The items of a list or of a map at the top of the file, sound or not. */
export function rawParts(source: Source, key: string): Part<unknown>[] {
  const parts = isMap(source.value) ? source.value[key] : undefined;
  if (Array.isArray(parts)) return parts.map((value, index) => ({ path: [key, index], value }));
  return isMap(parts) ? Object.entries(parts).map(([name, value]) => ({ path: [key, name], value })) : [];
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return kindOf(value) === "a map";
}

/** Names of the upstreams, sound or not. */
export function upstreamNames(source: Source): string[] {
  return rawParts(source, "upstreams").map(({ path }) => String(path[1]));
}
