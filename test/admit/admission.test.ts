import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
// @ts-expect-error: an example, in JavaScript
import { Clock } from "../../examples/services.js";
import { type AdmissionOptions, createAdmission } from "../../src/admit/admission.ts";
import type { Call, Identity } from "../../src/call.ts";
import { ErrorCode } from "../../src/http2/errors.ts";
import type { Routes } from "../../src/local/routes.ts";
import { createRouteTable } from "../../src/route/table.ts";
import { identityKey } from "../../src/universal/handler.ts";
import type { Upstream } from "../../src/upstream/upstream.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { MemoryProxy, type MemoryProxyOptions, request } from "../support/memory-proxy.ts";
import { type MemoryStream, type Pairs, valueIn } from "../support/memory-stream.ts";
import { until } from "../support/until.ts";

const hello = Buffer.from(envelope(0, Buffer.from("hello")));
const grpc = "application/grpc+proto";

function statusOf(stream: MemoryStream): number {
  return Number(valueIn(stream.heads.at(-1)?.fields, "grpc-status"));
}

/** A promise that the test settles. */
function later<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let [resolve, reject] = [(_value: T) => {}, (_error: unknown) => {}];
  const promise = new Promise<T>((good, bad) => {
    resolve = good;
    reject = bad;
  });
  return { promise, resolve, reject };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("createAdmission()", () => {
  it("is nothing where nothing is asked", () => {
    expect(createAdmission({})).toBeUndefined();
    expect(createAdmission({ authorize: [], rateLimit: [] })).toBeUndefined();
  });

  it("counts by peer before it authorizes, and by identity behind", () => {
    const asked: string[] = [];
    const proxy = new MemoryProxy({
      proxy: {
        rateLimit: [
          { perSecond: 0.001, burst: 2, by: "identity" },
          { perSecond: 0.001, burst: 4 },
        ],
        authorize: (call) => {
          asked.push(call.path);
          return { name: call.header("x-who") ?? "" };
        },
      },
    });
    const from = (who: string) => {
      const stream = proxy.call(request(grpc, [["x-who", who]]));
      stream.data(hello, true);
      return stream.heads.length === 0 ? 0 : statusOf(stream);
    };
    expect([from("ada"), from("ada"), from("ada"), from("bob")]).toEqual([0, 0, 8, 0]);
    expect(from("eve")).toBe(8); // the peer's four are used up
    expect(asked.length).toBe(4);
    expect(proxy.records.map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/^rate limit by identity: "ada" must wait \d+ ms, refused 1 so far$/),
      expect.stringMatching(/^rate limit by peer: "192\.0\.2\.1" must wait/),
    ]);
  });
});

describe("a call that is refused", () => {
  const limited: AdmissionOptions = { rateLimit: { perSecond: 0.5, burst: 1 } };

  it.each([
    ["gRPC", grpc, "grpc-retry-pushback-ms", /^(2000|19\d\d)$/],
    ["gRPC-Web", "application/grpc-web+proto", "grpc-retry-pushback-ms", /^(2000|19\d\d)$/],
    ["Connect unary", "application/proto", "retry-after", /^2$/],
  ])("is told when to come again: %s", (_name, type, header, value) => {
    const proxy = new MemoryProxy({ proxy: limited });
    proxy.call(request(type)).data(hello, true);
    const refused = proxy.call(request(type));
    expect(valueIn(refused.heads[0]?.fields, header)).toMatch(value);
    if (header === "retry-after") {
      expect(valueIn(refused.heads[0]?.fields, ":status")).toBe("429");
      expect(JSON.parse(refused.body.toString())).toEqual({
        code: "resource_exhausted",
        message: "rate limit exceeded",
      });
    } else expect(statusOf(refused)).toBe(8);
    expect(proxy.requests.length).toBe(1);
  });

  it("is unauthenticated in each protocol's form", () => {
    const refuse = () => {
      throw new ConnectError("who?", Code.Unauthenticated);
    };
    const proxy = new MemoryProxy({ proxy: { authorize: refuse } });
    expect(statusOf(proxy.call(request(grpc)))).toBe(16);
    expect(valueIn(proxy.call(request("application/proto")).heads[0]?.fields, ":status")).toBe("401");
    expect(proxy.requests).toEqual([]);
  });

  it("by a hook that breaks is internal, and tells the caller nothing", async () => {
    for (const authorize of [() => Promise.reject(new Error("secret")), broken]) {
      const proxy = new MemoryProxy({ proxy: { authorize } });
      const stream = proxy.call(request(grpc));
      await until("an answer", () => stream.heads.length > 0);
      expect(statusOf(stream)).toBe(13);
      expect(JSON.stringify(stream.heads)).not.toContain("secret");
      expect(proxy.requests).toEqual([]);
    }
  });
});

