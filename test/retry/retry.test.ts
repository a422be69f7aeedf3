import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Call } from "../../src/call.ts";
import { ErrorCode } from "../../src/http2/errors.ts";
import { type RetryPolicy, retryDelay } from "../../src/route/retry-policy.ts";
import { LimitError } from "../../src/wire/limit-error.ts";
import type { StreamRecorder } from "../http2/recorder.ts";
import {
  fieldsOf,
  grpcRequest,
  grpcResponse,
  requestWith,
  type Stage,
  type StageOptions,
  send,
  settle,
  startStage,
} from "../in-memory.ts";

async function retryStage(retry: RetryPolicy, options: StageOptions = {}): Promise<Stage> {
  const stage: Stage = await startStage({
    backends: 2,
    director: () => ({ mode: "one-to-one", upstream: stage.upstream, retry: { maxBackoffMs: 0, ...retry } }),
    ...options,
  });
  return stage;
}

function answer({ stream }: StreamRecorder, text = "reply", status = 0): void {
  stream.sendHeaders(fieldsOf(grpcResponse), false);
  const bytes = Buffer.from(text);
  stream.sendData(bytes, 0, bytes.length, false);
  stream.sendHeaders(fieldsOf([["grpc-status", String(status)]]), true);
}

function failWith({ stream }: StreamRecorder, status: number, ...more: [string, string][]): void {
  stream.sendHeaders(fieldsOf([...grpcResponse, ["grpc-status", String(status)], ...more]), true);
}

/** Lets timers of 0 ms run, too. */
async function pass(ms = 5): Promise<void> {
  await settle();
  await new Promise((resolve) => setTimeout(resolve, ms));
  await settle();
}

const unavailable: RetryPolicy = { on: [Code.Unavailable] };

