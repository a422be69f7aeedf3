/** What callers of each protocol send wrongly or oddly: rows B6, C1 (callers' side), C2, C5 and C6 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { type Caller, callAs, callers, protocolFields, sendingCallers } from "../support/callers.ts";
import type { FieldPair } from "../support/hpack.ts";
import { Http1Call, http1Request } from "../support/http1-call.ts";
import type { Outcome } from "../support/outcomes.ts";
import { replyWith } from "../support/protocol-upstreams.ts";
import { until } from "../support/until.ts";
import type { UpstreamCall } from "../support/upstream-calls.ts";
import type { WireResponse } from "../support/wire-response.ts";
import { type Bridges, isVerbatim, methodOf, pathTo, serviceOf, setBridges, upstreamProtocols } from "./bridges.ts";
import { check, onRuntime } from "./suite.ts";

const path = pathTo("grpc");

onRuntime("bridged requests", () => {
  let bridges: Bridges;

  beforeAll(async () => {
    // only these services are open
    const routes = upstreamProtocols.map((protocol) => ({
      match: { service: serviceOf(protocol) },
      to: protocol === "grpc" ? "main" : protocol,
    }));
    const cors = { origins: ["https://good.com", "https://*.apps.example"], max_age: "10m" };
    bridges = await setBridges({ routes: [...routes, { refuse: { code: "permission_denied" } }], listener: { cors } });
  });
  afterAll(() => bridges?.close());

  /** A request of any method, fields and body, over either HTTP version. */
  async function send(
    http: Caller["http"],
    { method = "POST", target = path, fields }: { method?: string; target?: string; fields: readonly FieldPair[] },
  ): Promise<WireResponse> {
    if (http === "1.1") {
      const body = method === "GET" || method === "OPTIONS" ? undefined : "hello";
      const { manifold } = bridges.stage;
      const call = new Http1Call(manifold.port, http1Request(`${method} ${target}`, fields, body));
      await call.finished;
      expect(call.malformed).toBeUndefined();
      call.socket.destroy();
      return call;
    }
    const peer = await bridges.stage.connect();
    const pseudo: FieldPair[] = [
      [":method", method],
      [":scheme", "http"],
      [":path", target],
      [":authority", "test.example"],
    ];
    const stream = peer.open([...pseudo, ...fields], { end: method === "GET" || method === "OPTIONS" });
    if (method !== "GET" && method !== "OPTIONS") stream.sendData(Buffer.from("hello"), { end: true });
    await stream.finished;
    expect(peer.closed).toBe(false);
    peer.socket.destroy();
    return stream;
  }

  const wrong: [string, string, FieldPair[], number, Caller["http"]?][] = [
    ["text/plain", "POST", [["content-type", "text/plain"]], 415],
    ["no content-type", "POST", [], 415],
    ["application/grpcx", "POST", [["content-type", "application/grpcx"]], 415],
    ["application/grpc-webx", "POST", [["content-type", "application/grpc-webx"]], 415],
    ["application/connect without a codec", "POST", [["content-type", "application/connect"]], 415],
    ["a form", "POST", [["content-type", "application/x-www-form-urlencoded"]], 415],
    ["gRPC", "GET", [["content-type", "application/grpc"]], 405],
    ["gRPC-Web", "GET", [["content-type", "application/grpc-web+proto"]], 405],
    ["a Connect stream", "GET", [["content-type", "application/connect+proto"]], 405],
    ["unary Connect", "PUT", [["content-type", "application/proto"]], 405],
    ["unary Connect", "DELETE", [["content-type", "application/json"]], 405],
    ["gRPC", "POST", [["content-type", "application/grpc"]], 505, "1.1"],
  ];
  for (const [what, method, fields, status, only] of wrong) {
    check(`B6 ${method} of ${what} is answered ${status}, without an upstream call`, async () => {
      bridges.reset();
      await bridges.stage.survive(async () => {
        for (const http of only === undefined ? (["1.1", "2"] as const) : [only]) {
          const response = await send(http, { method, fields });
          expect([http, response.field(":status")]).toEqual([http, String(status)]);
        }
      });
      expect(bridges.upstreams.grpc.calls).toEqual([]);
    });
  }

  /** Behind the colon of a field line, and as a line. */
  const malformed: [string, string][] = [
    ["CR in a value", "x-bad: a\rset-cookie: b"],
    ["NUL in a value", "x-bad: a\0b"],
    ["LF in a value", "x-bad: a\nset-cookie: b"],
    ["DEL in a value", "x-bad: a\x7fb"],
    ["CR in a name", "x-b\rad: a"],
    ["NUL in a name", "x-b\0ad: a"],
    ["a space in a name", "x bad: a"],
    ["no name", ": bad"],
  ];
  check("C1 what no field may have is refused over HTTP/1.1 for every protocol, and no upstream sees it", async () => {
    bridges.reset();
    await bridges.stage.survive(async () => {
      for (const { name, form } of sendingCallers.filter(({ http }) => http === "1.1")) {
        for (const [what, line] of malformed) {
          const head = http1Request(`POST ${path}`, protocolFields(form, {}), "hello").toString("latin1");
          const call = new Http1Call(
            bridges.stage.manifold.port,
            head.replace("Content-Length", `${line}\r\nContent-Length`),
          );
          await until(`the connection to be closed after ${what}`, () => call.closed);
          expect([name, what, call.field(":status"), call.responses]).toEqual([name, what, "400", 1]);
        }
      }
    });
    expect(bridges.upstreams.grpc.calls).toEqual([]);
  });

  const hopByHop: FieldPair[] = [
    ["connection", "x-a, Keep-Alive,, x-B"],
    ["x-a", "listed"],
    ["x-b", "listed"],
    ["keep-alive", "timeout=5"],
    ["proxy-connection", "keep-alive"],
    ["proxy-authorization", "Basic eDp5"],
    ["te", "gzip"],
    ["upgrade", "h2c"],
    ["http2-settings", "AAMAAABk"],
  ];
  for (const protocol of upstreamProtocols) {
    check(`C2 fields for one hop stop here, those listed too: to ${protocol}`, async () => {
      bridges.reset();
      for (const caller of callers.filter(({ http }) => http === "1.1")) {
        const headers: FieldPair[] = [...hopByHop, ["x-kept", "1"]];
        const { status, http } = await callAs(caller, bridges.stage, {
          path: pathTo(protocol, methodOf(caller)),
          headers,
        });
        expect([caller.name, http, status]).toEqual([caller.name, 200, 0]);
        const seen = bridges.upstreams[protocol].calls.at(-1)!;
        expect([caller.name, hopsOf(seen), seen.field("x-kept")]).toEqual([caller.name, [], "1"]);
        expect(seen.field("te")).toBe(protocol === "grpc" ? "trailers" : undefined);
      }
    });
  }
  for (const protocol of ["connect", "grpc_web"] as const) {
    check(`C2 the same fields from ${protocol} reach no caller`, async () => {
      const answered: FieldPair[] = [
        ...hopByHop.filter(([name]) => name !== "proxy-authorization" && name !== "te"),
        ["proxy-authenticate", "Basic"],
        ["x-kept", "1"],
      ];
      bridges.upstreams[protocol].answer = replyWith({ headers: answered });
      for (const caller of callers) {
        const outcome = await callAs(caller, bridges.stage, { path: pathTo(protocol, methodOf(caller)) });
        expect([caller.name, outcome.status]).toEqual([caller.name, 0]);
        expect([caller.name, hopsOf(outcome)]).toEqual([caller.name, []]);
        expect(outcome.headers.find(([name]) => name === "x-kept")?.[1]).toBe("1");
      }
      bridges.reset();
    });
  }

  const service = serviceOf("grpc");
  const paths = [
    `/${service}/../manifold.test.Secret/Get`,
    `/manifold.test.Secret/../${service}/Get`,
    `/${service}//Get`,
    `//${service}/Get`,
    `/${service}/%2e%2e/manifold.test.Secret/Get`,
    `/${service}%2FGet`,
    `/${service}/Get%2F..%2F..%2Fmanifold.test.Secret%2FGet`,
    `/${service}/Get?q=1`,
    `/${service}/Get?/../../manifold.test.Secret/Get`,
    `/${service}/Get#f`,
    `/${service}\\Get`,
    `/${service}/Get;/../../manifold.test.Secret/Get`,
    `/${service}/`,
    `/${service}`,
    `/${service}/.`,
    `/${service}/..`,
    `/${service.toUpperCase()}/Get`,
    `/manifold.test.grpc%2eService/Get`,
    "/",
    "*",
    `/${service}/${"a".repeat(9 << 10)}`,
    `http://other.example/${service}/../manifold.test.Secret/Get`,
    `/${service}/Get?connect=v1&encoding=proto&message=a/../../../manifold.test.Secret/Get`,
  ];
  check(
    `C5 ${paths.length} odd paths are matched and passed as their exact bytes, or refused, for every caller`,
    async () => {
      bridges.reset();
      bridges.upstreams.grpc.answer = replyWith({ status: 5 });
      await bridges.stage.survive(async () => {
        for (const odd of paths) {
          for (const caller of callers) {
            const { status } = await callAs(caller, bridges.stage, { path: odd });
            expect([caller.name, odd, status === 0]).toEqual([caller.name, odd, false]);
          }
        }
      });
      // a method of the open service after all, and nothing in it that any server could read otherwise
      const seen = new Set(bridges.upstreams.grpc.calls.map((call) => call.path));
      expect([...seen]).toEqual([`/${service}/${"a".repeat(9 << 10)}`]);
      bridges.reset();
    },
  );

  check("C5 the query of a GET reaches only who is asked in the same words", async () => {
    const caller = callers.find(({ form }) => form === "connect GET")!;
    for (const protocol of upstreamProtocols) {
      bridges.reset();
      await callAs(caller, bridges.stage, { path: pathTo(protocol) });
      const { path: seen } = bridges.upstreams[protocol].calls[0]!;
      if (isVerbatim(caller, protocol)) expect(seen).toMatch(/^\/manifold\.test\.connect\.Service\/Get\?connect=v1&/);
      else expect(seen).toBe(pathTo(protocol));
    }
  });

  const foreign = [
    "https://foreign.example",
    "null",
    "https://good.com.evil.com",
    "https://evilgood.com",
    "https://good.com:8443",
    "http://good.com",
    "https://GOOD.com.",
    "https://good.com/",
    "https://good.com, https://foreign.example",
    "https://apps.example",
    "https://evilapps.example",
    "https://x.apps.example.evil.com",
    "https://evil.com/.apps.example",
    "https://evil.com#.apps.example",
    "https://evil.com\\.apps.example",
    "",
  ];
  const friends = ["https://good.com", "https://x.apps.example", "https://a.b.apps.example"];
  for (const http of ["1.1", "2"] as const) {
    check(
      `C6 foreign origins are told nothing over HTTP/${http}, and no preflight makes an upstream call`,
      async () => {
        bridges.reset();
        await bridges.stage.survive(async () => {
          for (const origin of [...foreign, ...friends]) {
            for (const target of [path, "/manifold.test.Secret/Get"]) {
              const fields: FieldPair[] = [
                ["origin", origin],
                ["access-control-request-method", "POST"],
                ["access-control-request-headers", "content-type,x-grpc-web"],
              ];
              const response = await send(http, { method: "OPTIONS", target, fields });
              const friend = friends.includes(origin);
              expect([origin, response.field(":status")]).toEqual([origin, "204"]);
              expect([origin, response.field("access-control-allow-origin")]).toEqual([
                origin,
                friend ? origin : undefined,
              ]);
              expect(response.headers.filter(([name]) => name.startsWith("access-control-")).length > 0).toBe(friend);
              expect(response.field("vary")).toBe("Origin");
            }
          }
        });
        expect(bridges.upstreams.grpc.calls).toEqual([]);
      },
    );
  }

  check(
    "C6 no answer of any protocol, nor an error or a refusal, allows a foreign origin, and each allows ours",
    async () => {
      const { answer } = bridges.upstreams.grpc;
      // what an upstream says of CORS itself counts for nothing
      const generous: FieldPair[] = [
        ["access-control-allow-origin", "*"],
        ["access-control-allow-credentials", "true"],
      ];
      for (const status of [0, 7]) {
        bridges.upstreams.grpc.answer = replyWith({ status, headers: generous });
        for (const target of [path, "/manifold.test.Secret/Get", "/none"]) {
          for (const origin of [...foreign.slice(0, 3), friends[0]!]) {
            for (const caller of callers.filter(({ form }) => form !== "grpc")) {
              const outcome = await callAs(caller, bridges.stage, { path: target, headers: [["origin", origin]] });
              const allowed = outcome.headers.filter(([name]) => name === "access-control-allow-origin");
              const wanted = origin === friends[0] ? [["access-control-allow-origin", origin]] : [];
              expect([caller.name, target, origin, allowed]).toEqual([caller.name, target, origin, wanted]);
              expect(outcome.headers.map(([name]) => name)).not.toContain("access-control-allow-credentials");
            }
          }
        }
      }
      bridges.upstreams.grpc.answer = answer;
    },
  );
});

const hops = new Set([
  "connection",
  "keep-alive",
  "x-a",
  "x-b",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "upgrade",
  "http2-settings",
]);

/** Names of fields that are for one hop. */
function hopsOf({ headers }: UpstreamCall | Outcome): string[] {
  return headers.map(([name]) => name).filter((name) => hops.has(name));
}
