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
import { check, onRuntime } from "./suite.ts";

const path = pathTo("grpc");
const smuggledPath = pathTo("grpc", "Smuggled");
const start = `POST ${path} HTTP/1.1`;
const type = "Content-Type: application/proto";
const host = "Host: test.example";
const chunked = "Transfer-Encoding: chunked";
const smuggled = [`POST ${smuggledPath} HTTP/1.1`, host, type, "Content-Length: 5", "", "hello"].join("\r\n");
/** The whole body to who reads chunks; to who reads a length, its begin. */
const emptyChunks = `0\r\n\r\n${smuggled}`;

/** What is wrong, the lines of a head, what follows its empty line; 400 unless another status is given. */
type Case = [what: string, lines: string[], body: string, status?: number];

/** A head that has these lines besides. */
function withLines(...lines: string[]): string[] {
  return [start, host, type, ...lines];
}

const lengths: Case[] = [
  ["Content-Length, then Transfer-Encoding", withLines("Content-Length: 5", chunked), emptyChunks],
  ["Transfer-Encoding, then Content-Length", withLines(chunked, "Content-Length: 5"), emptyChunks],
  ["Transfer-Encoding and Content-Length: 0", withLines(chunked, "Content-Length: 0"), emptyChunks],
  ["two Content-Length", withLines("Content-Length: 5", `Content-Length: ${5 + smuggled.length}`), `hello${smuggled}`],
  ["two equal Content-Length", withLines("Content-Length: 5", "Content-Length: 5"), `hello${smuggled}`],
  ...[
    "5, 5",
    "5, 6",
    "+5",
    "-5",
    "0x5",
    "5.",
    "5e0",
    "",
    "5\x0b",
    "\x0c5",
    "5\xa0",
    "\t5",
    "5\t",
    "5 5",
    "9".repeat(20),
  ].map(
    (value): Case => [
      `Content-Length ${JSON.stringify(value)}`,
      withLines(`Content-Length: ${value}`),
      `hello${smuggled}`,
    ],
  ),
];

const codings: Case[] = [
  ...[
    "chunked, identity",
    "identity",
    "identity, chunked",
    "chunked, chunked",
    "chunked, gzip",
    "",
    ",",
    "chunked;q=1",
  ].map((value): Case => [`Transfer-Encoding "${value}"`, withLines(`Transfer-Encoding: ${value}`), emptyChunks]),
  ...['"chunked"', "\x0bchunked", "chunked\x0b", "chun\tked", "\tchunked", "chunked\t", "chunked\xa0", "chunked\0"].map(
    (value): Case => [
      `Transfer-Encoding ${JSON.stringify(value)}`,
      withLines(`Transfer-Encoding: ${value}`),
      emptyChunks,
    ],
  ),
  ...["gzip", "gzip, chunked", "xchunked", "x, chunked", "cow"].map(
    (value): Case => [`Transfer-Encoding "${value}"`, withLines(`Transfer-Encoding: ${value}`), emptyChunks, 501],
  ),
  ["two Transfer-Encoding", withLines(chunked, chunked), emptyChunks],
  ["two Transfer-Encoding, of which one is identity", withLines(chunked, "Transfer-Encoding: identity"), emptyChunks],
  ["Transfer-Encoding on HTTP/1.0", [`POST ${path} HTTP/1.0`, host, type, chunked], emptyChunks],
];

const lines: Case[] = [
  ["a folded line", withLines("X-A: b", " c", "Content-Length: 0"), smuggled],
  ["a folded line that begins with a tab", withLines("X-A: b", "\tc", "Content-Length: 0"), smuggled],
  ["a folded Transfer-Encoding", withLines("Transfer-Encoding:", " chunked"), emptyChunks],
  ["a folded Content-Length", withLines("Content-Length:", " 5"), `hello${smuggled}`],
  ["a first line that is folded", [start, ` ${host}`, host, type, "Content-Length: 0"], smuggled],
  ["a bare LF behind a field", withLines(`X-A: b\n${chunked}`, "Content-Length: 5"), emptyChunks],
  ["a bare LF behind the request line", [`${start}\n${host}`, type, "Content-Length: 0"], smuggled],
  ["a head that ends with a bare LF", withLines(`Content-Length: 0\n\n${smuggled}`), ""],
  ["a bare CR in a value", withLines(`X-A: b\r${chunked}`, "Content-Length: 5"), emptyChunks],
  ["a bare CR before a name", withLines("\rContent-Length: 5"), `hello${smuggled}`],
  ["NUL in a value", withLines("X-A: b\0c", "Content-Length: 0"), smuggled],
  ["NUL in a name", withLines("X-A\0B: c", "Content-Length: 0"), smuggled],
  ["a space before the colon", withLines("Content-Length : 5"), `hello${smuggled}`],
  ["a space before the colon of Transfer-Encoding", withLines("Transfer-Encoding : chunked"), emptyChunks],
  ["a tab before the colon", withLines("Transfer-Encoding\t: chunked"), emptyChunks],
  ["a no-break space before the colon", withLines("Transfer-Encoding\xa0: chunked"), emptyChunks],
  ["a space within a name", withLines("Content Length: 5"), `hello${smuggled}`],
  ["a line without a colon", withLines("Content-Length", "Content-Length: 0"), smuggled],
  ["a line without a name", withLines(": 5", "Content-Length: 0"), smuggled],
];

