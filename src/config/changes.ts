/** Changes: what is different between two configurations, in a few lines. */
import { routeNames } from "./route-name.ts";
import type { RouteConfig } from "./route-schema.ts";
import type { Config } from "./schema.ts";

/** A configuration, and what was in the files that it names. */
export interface Snapshot {
  readonly config: Config;
  /** Routes of other files: they come first. */
  readonly included?: readonly { readonly route: RouteConfig }[];
  /** Undefined for what is no file's path. */
  readonly digest: (path: string) => string | undefined;
}

/**
 * One line for each part that has come (+), gone (-) or changed (~): `~ upstream users: endpoints +1, max_pending`.
 * A file that has other content counts as a change: `~ listener 0.0.0.0:8443: tls.cert (file)`.
 */
export function changesOf(before: Snapshot, after: Snapshot): string[] {
  const [a, b] = [partsOf(before), partsOf(after)];
  const kinds = ["listener", "upstream", "route"] as const;
  return [
    ...kinds.flatMap((kind) => partChanges(kind, a[kind], b[kind])),
    ...orderChange([...a.route.keys()], [...b.route.keys()]),
    ...differences(a.other, b.other, []).map((difference) => `~ ${difference}`),
  ];
}

/** A text that is the same for settings that are the same, files' contents included: an upstream of the same text stays. */
export function fingerprint(value: unknown, digest: Snapshot["digest"]): string {
  return JSON.stringify(expanded(value, digest));
}

/** What stands in place of a path. */
interface FileLeaf {
  readonly file: string;
  readonly digest: string;
}

function expanded(value: unknown, digest: Snapshot["digest"]): unknown {
  if (Array.isArray(value)) return value.map((each) => expanded(each, digest));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, expanded(each, digest)]));
  }
  const found = typeof value === "string" ? digest(value) : undefined;
  return found === undefined ? value : ({ file: value as string, digest: found } satisfies FileLeaf);
}

type Named = ReadonlyMap<string, unknown>;

function partsOf(snapshot: Snapshot): Record<"listener" | "upstream" | "route", Named> & { other: object } {
  const { config, included = [], digest } = snapshot;
  const { listeners = [], upstreams = {}, routes: own = [], ...other } = expanded(config, digest) as Config;
  const routes = [...included.map(({ route }) => route), ...own];
  const names = routeNames(routes);
  return {
    listener: new Map(listeners.map((listener) => [listener.address, listener])),
    upstream: new Map(Object.entries(upstreams)),
    route: new Map(routes.map((route, index) => [names[index]!, route])),
    other,
  };
}

function partChanges(kind: string, before: Named, after: Named): string[] {
  const gone = [...before.keys()].filter((name) => !after.has(name)).map((name) => `- ${kind} ${name}`);
  const others = [...after].flatMap(([name, value]) => {
    if (!before.has(name)) return [`+ ${kind} ${name}`];
    const found = differences(before.get(name), value, []);
    return found.length === 0 ? [] : [`~ ${kind} ${name}: ${shortened(found)}`];
  });
  return [...gone, ...others];
}

/** The first match wins, so the order of routes counts. */
function orderChange(before: readonly string[], after: readonly string[]): string[] {
  const stayed = before.filter((name) => after.includes(name));
  const now = after.filter((name) => before.includes(name));
  return stayed.every((name, index) => name === now[index]) ? [] : ["~ routes: order"];
}

/** Names of what differs, as paths with dots. */
function differences(before: unknown, after: unknown, path: readonly string[]): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const name = path.join(".");
  if (isFile(before) && isFile(after)) return [before.file === after.file ? `${name} (file)` : name];
  if (isMap(before) && isMap(after) && !isFile(before) && !isFile(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => differences(before[key], after[key], [...path, key]));
  }
  if (Array.isArray(before) && Array.isArray(after)) return [`${name}${listDifference(before, after)}`];
  return [name];
}

/** " +2 -1", or "" where only the order has changed. */
function listDifference(before: readonly unknown[], after: readonly unknown[]): string {
  const [old, now] = [before, after].map((list) => list.map((each) => JSON.stringify(each)));
  const added = now!.filter((each) => !old!.includes(each)).length;
  const removed = old!.filter((each) => !now!.includes(each)).length;
  return `${added > 0 ? ` +${added}` : ""}${removed > 0 ? ` -${removed}` : ""}`;
}

const maxNames = 6;

function shortened(names: readonly string[]): string {
  const shown = names.slice(0, maxNames).join(", ");
  return names.length > maxNames ? `${shown}, and ${names.length - maxNames} more` : shown;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFile(value: unknown): value is FileLeaf {
  return isMap(value) && Object.keys(value).join() === "file,digest";
}
