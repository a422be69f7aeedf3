/** The import rules of the source tree: which part may know which, and where the runtime's own modules may be used. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

/**
 * The parts, from the one that knows nothing of the others to the one that puts all together. A part is a folder, or a file at the
 * root; root files that aren't named are the steps of a call. A part imports itself and parts of lower rank.
 */
const ranks: Record<string, number> = {
  http2: 0,
  gen: 0,
  http1: 1,
  wire: 1, // header fields are HTTP's
  compress: 2,
  layout: 2,
  "fan-out-client": 3, // runs in browsers
  call: 2,
  schema: 3,
  admit: 3,
  protocol: 5, // its layers open streams on connections of upstream/
  universal: 4,
  upstream: 4,
  route: 5, // a rule names the upstream that calls go to
  local: 5,
  services: 6,
  discovery: 5, // it tells upstreams of their endpoints
  steps: 6,
  retry: 7, // as fan-out
  "fan-out": 7, // looks like an upstream to a relay, and makes a relay for each leg
  proxy: 8,
  observe: 9,
  serve: 9,
  config: 10,
  cli: 11,
  plugin: 11,
  index: 11,
};

/** Types that every part above http2/ and wire/ may name: what a call leaves behind, and how a line is logged. */
const sharedTypes = ["observe/log.ts", "observe/call-record.ts"];

/** Where `node:` modules may be imported: all else runs wherever JavaScript does. */
const nodeAllowed = [
  /^serve\//,
  /^cli\//,
  /^compress\//,
  /^upstream\/(transport|tls|discovery)\.ts$/,
  /^discovery\//,
  /^config\/(load|load-\w+|read-file|files|endpoint-file|discovery)\.ts$/,
];

/** Parts that could be packages of their own, and the packages they may use. */
const packagesOf: Record<string, RegExp> = { http2: /^$/, wire: /^@connectrpc\/connect$|^@bufbuild\/protobuf\/wire$/ };

interface Import {
  /** "upstream/endpoint.ts": relative to src/. */
  readonly from: string;
  /** The same for a file of ours, else the package or `node:` module. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const statement = /^(?:import|export)\s+(type\s)?([^;"']*?)\bfrom\s*["']([^"']+)["']|^import\s*["']([^"']+)["']/gm;
const dynamic = /\bimport\(\s*["']([^"']+)["']\s*\)/g;

function importsOf(from: string): Import[] {
  const text = readFileSync(source + from, "utf8");
  const found: Import[] = [];
  for (const [, type, names = "", target, bare] of text.matchAll(statement)) {
    const named = names.replace(/[{}\s]*/, "").trim();
    const allTypes = named !== "" && names.includes("{") && split(names).every((name) => name.startsWith("type "));
    found.push({ from, to: resolve(from, (target ?? bare)!), typeOnly: type !== undefined || allTypes });
  }
  for (const [, target] of text.matchAll(dynamic)) {
    found.push({ from, to: resolve(from, target!), typeOnly: false });
  }
  return found;
}

function split(names: string): string[] {
  return names
    .replace(/[{}]/g, "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function resolve(from: string, target: string): string {
  return target.startsWith(".") ? new URL(target, `file:///${from}`).pathname.slice(1) : target;
}

function partOf(file: string): string {
  const [first = "", ...rest] = file.split("/");
  if (rest.length > 0) return first;
  const name = first.replace(/\.ts$/, "");
  return name in ranks ? name : "steps";
}

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts") && !file.startsWith("gen/"));
const imports = files.flatMap(importsOf);
const isOurs = ({ to }: Import) => to.endsWith(".ts");

function offences(isOffence: (one: Import) => string | undefined): string[] {
  return imports.flatMap((one) => {
    const why = isOffence(one);
    return why === undefined ? [] : [`src/${one.from} imports ${one.to}: ${why}`];
  });
}

/** What files need when they are run, by file: types are gone by then. */
const needs = new Map<string, string[]>();
for (const { from, to, typeOnly } of imports.filter(isOurs)) {
  if (!typeOnly) needs.set(from, [...(needs.get(from) ?? []), to]);
}

/** The way back to a file among those on the way to it: "a.ts -> b.ts -> a.ts"; undefined where there is none. */
function cycleFrom(file: string, way: readonly string[] = [], seen = new Set<string>()): string | undefined {
  const at = way.indexOf(file);
  if (at !== -1) return [...way.slice(at), file].join(" -> ");
  if (seen.has(file)) return undefined;
  seen.add(file);
  for (const next of needs.get(file) ?? []) {
    const found = cycleFrom(next, [...way, file], seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

describe("imports", () => {
  it("were found at all", () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.filter(isOurs).length).toBeGreaterThan(50);
    expect(
      imports.find(({ from, to }) => from === "upstream/upstream.ts" && to === "upstream/endpoint.ts"),
    ).toBeDefined();
    expect(imports.find(({ from, to }) => from === "upstream/waiter.ts" && to === "call.ts")).toMatchObject({
      typeOnly: true,
    });
  });

  it("are of files that exist, by their .ts name", () => {
    const known = new Set(files);
    expect(
      offences(({ to }) => {
        if (to.startsWith("gen/") || !/^[^@]*\.[jt]s$/.test(to) || to.startsWith("node:")) return undefined;
        return known.has(to) ? undefined : "there is no such file";
      }),
    ).toEqual([]);
  });

  it("only go from the outside in", () => {
    expect(
      offences((one) => {
        if (!isOurs(one)) return undefined;
        const [from, to] = [partOf(one.from), partOf(one.to)];
        if (from === to) return undefined;
        if (!(from in ranks)) return `src/${from}/ has no rank: give it one in test/imports.test.ts`;
        if (!(to in ranks)) return `src/${to}/ has no rank: give it one in test/imports.test.ts`;
        if (one.typeOnly && ranks[from]! > 0 && sharedTypes.includes(one.to)) return undefined;
        return ranks[to]! < ranks[from]! ? undefined : `${from} must not know ${to}`;
      }),
    ).toEqual([]);
  });

  it("don't go round in a circle", () => {
    expect(needs.size).toBeGreaterThan(100);
    const seen = new Set<string>();
    expect([...needs.keys()].flatMap((file) => cycleFrom(file, [], seen) ?? [])).toEqual([]);
  });

  it("of node: modules are where a runtime is dealt with", () => {
    expect(
      offences(({ from, to, typeOnly }) => {
        if (!to.startsWith("node:") || typeOnly) return undefined;
        return nodeAllowed.some((place) => place.test(from)) ? undefined : "node: modules aren't allowed here";
      }),
    ).toEqual([]);
  });

  it("of packages stay out of the parts that could be packages themselves", () => {
    expect(
      offences((one) => {
        const allowed = packagesOf[partOf(one.from)];
        if (isOurs(one) || allowed === undefined) return undefined;
        return allowed.test(one.to) ? undefined : `${partOf(one.from)}/ does without this package`;
      }),
    ).toEqual([]);
  });
});