describe("a call that may be tried again", () => {
  it("goes to another endpoint after a status of the policy, with the whole request", async () => {
    const { call, at, records } = await retryStage(unavailable);
    const caller = call();
    send(caller, "hello ");
    await settle();
    send(caller, "world", true);
    await settle();
    failWith(at(0), Code.Unavailable);
    await pass();
    expect(at(1).bytes.toString()).toBe("hello world");
    expect(at(1).events[0]).toContain("grpc-previous-rpc-attempts=1");
    expect(at(0).events[0]).not.toContain("grpc-previous-rpc-attempts");
    answer(at(1));
    await pass();
    expect(caller.bytes.toString()).toBe("reply");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
    expect(records).toMatchObject([{ status: 0, endpoint: "node-1, try 2" }]);
  });

  it("isn't after another status", async () => {
    const { call, at, upstream } = await retryStage(unavailable);
    const caller = call(grpcRequest, true);
    await settle();
    failWith(at(0), Code.NotFound, ["grpc-message", "no"]);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=5 grpc-message=no end")]);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
  });

  it("isn't once a part of the reply has come", async () => {
    const { call, at, upstream } = await retryStage(unavailable);
    const caller = call(grpcRequest, true);
    await settle();
    answer(at(0), "part", Code.Unavailable);
    await pass();
    expect(caller.bytes.toString()).toBe("part");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=14");
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
  });

  it("is after a reply that was held back, if it ends so", async () => {
    const { call, at } = await retryStage({ ...unavailable, holdReplyBytes: 100 });
    const caller = call(grpcRequest, true);
    await settle();
    answer(at(0), "part", Code.Unavailable);
    await pass();
    answer(at(1), "whole");
    await pass();
    expect(caller.bytes.toString()).toBe("whole");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("isn't after a reply that is longer than what is held back", async () => {
    const { call, at, upstream } = await retryStage({ ...unavailable, holdReplyBytes: 100 });
    const caller = call(grpcRequest, true);
    await settle();
    answer(at(0), "x".repeat(101), Code.Unavailable);
    await pass();
    expect(caller.bytes.length).toBe(101);
    expect(caller.events.at(-1)).toBe("trailers grpc-status=14");
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
  });

  it("may hold back more of a reply than a stream's window has", async () => {
    const { call, at } = await retryStage({ ...unavailable, holdReplyBytes: 4 << 20 });
    const caller = call(grpcRequest, true);
    await settle();
    const big = Buffer.alloc(1 << 20, 1);
    const reply = ({ stream }: StreamRecorder, status: string) => {
      stream.sendHeaders(fieldsOf(grpcResponse), false);
      stream.sendData(big, 0, big.length, false);
      stream.sendHeaders(fieldsOf([["grpc-status", status]]), true);
    };
    reply(at(0), "14");
    await settle(300);
    await pass();
    expect(caller.events).toEqual([]);
    reply(at(1), "0");
    await settle(600);
    expect(caller.bytes.equals(big)).toBe(true);
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("isn't when its request, that came before there was a try, is longer than what is kept", async () => {
    const { call, at, upstream } = await retryStage(
      { ...unavailable, keepRequestBytes: 10 },
      { authorize: () => new Promise((resolve) => setTimeout(() => resolve(undefined), 20)) },
    );
    const caller = call();
    send(caller, "hello world", true);
    await pass(40);
    expect(at(0).bytes.toString()).toBe("hello world");
    failWith(at(0), Code.Unavailable);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=14")]);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
  });

  it("isn't when its request is longer than what is kept", async () => {
    const { call, at, upstream } = await retryStage({ ...unavailable, keepRequestBytes: 10 });
    const caller = call();
    send(caller, "hello ");
    await settle();
    send(caller, "world", true);
    await settle();
    failWith(at(0), Code.Unavailable);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=14")]);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
  });

  it("is as often as the policy says, and then has the last answer", async () => {
    const { call, at } = await retryStage({ ...unavailable, attempts: 2 });
    const caller = call(grpcRequest, true);
    await settle();
    failWith(at(0), 14, ["grpc-message", "first"]);
    await pass();
    failWith(at(1), 14, ["grpc-message", "second"]);
    await pass();
    failWith(at(0, 1), 14, ["grpc-message", "third"]);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=14 grpc-message=third end")]);
  });

  it("isn't when the upstream doesn't want it, and later when it wants that", async () => {
    const { call, at, upstream } = await retryStage(unavailable);
    const caller = call(grpcRequest, true);
    await settle();
    failWith(at(0), 14, ["grpc-retry-pushback-ms", "-1"]);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=14")]);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    const other = call(grpcRequest, true);
    await settle();
    failWith(at(1), 14, ["grpc-retry-pushback-ms", "60"]);
    await pass(20);
    expect(upstream.backends[0]!.owner.streams.size).toBe(1);
    await pass(80);
    answer(at(0, 1));
    await pass();
    expect(other.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("is after a try that took too long, which is cancelled", async () => {
    const { call, at, upstream } = await retryStage({ perTryTimeoutMs: 200 });
    const caller = call(grpcRequest, true);
    while (upstream.backends[1]!.owner.streams.size === 0) await pass();
    expect(at(0).events.at(-1)).toBe("reset 8 peer");
    answer(at(1));
    await pass();
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("has the time that is left of its own in every try", async () => {
    const { call, at } = await retryStage(unavailable);
    call(requestWith(["grpc-timeout", "10S"]), true);
    await settle();
    expect(at(0).events[0]).toContain("grpc-timeout=10S");
    await pass(300);
    failWith(at(0), 14);
    await pass();
    const [, leftUs] = /grpc-timeout=(\d+)u/.exec(at(1).events[0]!) ?? [];
    expect(Number(leftUs)).toBeGreaterThan(5_000_000);
    expect(Number(leftUs)).toBeLessThanOrEqual(9_700_000);
  });

  it("is balanced by the headers that it came with, also those that don't pass", async () => {
    const rewrite = { removeHeaders: ["x-user"] };
    const stage: Stage = await retryStage(unavailable, {
      director: () => ({ mode: "one-to-one", upstream: stage.upstream, rewrite, retry: unavailable }),
    });
    const acquire = vi.spyOn(stage.upstream, "acquire");
    stage.call(requestWith(["x-user", "ada"]), true);
    await settle();
    expect(stage.at(0).events[0]).not.toContain("x-user");
    expect((acquire.mock.calls[0]![0] as Call).header("x-user")).toBe("ada");
  });

  it("that reaches nobody tells the log why", async () => {
    const { call, upstream, records } = await retryStage({ attempts: 1 });
    upstream.holds = true;
    call(grpcRequest, true);
    await settle();
    const why = new LimitError("requests", 'limit requests of upstream "users" is reached: 1');
    const error = () => new ConnectError("too many calls", Code.Unavailable, undefined, undefined, why);
    for (let tries = 0; tries < 2; tries++) {
      upstream.fail(error());
      await pass();
    }
    expect(records).toMatchObject([{ status: Code.Unavailable, limit: "requests", detail: why.message }]);
  });

  it("is after a try that no server worked for, without being told so", async () => {
    const { call, at } = await retryStage({});
    const caller = call(grpcRequest, true);
    await settle();
    for (let refused = 0; refused < 3; refused++) {
      at(refused % 2, refused >> 1).stream.reset(ErrorCode.refusedStream);
      await settle();
    }
    await pass();
    answer(at(1, 1));
    await pass();
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("ends all when the caller cancels, also between two tries", async () => {
    const { call, at, upstream, records } = await retryStage({ ...unavailable, maxBackoffMs: 250, attempts: 9 });
    const caller = call(grpcRequest, true);
    await settle();
    failWith(at(0), 14, ["grpc-retry-pushback-ms", "50"]);
    await settle();
    caller.stream.reset(ErrorCode.cancel);
    await pass(100);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    expect(records).toMatchObject([{ status: Code.Canceled }]);
    expect(upstream.stats.retries).toBe(0);
  });

  it("streams both ways, with credit, once its reply has begun", async () => {
    const { call, at } = await retryStage(unavailable);
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    const big = Buffer.alloc(1 << 20, 1);
    send(caller, big, true);
    await settle(300);
    expect(at(0).bytes.equals(big)).toBe(true);
    at(0).stream.sendData(big, 0, big.length, false);
    at(0).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    await settle(300);
    expect(caller.bytes.equals(big)).toBe(true);
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });
});

describe("a hedged call", () => {
  const hedged: RetryPolicy = { ...unavailable, hedgeDelayMs: 20 };

  it("has the reply of whoever is first, and cancels the other", async () => {
    const { call, at } = await retryStage(hedged);
    const caller = call(grpcRequest, true);
    await pass(60);
    answer(at(1), "second");
    await pass();
    expect(caller.bytes.toString()).toBe("second");
    expect(at(0).events.at(-1)).toBe("reset 8 peer");
  });

  it("waits for the other when one fails", async () => {
    const { call, at } = await retryStage(hedged);
    const caller = call(grpcRequest, true);
    await pass(60);
    failWith(at(1), 14);
    await pass();
    expect(caller.events).toEqual([]);
    answer(at(0), "first");
    await pass();
    expect(caller.bytes.toString()).toBe("first");
  });

  it("takes an answer that another wouldn't better", async () => {
    const { call, at } = await retryStage(hedged);
    const caller = call(grpcRequest, true);
    await pass(60);
    failWith(at(1), Code.NotFound);
    await pass();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=5")]);
    expect(at(0).events.at(-1)).toBe("reset 8 peer");
  });
});

describe("the limit", () => {
  beforeEach(() => void vi.spyOn(Math, "random").mockReturnValue(0));
  afterEach(() => vi.restoreAllMocks());

  it("lets a fifth of the calls be tried again, and always three", async () => {
    const { call, at, upstream } = await retryStage(unavailable, { backends: 1 });
    const callers = Array.from({ length: 10 }, () => call(grpcRequest, true));
    await settle();
    for (let i = 0; i < 10; i++) failWith(at(0, i), 14);
    await pass();
    expect(upstream.backends[0]!.owner.streams.size).toBe(13);
    expect(callers.filter(({ events }) => events.length > 0).length).toBe(7);
    for (let i = 10; i < 13; i++) answer(at(0, i));
    await pass();
    expect(upstream.stats).toMatchObject({ retries: 0, rejected: { retries: 7 } });
  });

  it("doesn't count a retry any more whose reply has begun: a stream may last for hours", async () => {
    const { call, at, upstream } = await retryStage(unavailable);
    const caller = call(grpcRequest, true);
    await settle();
    failWith(at(0), 14);
    await pass();
    expect(upstream.stats.retries).toBe(1);
    at(1).stream.sendHeaders(fieldsOf(grpcResponse), false);
    await settle();
    expect(upstream.stats.retries).toBe(0);
    caller.stream.reset(ErrorCode.cancel);
    await settle();
    expect(upstream.stats.retries).toBe(0);
  });
});

describe("retryDelay()", () => {
  it.each([
    [1, 0.999, 25],
    [2, 0.999, 75],
    [3, 0.999, 175],
    [4, 0.999, 250],
    [20, 0.5, 125],
    [1, 0, 0],
  ])("of try %i with %d is at most %i ms", (again, random, most) => {
    const delay = retryDelay(again, random, 250);
    expect(delay).toBeLessThanOrEqual(most);
    expect(delay).toBeGreaterThanOrEqual(most * random * 0.99 - 0.01);
  });
});
