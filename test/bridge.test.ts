import { gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { envelope } from "../src/wire/envelope.ts";
import { MemoryProxy, request } from "./support/memory-proxy.ts";
import { type MemoryStream, type Pairs, valueIn } from "./support/memory-stream.ts";

const hello = Buffer.from(envelope(0, Buffer.from("hello")));
const reply = Buffer.from(envelope(0, Buffer.from("reply")));
const grpcHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc+proto"],
];
const status = (code: number): Pairs => [["grpc-status", String(code)]];
const webStatus = (code: number) => Buffer.from(envelope(0x80, Buffer.from(`grpc-status: ${code}\r\n`)));

/** Each protocol's way to call and to be answered. */
const callers = {
  grpc: {
    type: "application/grpc+proto",
    send: (caller: MemoryStream) => caller.data(hello, true),
    code: ({ heads }: MemoryStream) => Number(valueIn(heads.at(-1)?.fields, "grpc-status")),
  },
  "gRPC-Web": {
    type: "application/grpc-web+proto",
    send: (caller: MemoryStream) => caller.data(hello, true),
    code: ({ heads, body }: MemoryStream) =>
      Number(valueIn(heads[0]?.fields, "grpc-status") ?? /grpc-status: (\d+)/.exec(body.toString("latin1"))?.[1]),
  },
  "Connect stream": {
    type: "application/connect+proto",
    send: (caller: MemoryStream) => caller.data(hello, true),
    code: ({ body }: MemoryStream) => codeIn(body),
  },
  "Connect unary": {
    type: "application/proto",
    send: (caller: MemoryStream) => caller.data(Buffer.from("hello"), true),
    code: ({ heads, body }: MemoryStream) => (valueIn(heads[0]?.fields, ":status") === "200" ? 0 : codeIn(body)),
  },
};

const codes: Record<string, number> = { canceled: 1, deadline_exceeded: 4, resource_exhausted: 8, internal: 13 };

function codeIn(body: Buffer): number {
  const name = /"code":"(\w+)"/.exec(body.toString("latin1"))?.[1];
  if (name === undefined) return 0;
  return codes[name] ?? { unavailable: 14, unimplemented: 12, not_found: 5, invalid_argument: 3 }[name] ?? -1;
}

const all = Object.entries(callers);
const bridged = all.filter(([name]) => name !== "grpc");

