/** How a call ends other than by its upstream's answer: deadline, cancel, resets, and answers that are none. */
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { unavailable } from "../src/upstream/waiter.ts";
import { parseGrpcTimeout } from "../src/wire/timeout.ts";
import type { Pairs, StreamRecorder } from "./http2/recorder.ts";
import {
  fieldsOf,
  grpcRequest,
  grpcResponse,
  okTrailers,
  requestWith,
  type Stage,
  send,
  settle,
  startStage,
} from "./in-memory.ts";

const { cancel, enhanceYourCalm, inadequateSecurity, protocolError, noError } = ErrorCode;
const never = () => new Promise<never>(() => {});

describe("the deadline (fault F1)", () => {
  let stages: Stage[] = [];

  async function start(...args: Parameters<typeof startStage>): Promise<Stage> {
    const stage = await startStage(...args);
    stages.push(stage);
    return stage;
  }

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  });

  afterEach(async () => {
    for (const { caller, front, upstream } of stages) {
      for (const one of [caller, front, ...upstream.backends.flatMap((b) => [b.connection, b.server])]) one.destroy();
    }
    stages = [];
    await vi.advanceTimersByTimeAsync(2_000);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  async function pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
    await settle();
  }

  const exceeded = "headers :status=200 content-type=application/grpc grpc-status=4 grpc-message=deadline exceeded end";

  it("answers 4 and resets the upstream, where that is silent", async () => {
    const { call, at, records } = await start();
    const caller = call(requestWith(["grpc-timeout", "200m"]), true);
    await settle();
    await pass(150);
    expect(caller.events).toEqual([]);
    await pass(70);
    expect(caller.events).toEqual([exceeded]);
    expect(at(0).events.at(-1)).toBe(`reset ${cancel} peer`);
    expect(records).toMatchObject([
      { status: Code.DeadlineExceeded, message: "deadline exceeded", endpoint: "node-0" },
    ]);
  });

  it("is in trailers where the upstream has begun to answer", async () => {
    const { call, at } = await start();
    const caller = call(requestWith(["grpc-timeout", "200m"]), true);
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    send(at(0), "a part");
    await pass(250);
    expect(caller.bytes.toString()).toBe("a part");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=4 grpc-message=deadline exceeded");
  });

  it("isn't held back by what waits for the caller's window", async () => {
    const { call, at } = await start();
    const caller = call(requestWith(["grpc-timeout", "200m"]), true);
    caller.consumes = false;
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    send(at(0), Buffer.alloc(100_000));
    await pass(250);
    expect(caller.bytes.length).toBe(65_535);
    expect(caller.events.at(-1)).toBe("trailers grpc-status=4 grpc-message=deadline exceeded");
  });

  it("counts while the director decides and while no connection is there", async () => {
    const slow = await start({ director: never });
    const waiting = await start();
    waiting.upstream.holds = true;
    const callers = [slow, waiting].map(({ call }) => call(requestWith(["grpc-timeout", "50m"]), true));
    await settle();
    await pass(70);
    expect(callers.map(({ events }) => events)).toEqual([[exceeded], [exceeded]]);
    expect(waiting.upstream.waiting.size).toBe(0);
  });

  it("of the route counts where it is shorter, from the call's beginning", async () => {
    const stage = await start({
      director: async () => ({ mode: "one-to-one", upstream: stage.upstream, timeoutMs: 100 }),
    });
    const { call, at } = stage;
    const callers = [call(grpcRequest, true), call(requestWith(["grpc-timeout", "50m"]), true)];
    const late = call(requestWith(["grpc-timeout", "9S"]), true);
    await settle();
    const told = [0, 1, 2].map((index) => parseGrpcTimeout(/grpc-timeout=(\S+)/.exec(at(0, index).events[0]!)?.[1]));
    expect(told).toEqual([100, 50, 100]);
    await pass(60);
    expect(callers.map(({ events }) => events)).toEqual([[], [exceeded]]);
    await pass(60);
    expect([callers[0]!, late].map(({ events }) => events)).toEqual([[exceeded], [exceeded]]);
  });

  it("goes to the upstream as what is left of it", async () => {
    let decide = () => {};
    const stage = await start({
      director: () =>
        new Promise((resolve) => {
          decide = () => resolve({ mode: "one-to-one", upstream: stage.upstream });
        }),
    });
    stage.call(requestWith(["grpc-timeout", "500m"]), true);
    await settle();
    await pass(200);
    decide();
    await settle();
    const value = /grpc-timeout=(\d+)u/.exec(stage.at(0).events[0]!)!;
    expect(Number(value[1])).toBeGreaterThan(200_000);
    expect(Number(value[1])).toBeLessThanOrEqual(300_000);
  });

  it("passes as the caller wrote it where no time has gone by", async () => {
    const { call, at } = await start();
    for (const value of ["1H", "00200m", "99999999S"]) call(requestWith(["grpc-timeout", value]), true);
    await settle();
    expect([0, 1, 2].map((index) => /grpc-timeout=(\S+)/.exec(at(0, index).events[0]!)![1])).toEqual([
      "1H",
      "00200m",
      "99999999S",
    ]);
    await pass(10_000);
    expect(at(0).events).toHaveLength(1);
  });

  it("disarms with the call, and after a cancel", async () => {
    const { call, at, records } = await start();
    const [done, cancelled] = [0, 1].map(() => call(requestWith(["grpc-timeout", "100m"]), true));
    await settle();
    at(0, 0).stream.sendHeaders(fieldsOf([...grpcResponse, ...okTrailers]), true);
    cancelled!.stream.reset(cancel);
    await pass(300);
    expect(done!.events).toHaveLength(1);
    expect(records.map(({ status }) => status).sort()).toEqual([0, Code.Canceled]);
  });
});