function broken(): never {
  throw new Error("secret");
}

describe("authorize", () => {
  it("may be async: the request waits, and the director sees who calls", async () => {
    const answer = later<{ name: string }>();
    const seen: (Call["identity"] | undefined)[] = [];
    const proxy = new MemoryProxy({
      proxy: { authorize: () => answer.promise },
      director: (upstream) => ({ mode: "one-to-one", upstream }),
      admit: createAdmission({
        authorize: (call) => {
          seen.push(call.identity);
          return undefined;
        },
      }),
    });
    const stream = proxy.call(request(grpc));
    stream.data(hello, true);
    await settled();
    expect(proxy.requests).toEqual([]);
    answer.resolve({ name: "ada" });
    await until("the request upstream", () => proxy.requests.length === 1);
    expect(proxy.upstream.body).toEqual(hello);
    proxy.upstream.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      true,
    );
    expect(seen).toEqual([undefined]);
    expect(proxy.records[0]?.call.identity).toEqual({ name: "ada" });
  });

  it("is not waited for by a caller that has gone", async () => {
    const answer = later<undefined>();
    const proxy = new MemoryProxy({ proxy: { authorize: () => answer.promise } });
    proxy.call(request(grpc)).cut(ErrorCode.cancel, "peer");
    answer.resolve(undefined);
    await settled();
    expect(proxy.requests).toEqual([]);
    expect(proxy.records.map(({ status }) => status)).toEqual([1]);
  });

  it("is asked by a route for its own calls only, behind the director", async () => {
    const upstream = { name: "memory" } as Upstream;
    let real: Upstream = upstream;
    const director = (refuse: boolean) =>
      createRouteTable([
        {
          match: { service: "acme.Users" },
          to: real,
          authorize: refuse ? () => Promise.reject(new ConnectError("no", Code.PermissionDenied)) : [],
          allowHeaders: ["x-a"],
        },
        { to: real },
      ]);
    let refuse = true;
    const proxy = new MemoryProxy({
      director: (one) => {
        real = one;
        return director(refuse)({ path: "/acme.Users/Get", service: "acme.Users", method: "Get" } as Call);
      },
    });
    const stream = proxy.call(request(grpc));
    await until("an answer", () => stream.heads.length > 0);
    expect(statusOf(stream)).toBe(7);
    refuse = false;
    proxy.call(
      request(grpc, [
        ["x-a", "1"],
        ["x-b", "2"],
        ["te", "trailers"],
        ["grpc-timeout", "5S"],
        ["grpc-trace-bin", "AA"],
      ]),
    );
    expect(proxy.upstream.fields.map(([name]) => name)).toEqual([
      ":method",
      ":scheme",
      ":authority",
      ":path",
      "content-type",
      "x-a",
      "te",
      "grpc-timeout",
    ]);
  });
});

