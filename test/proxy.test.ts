import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import type { HttpRefusalRecord } from "../src/observe/call-record.ts";
import type { Log } from "../src/observe/log.ts";
import { createProxy } from "../src/proxy.ts";
import type { Destination } from "../src/route/director.ts";
import { dataFrame, Flag, FrameType, headersFrame } from "./http2/raw-peer.ts";
import {
  answerWith,
  FakeUpstream,
  grpcRequest,
  okTrailers,
  origin,
  requestWith,
  send,
  settle,
  startRawStage,
  startStage,
} from "./in-memory.ts";

function logRecorder(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  return {
    lines,
    level: "debug",
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

const trailersOnly = (status: number) =>
  expect.stringMatching(new RegExp(`^headers :status=200 content-type=\\S+ grpc-status=${status} .*end$`));

describe("a director", () => {
  const upstream = new FakeUpstream(); // of which nothing is asked

  it("sees the call", async () => {
    const director = vi.fn((): Destination => {
      throw new ConnectError("seen", Code.Aborted);
    });
    const { call } = await startStage({ director });
    call(requestWith(["x-a", "1"], ["x-a", "2"], ["grpc-timeout", "3S"]), true);
    await settle();
    const [seen] = director.mock.calls[0] as unknown as [import("../src/call.ts").Call];
    expect(seen).toMatchObject({
      path: "/acme.v1.Users/Get",
      service: "acme.v1.Users",
      method: "Get",
      authority: "users.example",
      protocol: "grpc",
      secure: false,
      timeoutMs: 3_000,
      peer: { address: "192.0.2.1", port: 40_000 },
    });
    expect(seen.header("x-a")).toBe("1");
    expect(seen.headerValues("x-a")).toEqual(["1", "2"]);
    expect(seen.header("x-b")).toBeUndefined();
  });

  it.each(["at once", "later"])("that decides %s sends the call on, with what came meanwhile", async (when) => {
    const stage = await startStage({
      director: () => {
        const destination: Destination = { mode: "one-to-one", upstream: stage.upstream };
        return when === "at once" ? destination : settle(3).then(() => destination);
      },
    });
    stage.upstream.backends[0]!.owner.onStream = answerWith(okTrailers);
    const caller = stage.call();
    send(caller, "ask", true);
    await settle(30);
    expect(stage.at(0).bytes.toString()).toBe("ask");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  const refusal = new ConnectError("not 100% yours", Code.PermissionDenied, { "x-why": "policy", "x-bin": "AAE" }, [
    { desc: StringValueSchema, value: create(StringValueSchema, { value: "detail" }) },
  ]);

  it.each<[string, () => Destination | Promise<Destination>]>([
    [
      "throws",
      () => {
        throw refusal;
      },
    ],
    ["rejects", () => Promise.reject(refusal)],
  ])("that %s a ConnectError has answered, with metadata and details", async (_, director) => {
    const { call, records, upstream } = await startStage({ director });
    const caller = call(requestWith(["content-type", "application/grpc+json"]), true);
    await settle();
    expect(caller.events).toEqual([
      expect.stringMatching(
        /^headers :status=200 content-type=application\/grpc\+json grpc-status=7 grpc-message=not 100%25 yours .*end$/,
      ),
    ]);
    expect(caller.events[0]).toContain("x-why=policy");
    expect(caller.events[0]).toContain("x-bin=AAE");
    expect(caller.events[0]).toMatch(/grpc-status-details-bin=[\w+/]+/);
    expect(records).toMatchObject([{ status: Code.PermissionDenied, message: "not 100% yours" }]);
    expect(upstream.avoided).toEqual([]);
  });

  it.each<[string, () => Destination | Promise<Destination>]>([
    [
      "throws an error",
      () => {
        throw new Error("secret of 10.0.0.1");
      },
    ],
    ["rejects with an error", () => Promise.reject(new Error("secret of 10.0.0.1"))],
    ["rejects with nothing", () => Promise.reject(undefined)],
    ["returns nothing", () => undefined as unknown as Destination],
    ["returns an unknown mode", () => ({ mode: "all" }) as unknown as Destination],
    [
      "rewrites to what can't be sent (fault C1)",
      () => ({ mode: "one-to-one", upstream, rewrite: { addHeaders: [["x-a", "b\r\nx-evil: 1"]] } }),
    ],
    ["resolves to nothing", () => Promise.resolve(undefined as unknown as Destination)],
  ])("that %s is internal to the caller, and its error is in the log", async (_, director) => {
    const log = logRecorder();
    const { call, records } = await startStage({ director, log });
    const caller = call(grpcRequest, true);
    await settle();
    expect(caller.events).toEqual([
      "headers :status=200 content-type=application/grpc grpc-status=13 grpc-message=internal error end",
    ]);
    expect(log.lines).toEqual([expect.stringMatching(/^error director failed .*"path":"\/acme.v1.Users\/Get"/)]);
    expect(records).toMatchObject([{ status: Code.Internal }]);
  });

  it("that throws a message which isn't Unicode has answered all the same", async () => {
    const director = () => {
      throw new ConnectError("half a \ud83d", Code.Aborted, undefined, [
        { desc: StringValueSchema, value: create(StringValueSchema, { value: "x" }) },
      ]);
    };
    const { call } = await startStage({ director });
    const caller = call(grpcRequest, true);
    await settle();
    expect(caller.events[0]).toContain("grpc-status=10 grpc-message=half a %EF%BF%BD");
  });

  it("that fails after its caller has gone changes nothing", async () => {
    let fail = () => {};
    const log = logRecorder();
    const { call, records } = await startStage({
      log,
      director: () => new Promise((_, reject) => (fail = () => reject(new ConnectError("late", Code.Aborted)))),
    });
    const caller = call();
    await settle();
    caller.stream.reset(ErrorCode.cancel);
    await settle();
    fail();
    await settle();
    expect(records).toMatchObject([{ status: Code.Canceled }]);
  });
});

describe("a request that is no RPC (fault B6)", () => {
  it.each<[what: string, pairs: Parameters<typeof requestWith>, status: number, extra?: string]>([
    ["text/plain", [["content-type", "text/plain"]], 415, "accept-post=application/grpc"],
    ["GET", [[":method", "GET"]], 405, "allow=POST"],
    ["HEAD", [[":method", "HEAD"]], 405, "allow=POST"],
    [
      "a path that is no method's, in another content type",
      [
        [":path", "/"],
        ["content-type", "text/html"],
      ],
      404,
    ],
  ])("%s is answered in HTTP, without an upstream call", async (_, pairs, status, extra = "") => {
    const { call, upstream, records } = await startStage();
    const caller = call(requestWith(...pairs), true);
    await settle();
    expect(caller.events[0]).toContain(`:status=${status} content-type=text/plain`);
    expect(caller.events[0]).toContain(extra);
    const length = Number(/content-length=(\d+)/.exec(caller.events[0]!)![1]);
    expect(caller.bytes.length).toBe(pairs[0]![1] === "HEAD" ? 0 : length);
    expect(upstream.avoided).toEqual([]);
    expect(records).toEqual([]);
  });

  it("is told with what is known of it, and so is what was no request", async () => {
    const refusals: HttpRefusalRecord[] = [];
    const log = logRecorder();
    const onHttpRefusal = (record: HttpRefusalRecord) => {
      refusals.push(record);
      throw new Error("disk full");
    };
    const { call } = await startStage({ onHttpRefusal, log });
    call(requestWith([":method", "GET"], [":path", "/a?b"]), true);
    await settle();
    const { address, port } = origin.peer;
    const known = { peer: { address, port }, httpStatus: 404, message: 'no method at path "/a"', method: "GET" };
    expect(refusals).toEqual([{ ...known, path: "/a?b", authority: "users.example" }]);
    expect(log.lines).toEqual([expect.stringMatching(/^error onHttpRefusal failed .*"path":"\/a\?b".*disk full/)]);
    const director = () => ({ mode: "one-to-one", upstream: new FakeUpstream() }) as const;
    createProxy({ director, onHttpRefusal }).noteUnreadable(origin, 400, "no colon");
    expect(refusals[1]).toEqual({ peer: origin.peer, httpStatus: 400, message: "no colon" });
  });

  it("is no refusal where `serveHttp` answers it", async () => {
    const refusals: HttpRefusalRecord[] = [];
    const { call } = await startStage({
      onHttpRefusal: (record) => refusals.push(record),
      serveHttp: ({ path }) => (path === "/" ? { status: 200, headers: [], body: new Uint8Array() } : undefined),
    });
    call(requestWith([":method", "GET"], [":path", "/"]), true);
    call(requestWith([":method", "GET"], [":path", "/other"]), true);
    await settle();
    expect(refusals).toMatchObject([{ httpStatus: 404, path: "/other" }]);
  });

  it.each<[what: string, pairs: Parameters<typeof requestWith>, status: number]>([
    ["a path that is no method's", [[":path", "/a.S/../b.T/M"]], 12],
    ["a query", [[":path", "/a.S/M?q"]], 12],
    ["a bad grpc-timeout (F1)", [["grpc-timeout", "-1"]], 3],
    [
      "two grpc-timeouts",
      [
        ["grpc-timeout", "1S"],
        ["grpc-timeout", "2S"],
      ],
      3,
    ],
  ])("but %s is answered in gRPC, and the upstream sees nothing of it (fault C5)", async (_, pairs, status) => {
    const { call, upstream } = await startStage();
    const caller = call(requestWith(...pairs), true);
    await settle();
    expect(caller.events).toEqual([trailersOnly(status)]);
    expect(upstream.avoided).toEqual([]);
  });

  it("has the rest of its body dropped, and is told to stop", async () => {
    const { peer, front } = await startRawStage();
    const text = requestWith(["content-type", "text/plain"]);
    await peer.send(headersFrame(1, text), dataFrame(1, "x"), dataFrame(1, "y", Flag.endStream));
    expect(peer.resets(1)).toEqual([]);
    await peer.send(headersFrame(3, text), ...Array.from({ length: 3 }, () => dataFrame(3, Buffer.alloc(16_000))));
    expect(peer.resets(3)).toEqual([ErrorCode.noError]);
    expect(peer.of(FrameType.windowUpdate, 3)).toEqual([]);
    expect(front.streamCount).toBe(0);
  });
});

describe("onCall", () => {
  it("that throws harms nobody, and its error is in the log", async () => {
    const log = logRecorder();
    const { call, upstream } = await startStage({
      log,
      onCall: () => {
        throw new Error("disk full");
      },
    });
    upstream.backends[0]!.owner.onStream = answerWith(okTrailers);
    const callers = [call(grpcRequest, true), call(grpcRequest, true)];
    await settle();
    expect(callers.map(({ events }) => events.at(-1))).toEqual(["trailers grpc-status=0", "trailers grpc-status=0"]);
    expect(upstream.backends[0]!.connection.closed).toBe(false);
    expect(log.lines).toEqual([expect.stringContaining("disk full"), expect.stringContaining("disk full")]);
  });
});