describe("a caller that cancels", () => {
  it("resets the upstream with CANCEL (fault F2)", async () => {
    const { call, at, records, upstream } = await startStage();
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    await settle();
    caller.stream.reset(cancel);
    await settle();
    expect(at(0).events.at(-1)).toBe(`reset ${cancel} peer`);
    expect(records).toMatchObject([{ status: Code.Canceled, endpoint: "node-0" }]);
    expect(upstream.backends[0]!.connection.streamCount).toBe(0);
  });

  it("makes no upstream call while the director decides", async () => {
    let decide = () => {};
    const stage = await startStage({
      director: () =>
        new Promise((resolve) => {
          decide = () => resolve({ mode: "one-to-one", upstream: stage.upstream });
        }),
    });
    const caller = stage.call();
    await settle();
    caller.stream.reset(cancel);
    await settle();
    decide();
    await settle();
    expect(stage.upstream.avoided).toEqual([]);
    expect(stage.records).toMatchObject([{ status: Code.Canceled }]);
    expect(stage.records[0]).not.toHaveProperty("endpoint");
  });

  it("is taken out of the queue for a connection", async () => {
    const { call, upstream, records } = await startStage();
    upstream.holds = true;
    const caller = call();
    await settle();
    expect(upstream.waiting.size).toBe(1);
    caller.stream.reset(cancel);
    await settle();
    expect(upstream.waiting.size).toBe(0);
    expect(records).toHaveLength(1);
  });

  it("by losing its connection resets all its calls", async () => {
    const { call, caller, upstream, records } = await startStage();
    for (let at = 0; at < 5; at++) call();
    await settle();
    caller.destroy();
    await settle();
    const streams = [...upstream.backends[0]!.owner.streams.values()];
    expect(streams.map(({ events }) => events.at(-1))).toEqual(streams.map(() => `reset ${cancel} peer`));
    expect(records.map(({ status }) => status)).toEqual(streams.map(() => Code.Canceled));
  });

  it("after its answer changes nothing", async () => {
    const { call, at, records } = await startStage();
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf([...grpcResponse, ...okTrailers]), true);
    await settle();
    caller.stream.reset(noError);
    await settle();
    expect(at(0).events.at(-1)).toBe("end");
    expect(records).toMatchObject([{ status: 0 }]);
  });
});

describe("an upstream that resets", () => {
  it.each([
    [0x7, 14], // tried again before, see relay-retry
    [cancel, 1],
    [enhanceYourCalm, 8],
    [inadequateSecurity, 7],
    [protocolError, 13],
    [noError, 13],
    [0xffff, 13],
  ])("with code %i is status %i for the caller (fault F3)", async (code, status) => {
    const { call, upstream } = await startStage();
    upstream.backends[0]!.owner.onStream = ({ stream }) => stream.reset(code);
    const caller = call(grpcRequest, true);
    await settle(40);
    expect(caller.events).toHaveLength(1);
    expect(caller.events[0]).toMatch(new RegExp(`grpc-status=${status} .* end$`));
  });

  it("after a part of its answer leaves that part with the caller, and a status that isn't 0 (fault B5)", async () => {
    const { call, at, records } = await startStage();
    const caller = call(grpcRequest, true);
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    send(at(0), "three messages");
    await settle();
    at(0).stream.reset(ErrorCode.internalError);
    await settle();
    expect(caller.bytes.toString()).toBe("three messages");
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=13 /);
    expect(records[0]!.detail).toContain("node-0:50051");
    expect(caller.events.join()).not.toContain("node-0");
  });
});