describe("a call in a protocol that the upstream speaks", () => {
  it.each([
    ["gRPC-Web", "grpc_web", "application/grpc-web+proto"],
    ["gRPC-Web text", "grpc_web", "application/grpc-web-text"],
    ["Connect stream", "connect", "application/connect+proto"],
    ["Connect unary", "connect", "application/json"],
  ] as const)("passes verbatim: %s", (_name, protocol, type) => {
    const proxy = new MemoryProxy({ protocols: ["grpc", protocol] });
    const caller = proxy.call(request(type, [["x-a", "1"]]));
    caller.data(Buffer.from("any bytes"), true);
    expect(proxy.upstream.fields).toEqual(request(type, [["x-a", "1"]]));
    expect(proxy.upstream.body.toString()).toBe("any bytes");
    const answer: Pairs = [
      [":status", "404"],
      ["content-type", type],
      ["trailer-x", "1"],
      ["grpc-message", "%zz"],
    ];
    proxy.upstream.head([...answer, ["proxy-authenticate", "Basic"]]); // for one hop (fault C2)
    proxy.upstream.data(Buffer.from("any answer"), true);
    expect(caller.heads).toEqual([{ fields: answer, end: false }]);
    expect(caller.body.toString()).toBe("any answer");
    expect(caller.localEnded).toBe(true);
    expect(proxy.upstream.credited).toBe(10);
    expect(proxy.records).toMatchObject([{ status: 12, requestBytes: 9, responseBytes: 10 }]);
  });

  it.each([
    ["gRPC-Web", "application/grpc-web+proto", "200", [], [reply, webStatus(5)], 5],
    ["gRPC-Web, in its head", "application/grpc-web+proto", "200", status(5), [], 5],
    ["gRPC-Web text", "application/grpc-web-text", "200", [], [Buffer.from(webStatus(5).toString("base64"))], 5],
    ["gRPC-Web, cut short", "application/grpc-web+proto", "200", [], [reply], 13],
    ["a Connect stream", "application/connect+json", "200", [], [reply, envelope(2, Buffer.from("{}"))], 0],
    [
      "a Connect stream's error",
      "application/connect+json",
      "200",
      [],
      [envelope(2, Buffer.from('{"error":{"code":"aborted"}}'))],
      10,
    ],
    ["unary Connect", "application/json", "200", [], [Buffer.from("{}")], 0],
    ["unary Connect's error", "application/json", "404", [], [Buffer.from('{"code":'), Buffer.from('"not_found"}')], 5],
  ] as const)("is recorded with its true status: %s", (_name, type, http, more, body, code) => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web", "connect"] });
    const caller = proxy.call(request(type), true);
    proxy.upstream.head([[":status", http], ["content-type", type], ...more], body.length === 0);
    body.forEach((piece, at) => {
      proxy.upstream.data(Buffer.from(piece), at === body.length - 1);
    });
    expect(caller.localEnded).toBe(true);
    expect(caller.body).toEqual(Buffer.concat(body));
    expect(proxy.records).toMatchObject([{ status: code }]);
  });

  it.each([
    ["of the end that it has read", Buffer.concat([reply, webStatus(5)]), 5],
    ["canceled, before that", reply, 1],
  ])("of a caller that leaves early is recorded as %s", (_what, body, code) => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
    const caller = proxy.call(request("application/grpc-web"), true);
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web"],
    ]);
    proxy.upstream.data(body);
    caller.cut(ErrorCode.cancel, "peer");
    expect(proxy.upstream.resetWith).toBe(ErrorCode.cancel);
    expect(proxy.records).toMatchObject([{ status: code }]);
  });

  it("is recorded with the status of HTTP's trailers, if they have one", () => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
    proxy.call(request("application/grpc-web"), true);
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web"],
    ]);
    proxy.upstream.trailers([...status(9), ["grpc-message", "not%20now"]]);
    expect(proxy.records).toMatchObject([{ status: 9, message: "not now" }]);
  });

  it("passes verbatim as a GET of Connect, with its query", () => {
    const proxy = new MemoryProxy({ protocols: ["connect"] });
    const query = "?connect=v1&encoding=json&message=%7B%7D&x=1";
    proxy.call(
      [
        [":method", "GET"],
        [":path", `/a.B/C${query}`],
      ],
      true,
    );
    expect(valueIn(proxy.upstream.fields, ":method")).toBe("GET");
    expect(valueIn(proxy.upstream.fields, ":path")).toBe(`/a.B/C${query}`);
    expect(proxy.upstream.ended).toBe(true);
  });

  it("gets HTTP's trailers as well, but never an empty block of them", () => {
    const proxy = new MemoryProxy({ protocols: ["connect"] });
    const answered = (trailers: Pairs) => {
      const caller = proxy.call(request("application/proto"), true);
      proxy.upstream.head([[":status", "200"]]);
      proxy.upstream.trailers(trailers);
      return caller;
    };
    expect(answered([["x", "1"]]).heads).toHaveLength(2);
    expect(answered([])).toMatchObject({ localEnded: true, heads: [{ end: false }] });
  });

  it("is bridged all the same where the upstream doesn't read JSON and has a schema", () => {
    const schema = { method: () => undefined };
    for (const type of ["application/grpc+json", "application/connect+json", "application/json"]) {
      const proxy = new MemoryProxy({ protocols: ["grpc", "connect"], schema });
      const caller = proxy.call(request(type), true);
      expect(proxy.requests).toEqual([]);
      expect(`${caller.body}${JSON.stringify(caller.heads)}`).toContain("in the schema of its upstream");
    }
    const proxy = new MemoryProxy({ protocols: ["grpc"], codecs: ["proto", "json"], schema });
    proxy.call(request("application/grpc+json"), true);
    expect(proxy.requests).toHaveLength(1);
  });
});