describe("allowHeaders", () => {
  it("lets the director see all, and the upstream what is allowed and what we add", () => {
    const seen: (string | undefined)[] = [];
    const proxy: MemoryProxy = new MemoryProxy({
      admit: createAdmission({ allowHeaders: ["x-acme-*", "X-User", "x-only"] }),
      proxy: {
        allowHeaders: ["x-*"],
        director: (call) => {
          seen.push(call.header("x-secret"));
          return { mode: "one-to-one", upstream: proxy.target, rewrite: { addHeaders: [["x-added", "1"]] } };
        },
      },
    });
    const sent: Pairs = [
      ["x-acme-a", "1"],
      ["x-secret", "s"],
      ["x-user", "u"],
      ["authorization", "Bearer t"],
      ["user-agent", "test"],
    ];
    proxy.call(request(grpc, sent));
    expect(seen).toEqual(["s"]);
    expect(proxy.upstream.fields.slice(4)).toEqual([
      ["content-type", grpc],
      ["x-acme-a", "1"],
      ["x-user", "u"],
      ["user-agent", "test"],
      ["te", "trailers"],
      ["x-added", "1"],
    ]);
  });

  it("holds for Connect, whose own headers pass", () => {
    const proxy = new MemoryProxy({ protocols: ["connect"], admit: createAdmission({ allowHeaders: [] }) });
    const sent: Pairs = [
      ["connect-protocol-version", "1"],
      ["content-encoding", "gzip"],
      ["x-a", "1"],
    ];
    proxy.call(request("application/json", sent));
    expect(proxy.upstream.fields.slice(4)).toEqual([["content-type", "application/json"], ...sent.slice(0, 2)]);
  });

  it.each(["", "*", "x-*-y", "x y", ":path"])("refuses the pattern %j", (pattern) => {
    expect(() => createAdmission({ allowHeaders: [pattern] })).toThrow(JSON.stringify(pattern));
  });
});

describe("a service of our own", () => {
  const path = "/acme.clock.v1.Clock/Now";
  const callOf = (type: string): Pairs =>
    request(type).map(([name, value]): [string, string] => [name, name === ":path" ? path : value]);
  const empty = Buffer.from(envelope(0, Buffer.alloc(0)));

  function clock(options: MemoryProxyOptions): { proxy: MemoryProxy; asked: (Identity | undefined)[] } {
    const asked: (Identity | undefined)[] = [];
    const routes: Routes = (router) =>
      router.service(Clock, {
        now: (_: unknown, { values }: HandlerContext) => {
          asked.push(values.get(identityKey));
          return {};
        },
      });
    return { proxy: new MemoryProxy({ ...options, proxy: { routes, ...options.proxy } }), asked };
  }

  it("asks first, too, and hands the request on when the answer is there", async () => {
    const answer = later<Identity>();
    const { proxy, asked } = clock({ proxy: { authorize: () => answer.promise } });
    const stream = proxy.call(callOf(grpc));
    stream.data(empty, true);
    await settled();
    expect(stream.credited).toBe(0);
    answer.resolve({ name: "ada" });
    await until("the answer", () => stream.localEnded);
    expect(statusOf(stream)).toBe(0);
    expect(asked).toEqual([{ name: "ada" }]);
    expect(proxy.records.map(({ status, call }) => [status, call.identity?.name])).toEqual([[0, "ada"]]);
  });

  it("gets nothing of a call that is refused, at once or later, by the listener or by the proxy", async () => {
    const refusal = new ConnectError("no", Code.PermissionDenied);
    const refuse = () => {
      throw refusal;
    };
    for (const options of [
      { proxy: { authorize: refuse } },
      { proxy: { authorize: () => Promise.reject(refusal) } },
      { admit: createAdmission({ authorize: refuse }) },
    ]) {
      const { proxy, asked } = clock(options);
      for (const type of [grpc, "application/json"]) {
        const stream = proxy.call(callOf(type));
        stream.data(empty, true);
        await until("the answer", () => stream.localEnded);
        if (type === grpc) expect(statusOf(stream)).toBe(7);
        else expect(valueIn(stream.heads[0]?.fields, ":status")).toBe("403");
      }
      expect(asked).toEqual([]);
      expect(proxy.records.map(({ status }) => status)).toEqual([7, 7]);
    }
  });

  it("isn't reached by what is no call, and so can't be admitted", () => {
    const { proxy, asked } = clock({ proxy: { authorize: () => undefined } });
    const stream = proxy.call(callOf("text/plain"));
    stream.data(empty, true);
    expect(valueIn(stream.heads[0]?.fields, ":status")).toBe("415");
    expect(asked).toEqual([]);
  });

  it("isn't called for a caller that has gone", async () => {
    const answer = later<undefined>();
    const { proxy, asked } = clock({ proxy: { authorize: () => answer.promise } });
    const stream = proxy.call(callOf(grpc));
    stream.data(empty, true);
    stream.cut(ErrorCode.cancel, "peer");
    answer.resolve(undefined);
    await settled();
    expect(asked).toEqual([]);
    expect(stream.heads).toEqual([]);
  });
});