describe("an answer that isn't gRPC", () => {
  const answer =
    (pairs: Pairs, end: boolean) =>
    ({ stream }: StreamRecorder) =>
      stream.sendHeaders(fieldsOf(pairs), end);
  const html = ["content-type", "text/html"] as const;

  it.each<[what: string, onStream: (recorder: StreamRecorder) => void, status: number]>([
    ["HTTP 200 with another content type (B7)", answer([[":status", "200"], html], false), 2],
    ["HTTP 200 without a content type", answer([[":status", "200"]], false), 2],
    ["HTTP 400", answer([[":status", "400"], html], true), 13],
    ["HTTP 401", answer([[":status", "401"]], true), 16],
    ["HTTP 403", answer([[":status", "403"]], true), 7],
    ["HTTP 404", answer([[":status", "404"], html], false), 12],
    ["HTTP 429", answer([[":status", "429"]], true), 14],
    ["HTTP 502", answer([[":status", "502"], html], false), 14],
    ["HTTP 503", answer([[":status", "503"]], true), 14],
    ["HTTP 504", answer([[":status", "504"]], true), 14],
    ["HTTP 418", answer([[":status", "418"]], true), 2],
    ["HTTP 505", answer([[":status", "505"]], true), 12],
    ["headers alone, without a status (B5)", answer(grpcResponse, true), 13],
  ])("%s", async (_, onStream, status) => {
    const { call, upstream, records } = await startStage();
    upstream.backends[0]!.owner.onStream = onStream;
    const caller = call();
    await settle();
    expect(caller.events).toEqual([
      expect.stringMatching(new RegExp(`content-type=application/grpc grpc-status=${status} .* end$`)),
    ]);
    expect(records).toMatchObject([{ status }]);
    expect(upstream.backends[0]!.connection.streamCount).toBe(0);
  });

  it.each<[what: string, end: (recorder: StreamRecorder) => void]>([
    ["DATA with END_STREAM (B5)", (recorder) => send(recorder, " and the last", true)],
    ["trailers without a status", ({ stream }) => stream.sendHeaders(fieldsOf([["x-a", "b"]]), true)],
  ])("%s ends in internal, with all messages", async (_, end) => {
    const { call, at } = await startStage();
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    send(at(0), "messages");
    end(at(0));
    await settle();
    expect(caller.bytes.toString()).toMatch(/^messages/);
    expect(caller.events.at(-1)).toBe(
      "trailers grpc-status=13 grpc-message=upstream ended the stream without a status",
    );
  });
});

describe("a call that reaches nobody", () => {
  it("is what the upstream says, and the cause stays in the log (fault E1)", async () => {
    const { call, upstream, records } = await startStage();
    upstream.holds = true;
    const caller = call();
    await settle();
    upstream.fail(unavailable("connection failed", new Error("connect ECONNREFUSED 10.0.0.1:50051")));
    await settle();
    expect(caller.events[0]).toContain("grpc-status=14 grpc-message=upstream unavailable: connection failed");
    expect(caller.events[0]).not.toContain("10.0.0.1");
    expect(records).toMatchObject([{ status: Code.Unavailable, detail: expect.stringContaining("10.0.0.1:50051") }]);
  });
});

describe("refuse()", () => {
  it("ends a call in any phase once, with trailers where an answer has begun", async () => {
    const { call, at, front, records } = await startStage();
    const [silent, begun] = [call(), call()];
    await settle();
    at(0, 1).stream.sendHeaders(fieldsOf(grpcResponse), false);
    await settle();
    const error = new ConnectError("server is shutting down", Code.Unavailable);
    for (let round = 0; round < 2; round++) {
      for (const { listener } of front.streams.all())
        (listener as { refuse?(error: ConnectError): void }).refuse?.(error);
    }
    await settle();
    expect(silent.events).toEqual([expect.stringMatching(/^headers .*grpc-status=14 .* end$/)]);
    expect(begun.events.at(-1)).toMatch(/^trailers grpc-status=14/);
    expect(at(0, 0).events.at(-1)).toBe(`reset ${cancel} peer`);
    expect(records).toHaveLength(2);
  });
});