describe("a failure of a call that passes verbatim", () => {
  const proxyOf = () => new MemoryProxy({ protocols: ["connect", "grpc_web"] });

  it.each(bridged)("before an answer is a status in its protocol: %s", (_name, { type, send, code }) => {
    const proxy = proxyOf();
    const caller = proxy.call(request(type));
    send(caller);
    proxy.upstream.cut(ErrorCode.internalError, "connection");
    expect(code(caller)).toBe(14);
  });

  it.each(bridged.slice(0, 2))(
    "between two messages is a status behind them (fault B5): %s",
    (_name, { type, code }) => {
      const proxy = proxyOf();
      const caller = proxy.call(request(type));
      proxy.upstream.head([
        [":status", "200"],
        ["content-type", type],
      ]);
      proxy.upstream.data(reply);
      proxy.upstream.cut(ErrorCode.internalError, "peer");
      expect(caller.body.subarray(0, reply.length)).toEqual(reply);
      expect(code(caller)).toBe(13);
    },
  );

  it("behind binary messages is a binary frame, though the caller asked in text", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc-web-text+proto"));
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web+proto"],
    ]);
    proxy.upstream.data(reply);
    proxy.upstream.cut(ErrorCode.internalError, "connection");
    expect(caller.body.subarray(0, reply.length)).toEqual(reply);
    expect(caller.body[reply.length]).toBe(0x80);
    expect(caller.body.toString("latin1", reply.length + 5)).toMatch(/^grpc-status: 14\r\n/);
  });

  it.each([
    ["in a message", "application/grpc-web+proto", [], reply.subarray(0, 7)],
    ["in text", "application/grpc-web-text", [], Buffer.from("AAAAAAA=")],
    ["in a compressed body", "application/connect+proto", [["content-encoding", "gzip"]], Buffer.alloc(0)],
    ["in a unary reply", "application/proto", [], Buffer.from("half")],
    ["in another server's page", "application/grpc-web+proto", [["content-type", "text/html"]], Buffer.from("<")],
  ] as const)("%s is a reset", (_what, type, more, body) => {
    const proxy = proxyOf();
    const caller = proxy.call(request(type));
    const fields: Pairs = more.some(([name]) => name === "content-type") ? more : [["content-type", type], ...more];
    proxy.upstream.head([[":status", "200"], ...fields]);
    proxy.upstream.data(body);
    proxy.upstream.cut(ErrorCode.internalError, "connection");
    expect(caller.resetWith).toBe(ErrorCode.internalError);
    expect(caller.body).toEqual(Buffer.from(body));
  });
});

