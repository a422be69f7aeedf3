import { describe, expect, it } from "vitest";
import { changesOf, fingerprint } from "../../src/config/changes.ts";
import { routeNames } from "../../src/config/route-name.ts";
import { type Config, config } from "../../src/config/schema.ts";

const base = {
  listeners: [{ address: "127.0.0.1:80", tls: { cert: "a.crt", key: "a.key" } }],
  upstreams: { users: { endpoints: ["http://a:1", "http://b:1"] }, nodes: { endpoints: ["http://c:1"] } },
  routes: [{ match: { service: "a.S" }, to: "users" }, { match: { service: "b.S" }, to: "nodes" }, { to: "nodes" }],
};

const parse = (value: object): Config => config.parse(value);
const noFiles = () => undefined;

/** The changes from `base`, with the contents of files before and after. */
function changes(after: object, files: readonly Record<string, string>[] = [{}, {}]): string[] {
  const [a, b] = files.map((contents) => (path: string) => contents[path]);
  return changesOf({ config: parse(base), digest: a! }, { config: parse(after), digest: b! });
}

describe("changesOf()", () => {
  it.each<[what: string, after: object, lines: string[]]>([
    ["nothing", base, []],
    ["listeners", { ...base, listeners: [{ address: ":81" }] }, ["- listener 127.0.0.1:80", "+ listener :81"]],
    [
      "an upstream's keys, with what came to its list and went",
      {
        ...base,
        upstreams: {
          users: { endpoints: ["http://b:1", "http://c:1", "http://d:1"], max_pending: 3, limits: { reset_burst: 5 } },
          nodes: { endpoints: ["http://c:1"] },
        },
      },
      ["~ upstream users: endpoints +2 -1, max_pending, limits"],
    ],
    [
      "the order of a list",
      { ...base, upstreams: { ...base.upstreams, users: { endpoints: ["http://b:1", "http://a:1"] } } },
      ["~ upstream users: endpoints"],
    ],
    [
      "a route that came",
      { ...base, routes: [{ match: { service: "c.S" }, to: "users" }, ...base.routes] },
      ["+ route c.S"],
    ],
    [
      "a route that goes elsewhere",
      { ...base, routes: [base.routes[0], base.routes[1], { to: "users" }] },
      ["~ route *: to"],
    ],
    ["the order of routes", { ...base, routes: [base.routes[1], base.routes[0], base.routes[2]] }, ["~ routes: order"]],
    ["other keys", { ...base, drain_timeout: "3s", log_level: "debug" }, ["~ log_level", "~ drain_timeout"]],
  ])("tells %s", (_, after, lines) => {
    expect(changes(after)).toEqual(lines);
  });

  it("tells files of the same name with other content", () => {
    const before = { "a.crt": "1", "a.key": "1" };
    expect(changes(base, [before, { "a.crt": "2", "a.key": "1" }])).toEqual([
      "~ listener 127.0.0.1:80: tls.cert (file)",
    ]);
    expect(changes(base, [before, before])).toEqual([]);
  });

  it("tells the first of many", () => {
    const keys = ["reset_burst", "resets_per_second", "max_header_fields", "max_settings_entries", "max_frame_size"];
    const limits = (value: number) => Object.fromEntries(keys.map((key) => [key, value]));
    const listeners = (value: number) => [{ address: ":80", limits: { ...limits(value), max_frame_size: "16KiB" } }];
    const [a, b] = [1, 2].map((value) => parse({ ...base, listeners: listeners(value), drain_timeout: "1s" }));
    expect(changesOf({ config: a!, digest: noFiles }, { config: b!, digest: noFiles })).toEqual([
      "~ listener :80: limits.max_header_fields, limits.max_settings_entries, limits.reset_burst, limits.resets_per_second",
    ]);
    const many = (value: number) => ({
      ...base.upstreams.users,
      limits: { ...limits(value), max_frame_size: "16KiB" },
    });
    const more = { connect_timeout: "1s", max_connections: 1, max_pending: 1 };
    const [c, d] = [many(1), { ...many(2), ...more }].map((users) =>
      parse({ ...base, upstreams: { users, nodes: users } }),
    );
    const [line] = changesOf({ config: c!, digest: noFiles }, { config: d!, digest: noFiles });
    expect(line).toMatch(/^~ upstream users: (\S+ ){6}and 1 more$/);
  });
});

describe("fingerprint()", () => {
  it("is the same for the same settings and files alone", () => {
    const tls = { ca: "ca.crt" };
    expect(fingerprint({ tls }, () => "1")).toBe(fingerprint({ tls: { ...tls } }, () => "1"));
    expect(fingerprint({ tls }, () => "1")).not.toBe(fingerprint({ tls }, () => "2"));
    expect(fingerprint({ tls }, noFiles)).not.toBe(fingerprint({ tls: { ca: "other.crt" } }, noFiles));
  });
});

describe("routeNames()", () => {
  it("are their own, or what they match, each once", () => {
    const routes = [
      { name: "users", match: { service: "a.S" } },
      { match: { method: "a.S/Get", service: "a.S" } },
      { match: { service: "a.*", headers: { "x-to": "b" } } },
      { match: { authority: "*.internal" } },
      {},
      {},
    ].map((route) => ({ ...route, to: "users" }));
    expect(routeNames(parse({ ...base, routes }).routes!)).toEqual([
      "users",
      "a.S/Get",
      "a.* x-to",
      "*.internal",
      "*",
      "* #2",
    ]);
  });
});
