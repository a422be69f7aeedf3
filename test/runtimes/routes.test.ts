/** Routes of the configuration file, as calls find them: the first that fits, refusals, rewriting, headers, timeouts. */
import { afterAll, beforeAll, expect } from "vitest";
import { call, connectPeer, outcome, requestFields } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import type { FieldPair } from "../support/hpack.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { standIn } from "../support/stand-in.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const routes = [
  { match: { method: "acme.users.v1.UserService/Delete" }, refuse: { code: "permission_denied", message: "100% no" } },
  { match: { service: "acme.users.v1.UserService", headers: { "x-to": "b" } }, to: "b" },
  { match: { service: "acme.users.v1.UserService" }, to: "a" },
  { match: { method: "acme.users.v1.Other/G*" }, to: "b" },
  { match: { authority: "*.internal" }, refuse: { code: "unimplemented", message: "unknown method" } },
  { match: { headers: { "x-token": { present: true }, "x-kind": { prefix: "pre-" } } }, to: "b" },
  {
    match: { service: "acme.old.Service" },
    to: "a",
    rewrite: { authority: "new.example", service: "acme.new.Service" },
    add_headers: { "x-added": ["one", "two"], "x-single": "three" },
    remove_headers: ["x-secret"],
  },
  { match: { service: "acme.slow.Service" }, to: "a", timeout: "300ms" },
];

onRuntime("routes", () => {
  const upstreams: Record<string, Upstream> = {};
  let manifold: Manifold;
  let peer: H2Peer;

  beforeAll(async () => {
    if (standIn !== undefined) throw new Error("no stand-in is set up for routes");
    upstreams.a = await startUpstream({ handlers: { "/acme.slow.Service/Wait": () => {} } });
    upstreams.b = await startUpstream();
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { a: { endpoints: [upstreams.a.url] }, b: { endpoints: [upstreams.b.url] } },
      routes,
    };
    manifold = await startManifold({ runtime, config });
    peer = await connectPeer(manifold.port);
  });
  afterAll(async () => {
    peer?.socket.destroy();
    const exit = await manifold?.stop();
    for (const upstream of Object.values(upstreams)) await upstream.close();
    expect(exit).toBe(0);
  });

  /** Makes a call and tells where it went: the upstream's name, else the status and message of the refusal. */
  async function whereTo(path: string, more: readonly FieldPair[] = [], authority = "test.example"): Promise<string> {
    const before = { a: upstreams.a!.calls.length, b: upstreams.b!.calls.length };
    const fields = requestFields(path, more).map(
      (field): FieldPair => (field[0] === ":authority" ? [":authority", authority] : field),
    );
    const stream: PeerStream = peer.open(fields, { end: true });
    await stream.finished;
    const { status, message } = outcome(stream);
    const went = (["a", "b"] as const).filter((name) => upstreams[name]!.calls.length > before[name]);
    return went.length > 0 ? went.join() : `${status} ${message}`;
  }

  const table: [string, string, FieldPair[]?, string?][] = [
    ["/acme.users.v1.UserService/Get", "a"],
    ["/acme.users.v1.UserService/Get", "b", [["x-to", "b"]]],
    ["/acme.users.v1.UserService/Get", "a", [["x-to", "bb"]]],
    ["/acme.users.v1.UserService/Delete", "7 100%25 no", [["x-to", "b"]]],
    ["/acme.users.v1.UserService/DeleteAll", "a"],
    ["/acme.users.v1.Other/Get", "b"],
    ["/acme.any.Service/Get", "12 unknown method", [], "x.internal"],
    ["/acme.any.Service/Get", "12 unknown method", [], "a.b.internal"],
    [
      "/acme.any.Service/Get",
      "b",
      [
        ["x-token", ""],
        ["x-kind", "pre-one"],
      ],
      "internal",
    ],
    ["/acme.old.Service/Get", "a"],
  ];
  for (const [path, where, headers = [], authority] of table) {
    const more = [...headers.map((header) => header.join(": ")), ...(authority ? [`to ${authority}`] : [])].join(", ");
    check(`${path} ${more} goes to ${where}`, async () => {
      expect(await whereTo(path, headers, authority)).toBe(where);
    });
  }

  check("a call that no route fits is unimplemented", async () => {
    expect(await whereTo("/acme.any.Service/Get")).toMatch(/^12 /);
    expect(await whereTo("/acme.any.Service/Get", [["x-kind", "pre-one"]])).toMatch(/^12 /);
    expect(
      await whereTo("/acme.any.Service/Get", [
        ["x-token", ""],
        ["x-kind", "suf-one"],
      ]),
    ).toMatch(/^12 /);
  });

  check("rewriting, added and removed headers reach the upstream, the rest of the call as it was", async () => {
    const headers: FieldPair[] = [
      ["x-secret", "s"],
      ["x-kept", "k"],
      ["x-added", "zero"],
    ];
    const result = await call(peer, "/acme.old.Service/Get", { headers });
    expect(result.status).toBe(0);
    const seen = upstreams.a!.calls.at(-1)!;
    expect(seen.field(":path")).toBe("/acme.new.Service/Get");
    expect(seen.field(":authority")).toBe("new.example");
    expect(seen.field("x-secret")).toBeUndefined();
    expect(seen.field("x-kept")).toBe("k");
    expect(seen.headers.filter(([name]) => name === "x-added").map(([, value]) => value)).toEqual([
      "zero",
      "one",
      "two",
    ]);
    expect(seen.field("x-single")).toBe("three");
  });

  check("a route's timeout ends a call, and is the upper bound of what the upstream is told", async () => {
    const result = await call(peer, "/acme.slow.Service/Wait", { headers: [["grpc-timeout", "60S"]] });
    expect(result.status).toBe(4);
    expect(upstreams.a!.calls.at(-1)?.field("grpc-timeout")).toMatch(/^\d{1,8}[mun]$/);
    expect((await call(peer, "/acme.slow.Service/Other")).status).toBe(0);
  });

  check("a configuration with faults is refused, each one with line and column", async () => {
    const config = {
      listeners: [{ address: "nowhere" }],
      upstreams: { a: { endpoint: ["http://a:1"] } },
      routes: [{ to: "b" }],
    };
    const failed = await startManifold({ runtime, config }).catch((error: Error) => error);
    expect(failed).toBeInstanceOf(Error);
    const text = (failed as Error).message;
    expect(text.match(/manifold\.yaml:\d+:\d+/g)?.length).toBeGreaterThanOrEqual(3);
    expect(text).toMatch(/did you mean/);
  });
});