describe("a bridged call", () => {
  it.each(bridged)("reaches an upstream of gRPC as gRPC: %s", (_name, { type, send }) => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(
      request(type, [
        ["x-a", "1"],
        ["content-length", type === "application/proto" ? "5" : "10"],
      ]),
    );
    send(caller);
    const { fields, body, localEnded } = proxy.upstream;
    expect(valueIn(fields, "content-type")).toBe("application/grpc+proto");
    expect(valueIn(fields, "te")).toBe("trailers");
    expect(valueIn(fields, "content-length")).toBeUndefined();
    expect(valueIn(fields, "x-a")).toBe("1");
    expect(body).toEqual(hello);
    expect(localEnded).toBe(true);
    expect(caller.credited).toBe(caller.given);
  });

  it.each(all)("brings back messages and status: %s", (_name, { type, send, code }) => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request(type));
    send(caller);
    proxy.upstream.head(grpcHead);
    proxy.upstream.data(reply);
    proxy.upstream.trailers([...status(0), ["x-b", "2"]]);
    expect(caller.body.toString("latin1")).toContain("reply");
    expect(code(caller)).toBe(0);
    expect(caller.localEnded).toBe(true);
    expect(proxy.records).toMatchObject([{ status: 0 }]);
    expect(proxy.upstream.credited).toBe(reply.length);
  });

  it.each(all)("brings back an error: %s", (_name, { type, send, code }) => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request(type));
    send(caller);
    proxy.upstream.head([...grpcHead, ...status(5)], true);
    expect(code(caller)).toBe(5);
    expect(proxy.records).toMatchObject([{ status: 5 }]);
  });

  it.each(all)("of which the upstream sends no status fails (fault B5): %s", (_name, { type, send, code }) => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request(type));
    send(caller);
    proxy.upstream.head(grpcHead);
    proxy.upstream.data(reply, true);
    expect(code(caller)).toBe(13);
    expect(caller.localEnded).toBe(true);
  });

  it.each(all)("that an upstream resets fails with what that means (fault F3): %s", (_name, { type, send, code }) => {
    for (const [reset, expected] of [
      [ErrorCode.refusedStream, 14],
      [ErrorCode.cancel, 1],
      [ErrorCode.enhanceYourCalm, 8],
      [ErrorCode.internalError, 13],
    ] as const) {
      const proxy = new MemoryProxy();
      const caller = proxy.call(request(type));
      send(caller);
      proxy.upstream.head(grpcHead);
      proxy.upstream.data(reply);
      proxy.upstream.cut(reset, "peer");
      expect(code(caller)).toBe(expected);
    }
  });

  it.each(all)("cancels the upstream when the caller goes, in each phase (fault F2): %s", (_name, { type, send }) => {
    const phases: ((caller: MemoryStream, proxy: MemoryProxy) => void)[] = [
      () => {},
      (caller) => send(caller),
      (caller, proxy) => {
        send(caller);
        proxy.upstream.head(grpcHead);
        proxy.upstream.data(reply.subarray(0, 7));
      },
    ];
    for (const phase of phases) {
      const proxy = new MemoryProxy();
      const caller = proxy.call(request(type));
      phase(caller, proxy);
      caller.cut(ErrorCode.cancel, "peer");
      expect(proxy.upstream.resetWith).toBe(ErrorCode.cancel);
      expect(proxy.records).toMatchObject([{ status: Code.Canceled }]);
    }
  });

  it.each(all)("is answered by the director's refusal in its own protocol: %s", async (_name, { type, send, code }) => {
    for (const later of [false, true]) {
      const error = new ConnectError("no such user", Code.NotFound);
      const proxy = new MemoryProxy({
        director: () => {
          if (later) return Promise.reject(error);
          throw error;
        },
      });
      const caller = proxy.call(request(type));
      send(caller);
      await Promise.resolve().then(() => {});
      await vi.waitFor(() => expect(code(caller)).toBe(5));
      expect(caller.localEnded).toBe(true);
      expect(JSON.stringify(caller.heads) + caller.body.toString()).toContain("no such user");
    }
  });

  it.each(all)(
    "is answered in its own protocol where the director is slow, its body lost nothing: %s",
    async (_name, { type, send }) => {
      let go = () => {};
      const waited = new Promise<void>((resolve) => {
        go = resolve;
      });
      const proxy = new MemoryProxy({ director: (upstream) => waited.then(() => ({ mode: "one-to-one", upstream })) });
      const caller = proxy.call(request(type));
      send(caller);
      go();
      await vi.waitFor(() => expect(proxy.requests).toHaveLength(1));
      expect(proxy.upstream.body).toEqual(hello);
      expect(proxy.upstream.localEnded).toBe(true);
    },
  );

  it("holds the caller back as the upstream does, and the upstream as the caller does", () => {
    for (const [, { type }] of bridged.slice(0, 2)) {
      const proxy = new MemoryProxy({ window: 100 });
      const caller = proxy.call(request(type));
      caller.window = 50;
      const large = Buffer.from(envelope(0, Buffer.alloc(995)));
      caller.data(large);
      expect(caller.credited).toBe(0);
      proxy.upstream.open(1_000);
      expect(caller.credited).toBe(1_000);
      proxy.upstream.head(grpcHead);
      proxy.upstream.data(large);
      expect(proxy.upstream.credited).toBe(0);
      caller.open(1_000);
      expect(proxy.upstream.credited).toBe(1_000);
    }
  });

  it("without a message is an empty one in Connect, and none elsewhere", () => {
    for (const [name, { type }] of bridged) {
      const proxy = new MemoryProxy();
      proxy.call(request(type), true);
      expect(proxy.upstream.body).toHaveLength(name === "Connect unary" ? 5 : 0);
      expect(proxy.upstream.localEnded).toBe(true);
    }
  });

  it("comes as a POST where it was a GET", () => {
    const proxy = new MemoryProxy();
    const query = "?connect=v1&encoding=proto&base64=1&message=aGVsbG8";
    for (const end of [true, false]) {
      const caller = proxy.call(
        [
          [":method", "GET"],
          [":path", `/a.B/C${query}`],
        ],
        end,
      );
      if (!end) caller.data(Buffer.alloc(0), true);
      expect(valueIn(proxy.upstream.fields, ":method")).toBe("POST");
      expect(valueIn(proxy.upstream.fields, ":path")).toBe("/a.B/C");
      expect(proxy.upstream.body).toEqual(hello);
    }
    expect(proxy.requests).toHaveLength(2);
  });

  it("of a unary reply over the limit is refused, and the upstream stopped (fault B1)", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/proto"));
    caller.data(Buffer.alloc(0), true);
    proxy.upstream.head(grpcHead);
    proxy.upstream.data(Uint8Array.of(0, 4, 0, 0, 0));
    expect(codeIn(caller.body)).toBe(8);
    expect(proxy.upstream.resetWith).toBe(ErrorCode.cancel);
    expect(proxy.records).toMatchObject([{ status: Code.ResourceExhausted }]);
  });

  it("of which the base64 is bad is HTTP 400", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc-web-text"));
    caller.data(Buffer.from("?"));
    expect(caller.heads[0]!.fields[0]).toEqual([":status", "400"]);
    expect(proxy.upstream.resetWith).toBe(ErrorCode.cancel);
  });
});