const requestLines: Case[] = [
  ["two spaces behind the method", [`POST  ${path} HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a tab behind the method", [`POST\t${path} HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a space before the method", [` ${start}`, host, type, "Content-Length: 0"], smuggled],
  ["a space behind the version", [`${start} `, host, type, "Content-Length: 0"], smuggled],
  ["a space in the target", [`POST ${path} x HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a request in the target", [`POST ${path} HTTP/1.1 X-A: HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a version in lower case", [`POST ${path} http/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a version of three digits", [`POST ${path} HTTP/1.10`, host, type, "Content-Length: 0"], smuggled],
  ["an unknown version", [`POST ${path} HTTP/1.2`, host, type, "Content-Length: 0"], smuggled, 505],
  ["no Host", [start, type, "Content-Length: 0"], smuggled],
  ["two Hosts", [start, host, host, type, "Content-Length: 0"], smuggled],
  ["two Hosts in one line", [start, "Host: a, b", type, "Content-Length: 0"], smuggled],
  ["user information in Host", [start, "Host: a@b", type, "Content-Length: 0"], smuggled],
  ["a path in Host", [start, "Host: a/b", type, "Content-Length: 0"], smuggled],
  ["CONNECT", ["CONNECT test.example:80 HTTP/1.1", host], smuggled, 501],
];

/** First lines of a connection that aren't HTTP/1: it is closed, as no answer would be understood. */
const notHttp = new Set(["a space before the method", "a version in lower case"]);

const goodRequest = `${withLines("Content-Length: 5").join("\r\n")}\r\n\r\nhello`;

/** Where only the body is wrong, the call has been sent on before that is known. */
const chunkedHead = withLines(chunked, "X-Bad: 1");

const bodies: Case[] = [
  ...[
    "",
    "5 ",
    " 5",
    "0x5",
    "+5",
    "-5",
    "5h",
    "5,",
    "5\0",
    `1${"0".repeat(16)}`,
    "\t5",
    "5\t;a",
    "5;",
    "5;a=",
    "5; a",
  ].map((size): Case => [`chunk size ${JSON.stringify(size)}`, chunkedHead, `${size}\r\nhello\r\n${emptyChunks}`]),
  ["a bare LF behind a chunk's size", chunkedHead, `5\nhello\r\n${emptyChunks}`],
  ["a bare LF in an extension", chunkedHead, `5;a\n;b\r\nhello\r\n${emptyChunks}`],
  ["a bare CR behind a chunk's size", chunkedHead, `5\r\rhello\r\n${emptyChunks}`],
  ["a bare LF behind a chunk's data", chunkedHead, `5\r\nhello\n${emptyChunks}`],
  ["a chunk longer than its size", chunkedHead, `5\r\nhello, you\r\n${emptyChunks}`],
  ["a chunk shorter than its size", chunkedHead, `6\r\nhello\r\n${emptyChunks}`],
  ["a last chunk that ends with a bare LF", chunkedHead, `0\n\n${smuggled}`],
  ["Content-Length among trailers", chunkedHead, `0\r\nContent-Length: 5\r\n\r\n${smuggled}`],
  ["Transfer-Encoding among trailers", chunkedHead, `0\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`],
  ["Host among trailers", chunkedHead, `0\r\nHost: a\r\n\r\n${smuggled}`],
  ["a trailer with a bare LF", chunkedHead, `0\r\nX-A: b\nX-C: d\r\n\r\n${smuggled}`],
  ["a trailer with a space before the colon", chunkedHead, `0\r\nX-A : b\r\n\r\n${smuggled}`],
  ["a folded trailer", chunkedHead, `0\r\nX-A: b\r\n c\r\n\r\n${smuggled}`],
];

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

  const groups: Record<string, Case[]> = { lengths, codings, lines, "request lines": requestLines, bodies };
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
