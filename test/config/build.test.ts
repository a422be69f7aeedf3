import { describe, expect, it } from "vitest";
import { build, type Parts } from "../../src/config/build.ts";
import { config } from "../../src/config/schema.ts";
import { createLog } from "../../src/observe/log.ts";

const log = createLog({ write() {}, level: "silent" });

function partsOf(value: object, digests: Record<string, string> = {}): Parts {
  return { config: config.parse(value), pem: new Map(), schemas: new Map(), digest: (path) => digests[path] };
}

const users = { endpoints: ["http://127.0.0.1:1"] };
const routes = [{ to: "users" }];

describe("build().prepare()", () => {
  const first = partsOf({ upstreams: { users, nodes: users }, routes: [...routes, { to: "nodes" }] });

  it("keeps an upstream whose settings are the same, and replaces one whose aren't", () => {
    const built = build(first, { log });
    const before = built.upstreams;
    const prepared = built.prepare(partsOf({ upstreams: { users, nodes: { ...users, max_pending: 1 } }, routes }));
    expect(built.upstreams).toEqual(before); // nothing yet
    prepared.apply();
    expect(built.upstreams.get("users")).toBe(before.get("users"));
    expect(built.upstreams.get("nodes")).not.toBe(before.get("nodes"));
    built.close();
    expect([...before.values()].flatMap(({ endpoints }) => endpoints.map(({ state }) => state))).toEqual([
      "closed",
      "closed",
    ]);
  });

  it("closes what was made for nothing, and only that, where it is discarded", () => {
    const built = build(first, { log });
    built.prepare(partsOf({ upstreams: { users }, routes })).discard();
    expect(built.upstreams.get("users")!.endpoints[0]!.state).toBe("idle");
    expect([...built.upstreams.keys()]).toEqual(["users", "nodes"]);
    built.close();
  });

  it("throws for what can't be used, and all is as before", () => {
    const built = build(first, { log });
    const before = built.upstreams.get("users");
    const twice = partsOf({ upstreams: { users: { endpoints: ["http://127.0.0.1:2"] } }, routes });
    const fails = () => {
      throw new TypeError("no good");
    };
    expect(() => built.prepare({ ...twice, routes: fails })).toThrow("no good");
    expect(built.upstreams.get("users")).toBe(before);
    built.close();
  });
});