describe("a deadline", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const timeouts: Record<string, [string, string]> = {
    grpc: ["grpc-timeout", "200m"],
    "gRPC-Web": ["grpc-timeout", "200m"],
    "Connect stream": ["connect-timeout-ms", "200"],
    "Connect unary": ["connect-timeout-ms", "200"],
  };

  it.each(all)("goes to the upstream, and ends the call where that is silent (fault F1): %s", (name, caller) => {
    const proxy = new MemoryProxy();
    const stream = proxy.call(request(caller.type, [timeouts[name]!]));
    caller.send(stream);
    expect(valueIn(proxy.upstream.fields, "grpc-timeout")).toMatch(/^200m$|^\d+[nu]$/);
    expect(valueIn(proxy.upstream.fields, "connect-timeout-ms")).toBeUndefined();
    vi.advanceTimersByTime(230);
    expect(caller.code(stream)).toBe(4);
    expect(proxy.upstream.resetWith).toBe(ErrorCode.cancel);
  });

  it.each([
    ["grpc-timeout", "application/grpc-web", "-1"],
    ["grpc-timeout", "application/grpc-web", "123456789m"],
    ["connect-timeout-ms", "application/proto", "1.5"],
    ["connect-timeout-ms", "application/connect+proto", "12345678901"],
  ])("that can't be read is refused: %s of %s is %s", (header, type, value) => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request(type, [[header, value]]), true);
    expect(JSON.stringify(caller.heads) + caller.body.toString("latin1")).toMatch(/invalid_argument|"grpc-status","3"/);
    expect(proxy.requests).toEqual([]);
  });

  it("reaches a caller that doesn't read as a reset, where a status would wait behind a message", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc-web", [timeouts["gRPC-Web"]!]), true);
    caller.window = 3;
    proxy.upstream.head(grpcHead);
    proxy.upstream.data(reply);
    vi.advanceTimersByTime(230);
    expect(caller.resetWith).toBe(ErrorCode.internalError);
  });

  it("of a call that passes verbatim comes behind what waits", () => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
    const caller = proxy.call(request("application/grpc-web", [timeouts["gRPC-Web"]!]), true);
    caller.window = 3;
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web"],
    ]);
    proxy.upstream.data(reply);
    vi.advanceTimersByTime(230);
    expect(caller.body.subarray(0, 10)).toEqual(reply);
    expect(callers["gRPC-Web"].code(caller)).toBe(4);
  });
});

describe("an upstream of gRPC-Web", () => {
  it.each(all.filter(([name]) => name !== "gRPC-Web"))("is called in it: %s", (_name, { type, send, code }) => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
    const caller = proxy.call(request(type));
    send(caller);
    expect(valueIn(proxy.upstream.fields, "content-type")).toBe("application/grpc-web+proto");
    expect(valueIn(proxy.upstream.fields, "te")).toBeUndefined();
    expect(proxy.upstream.body).toEqual(hello);
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web+proto"],
    ]);
    proxy.upstream.data(Buffer.concat([reply, webStatus(0)]), true);
    expect(caller.body.toString("latin1")).toContain("reply");
    expect(code(caller)).toBe(0);
    expect(proxy.records).toMatchObject([{ status: 0 }]);
  });

  it("whose answer is cut off fails", () => {
    const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
    const caller = proxy.call(request("application/grpc"), true);
    proxy.upstream.head([
      [":status", "200"],
      ["content-type", "application/grpc-web+proto"],
    ]);
    proxy.upstream.data(reply, true);
    expect(callers.grpc.code(caller)).toBe(13);
  });

  it.each([
    ["404", "text/plain", 12],
    ["429", "text/plain", 14],
    ["502", "text/html", 14],
    ["200", "text/html", 2],
  ])("that isn't one, answering %s in %s, is status %i (fault B7)", (http, type, expected) => {
    for (const [name, { type: contentType, send, code }] of all) {
      if (name === "gRPC-Web") continue;
      const proxy = new MemoryProxy({ protocols: ["grpc_web"] });
      const caller = proxy.call(request(contentType));
      send(caller);
      proxy.upstream.head([
        [":status", http],
        ["content-type", type],
      ]);
      if (expected !== 2) expect(code(caller)).toBe(expected);
      else expect(JSON.stringify(caller.heads) + caller.body.toString("latin1")).toMatch(/unknown|"grpc-status","2"/);
    }
  });
});

describe("an upstream of Connect", () => {
  it("that compresses is told so by the message, not by what the caller could do", () => {
    const proxy = new MemoryProxy({ protocols: ["connect"] });
    const fields = request("application/grpc", [["grpc-encoding", "gzip"]]);
    proxy.call(fields).data(envelope(1, gzipSync("hello")), true);
    expect(valueIn(proxy.upstream.fields, "content-encoding")).toBe("gzip");
    proxy.call(fields).data(hello, true);
    expect(valueIn(proxy.upstream.fields, "content-encoding")).toBeUndefined();
  });
});
