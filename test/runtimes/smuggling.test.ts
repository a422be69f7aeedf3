/**
 * Request smuggling: row C3 of the table of faults, with all of RFC 9112 section 11.2. A plain TCP proxy fails it all: it hands
 * the bytes on to whoever reads them otherwise.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { callAs, callers } from "../support/callers.ts";
import { outcome } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { Http1Call } from "../support/http1-call.ts";
import { until } from "../support/until.ts";
import { type Bridges, pathTo, setBridges } from "./bridges.ts";
import {
  type Case,
  chunked,
  goodRequest,
  groups,
  host,
  notHttp,
  path,
  smuggled,
  withLines,
} from "./smuggling-cases.ts";
import { check, onRuntime } from "./suite.ts";

onRuntime("smuggling", () => {
  let bridges: Bridges;

  beforeAll(async () => {
    bridges = await setBridges();
  });
  afterAll(() => bridges?.close());

  /** Sends it, and expects one answer and the end of the connection. */
  async function expectRefused([what, head, body, status = 400]: Case, behind: string): Promise<void> {
    const good = behind === "" ? 0 : 1;
    const request = `${behind}${head.join("\r\n")}\r\n\r\n${body}`;
    const call = new Http1Call(bridges.stage.manifold.port, request);
    await until(`the connection to be closed after ${what}`, () => call.closed);
    const nothing = good === 0 && notHttp.has(what);
    expect([what, call.malformed, call.field(":status")]).toEqual([
      what,
      undefined,
      nothing ? undefined : String(status),
    ]);
    expect([what, call.responses]).toEqual([what, nothing ? 0 : good + 1]);
    if (!nothing) expect([what, call.field("connection")]).toEqual([what, "close"]);
  }

  for (const [group, cases] of Object.entries(groups)) {
    check(
      `C3 ${group}: ${cases.length} requests that could be read two ways are refused, and the connection ends`,
      async () => {
        const { calls } = bridges.upstreams.grpc;
        calls.length = 0;
        await bridges.stage.survive(async () => {
          for (const one of cases) await expectRefused(one, "");
          // the lines of a request before are remembered, and compared in place of being read
          for (const one of cases) await expectRefused(one, goodRequest);
        });
        const others = calls.filter((call) => call.path !== path || call.field("x-bad") !== undefined);
        await until("the upstream's calls to be reset", () => others.every(({ over }) => over));
        expect(calls.length - others.length).toBe(cases.length);
        expect(others.filter(({ ended }) => ended).map(({ headers }) => headers)).toEqual([]);
      },
    );
  }

  check("C3 a body is never a request, and a request behind one is its own", async () => {
    const upstream = bridges.upstreams.grpc;
    bridges.reset();
    const body = `Content-Length: ${smuggled.length}`;
    const call = new Http1Call(
      bridges.stage.manifold.port,
      [
        `${withLines(body).join("\r\n")}\r\n\r\n${smuggled}`,
        `GET ${path}?connect=v1&encoding=proto&message=hello HTTP/1.1\r\n${host}\r\n${body}\r\n\r\n${smuggled}`,
        `${withLines(chunked).join("\r\n")}\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
        `${withLines("Content-Length: 0", "Connection: close").join("\r\n")}\r\n\r\n${smuggled}`,
      ].join(""),
    );
    await until("the connection to be closed", () => call.closed);
    expect(call.malformed).toBeUndefined();
    expect(call.responses).toBe(4);
    expect(upstream.calls.map(({ path }) => path)).toEqual([path, path, path, path]);
  });

  const downgrades: [string, FieldPair[]][] = [
    ["content-length: 0", [["content-length", "0"]]],
    ["a content-length that is too short", [["content-length", "3"]]],
    ["a content-length that is too long", [["content-length", "30000"]]],
    [
      "two content-lengths",
      [
        ["content-length", "5"],
        ["content-length", "6"],
      ],
    ],
    ["content-length: +5", [["content-length", "+5"]]],
    ["transfer-encoding", [["transfer-encoding", "chunked"]]],
    ["a line in a value", [["x-a", "b\r\ntransfer-encoding: chunked"]]],
    ["a line in a name", [["transfer-encoding: chunked\r\nx-a", "b"]]],
    ["a line in :authority", [[":authority", "a\r\ntransfer-encoding: chunked"]]],
    ["a request in :path", [[":path", `${pathTo("connect")} HTTP/1.1\r\nhost: a\r\n\r\nGET /x`]]],
    ["a request in :method", [[":method", `POST ${pathTo("connect")} HTTP/1.1\r\nhost: a\r\n\r\nGET`]]],
  ];
  for (const protocol of ["connect", "grpc_web"] as const) {
    check(
      `C3 what HTTP/2 would let pass on to ${protocol} over HTTP/1.1 ends that stream, and nothing else`,
      async () => {
        const upstream = bridges.upstreams[protocol];
        bridges.reset();
        const caller = callers.find((one) => one.protocol === protocol && one.http === "2")!;
        await bridges.stage.survive(async () => {
          const peer = await bridges.stage.connect();
          for (const [what, fields] of downgrades) {
            const named = new Set(fields.map(([name]) => name));
            const request: FieldPair[] = [
              [":method", "POST"],
              [":scheme", "http"],
              [":path", pathTo(protocol)],
              [":authority", "test.example"],
              ["content-type", protocol === "connect" ? "application/proto" : "application/grpc-web+proto"],
            ];
            const stream = peer.open([...request.filter(([name]) => !named.has(name)), ...fields].sort(pseudoFirst));
            stream.sendData(Buffer.from("\0\0\0\0\x00"), { end: true });
            await stream.finished;
            const answer = stream.reset ?? stream.field(":status") ?? outcome(stream).status;
            expect([what, answer]).toEqual([what, expect.toBeOneOf([1, "400"])]);
            await until(`the upstream's call after ${what} to be over`, () => upstream.calls.every(({ over }) => over));
            expect([what, upstream.calls.filter(({ ended }) => ended).map(({ headers }) => headers)]).toEqual([
              what,
              [],
            ]);
          }
          const { status } = await callAs(caller, bridges.stage, { path: pathTo(protocol), peer });
          expect(status).toBe(0);
        });
        expect(upstream.malformed).toEqual([]);
      },
    );
  }
});

function pseudoFirst([a]: FieldPair, [b]: FieldPair): number {
  return Number(b.startsWith(":")) - Number(a.startsWith(":"));
}
