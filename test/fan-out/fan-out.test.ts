import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it, vi } from "vitest";
import { wrap } from "../../src/layout/wrap.ts";
import type { OneToMany } from "../../src/route/director.ts";
import { EnvelopeReader, envelope, Handling } from "../../src/wire/envelope.ts";
import type { StreamRecorder } from "../http2/recorder.ts";
import { fieldsOf, grpcRequest, grpcResponse, type Stage, send, settle, startStage } from "../in-memory.ts";
import { read, wrapped } from "../layout/messages.ts";

const [Reply, Leg, FanOut] = [wrapped("Reply"), wrapped("Leg"), wrapped("FanOut")];

const reply = (value: string): Buffer =>
  Buffer.from(envelope(0, toBinary(Reply, create(Reply, { value } as Record<string, unknown>))));

/** The messages of a gRPC body. */
function messagesIn(body: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const reader = new EnvelopeReader({
    handlingOf: () => Handling.gather,
    onMessage: (_flags, payload) => void messages.push(payload),
  });
  reader.push(body, 0, body.length);
  expect(reader.atBoundary).toBe(true);
  return messages;
}

/** "node-0=value", "node-1!14 message": an entry of a reply. */
// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
function entry({ info, reply: answer }: any): string {
  if (info.status === undefined) return `${info.backend}=${answer.value}`;
  return `${info.backend}!${info.status.code} ${info.status.message}`;
}

/** What the caller has got: entries of its messages, one list for each message. */
function entriesOf(caller: StreamRecorder, stream = false): string[][] {
  return messagesIn(caller.bytes).map((bytes) =>
    // biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
    stream ? [entry(read(Leg, bytes))] : (read(FanOut, bytes) as any).legs.map(entry),
  );
}

interface FanOutStage extends Stage {
  /** The stream of the first call at a backend. */
  leg(backend: number): StreamRecorder;
}

async function fanOutStage(options: Partial<OneToMany> = {}, backends = 3): Promise<FanOutStage> {
  const stage: Stage = await startStage({
    backends,
    director: () => ({
      mode: "one-to-many",
      endpoints: stage.upstream.endpoints,
      layout: wrap,
      kind: "unary",
      ...options,
    }),
  });
  return { ...stage, leg: (backend) => stage.at(backend) };
}

function answer({ stream }: StreamRecorder, value: string, status = 0): void {
  stream.sendHeaders(fieldsOf([...grpcResponse, ["x-head", value]]), false);
  const bytes = reply(value);
  stream.sendData(bytes, 0, bytes.length, false);
  stream.sendHeaders(
    fieldsOf([
      ["grpc-status", String(status)],
      ["x-trailer", value],
    ]),
    true,
  );
}

function failWith({ stream }: StreamRecorder, status: number, message = "no"): void {
  const trailers = [
    ["grpc-status", String(status)],
    ["grpc-message", message],
  ] as const;
  stream.sendHeaders(fieldsOf([...grpcResponse, ...trailers]), true);
}

const request = envelope(0, Buffer.from("hello"));
afterEach(() => vi.useRealTimers());

describe("a unary fan-out", () => {
  it("sends the request to all, and gathers their replies in the order of the endpoints", async () => {
    const { call, leg, records } = await fanOutStage();
    const caller = call();
    send(caller, Buffer.from(request), true);
    await settle();
    for (const at of [0, 1, 2]) expect(leg(at).bytes).toEqual(Buffer.from(request));
    for (const at of [2, 0, 1]) answer(leg(at), `of ${at}`);
    await settle();
    expect(entriesOf(caller)).toEqual([["node-0=of 0", "node-1=of 1", "node-2=of 2"]]);
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0 x-trailer=of 0 x-trailer=of 1 x-trailer=of 2$/);
    expect(caller.events[0]).toMatch(/manifold-fan-out=wrap x-head=of 0 x-head=of 1 x-head=of 2$/);
    expect(records).toMatchObject([{ status: 0, endpoint: "3 endpoints", requestBytes: request.length }]);
  });

  it("tells the legs neither of the caller's compression nor of anything but one hop", async () => {
    const { call, leg } = await fanOutStage();
    call([...grpcRequest, ["grpc-accept-encoding", "gzip"], ["manifold-hops", "a-1.b"], ["x-own", "1"]], true);
    await settle();
    expect(leg(0).events[0]).not.toContain("grpc-accept-encoding");
    expect(leg(0).events[0]).toMatch(/x-own=1 .*manifold-hops=a-1\.b, \w+-1-\w+( |$)/);
    expect(leg(0).events[0]?.match(/manifold-hops/g)).toHaveLength(1);
  });

  it("tells each leg the time that is left when it begins", async () => {
    const { call, leg } = await fanOutStage({ gather: { maxConcurrent: 2 } });
    call([...grpcRequest, ["grpc-timeout", "5S"]], true);
    await settle();
    const timeouts = () => [0, 1].map((at) => /grpc-timeout=(\w+)/.exec(leg(at).events[0]!)?.[1]);
    expect(timeouts()).toEqual(["5S", "5S"]);
    await new Promise((resolve) => setTimeout(resolve, 30));
    answer(leg(0), "soon");
    await settle();
    expect(/grpc-timeout=(\w+)/.exec(leg(2).events[0]!)?.[1]).toMatch(/^49\d\d\d\d\du$|^49\d\dm$/);
  });

  it("has an entry for a leg that failed, for one without a reply and for one with two", async () => {
    const { call, leg, records } = await fanOutStage();
    const caller = call(grpcRequest, true);
    await settle();
    failWith(leg(0), 5, "no such node");
    leg(1).stream.sendHeaders(fieldsOf(grpcResponse), false);
    leg(1).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    leg(2).stream.sendHeaders(fieldsOf(grpcResponse), false);
    send(leg(2), Buffer.concat([reply("a"), reply("b")]));
    await settle();
    expect(entriesOf(caller)).toEqual([
      ["node-0!5 no such node", "node-1!12 no reply to a unary call", "node-2!12 more than one reply to a unary call"],
    ]);
    expect(records[0]?.endpoint).toBe("3 endpoints, 3 failed");
    expect(leg(2).events.at(-1)).toMatch(/^reset 8 /);
  });

  it("takes an error after a reply for an error", async () => {
    const { call, leg } = await fanOutStage({}, 1);
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(0), "half", 13);
    await settle();
    expect(entriesOf(caller)).toEqual([["node-0!13 "]]);
  });

  it("fails as the first leg that does, if it is to", async () => {
    const { call, leg } = await fanOutStage({ gather: { fail: "call" } });
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(0), "fine");
    failWith(leg(1), 7, "not you");
    await settle();
    expect(caller.events).toEqual([expect.stringMatching(/^headers .*grpc-status=7 grpc-message=not you end$/)]);
    expect(leg(2).events.at(-1)).toMatch(/^reset 8 /);
  });

  it.each([
    ["first", 1],
    [{ quorum: 2 }, 2],
  ] as const)("waits for %j, and cancels the others", async (wait, enough) => {
    const { call, leg } = await fanOutStage({ gather: { wait } });
    const caller = call(grpcRequest, true);
    await settle();
    for (let at = 0; at < enough; at++) answer(leg(at), `of ${at}`);
    await settle();
    const canceled = "!1 not waited for: enough others have answered";
    const expected = [0, 1, 2].map((at) => (at < enough ? `node-${at}=of ${at}` : `node-${at}${canceled}`));
    expect(entriesOf(caller)).toEqual([expected]);
    expect(leg(2).events.at(-1)).toMatch(/^reset 8 /);
  });

  it("gives up when there can't be enough successes any more", async () => {
    const { call, leg } = await fanOutStage({ gather: { wait: { quorum: 2 } } });
    const caller = call(grpcRequest, true);
    await settle();
    failWith(leg(0), 14);
    failWith(leg(1), 14);
    await settle();
    expect(caller.events[0]).toContain("grpc-status=14 grpc-message=0 of 3 answered, 2 are needed");
    expect(leg(2).events.at(-1)).toMatch(/^reset 8 /);
  });

  it("begins no more legs at once than it may, and gives each the whole request", async () => {
    const { call, leg, upstream } = await fanOutStage({ gather: { maxConcurrent: 2, order: "arrival" } });
    const caller = call();
    send(caller, Buffer.from(request), true);
    await settle();
    expect(upstream.backends[2]!.owner.streams.size).toBe(0);
    answer(leg(1), "of 1");
    await settle();
    expect(leg(2).bytes).toEqual(Buffer.from(request));
    answer(leg(2), "of 2");
    answer(leg(0), "of 0");
    await settle();
    expect(entriesOf(caller)).toEqual([["node-1=of 1", "node-2=of 2", "node-0=of 0"]]);
  });

  it("holds nothing for a leg that fails behind its reply", async () => {
    const { call, leg } = await fanOutStage({ gather: { maxMessageBytes: 1_000, maxTotalBytes: 1_500 } }, 2);
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(0), "x".repeat(900), 13);
    await settle();
    answer(leg(1), "y".repeat(900));
    await settle();
    expect(entriesOf(caller)).toEqual([["node-0!13 ", `node-1=${"y".repeat(900)}`]]);
  });

  it("doesn't blame a leg for what came before it began", async () => {
    const gather = { maxConcurrent: 1, onSlow: "drop_leg" } as const;
    const { call, leg } = await fanOutStage({ gather }, 2);
    const caller = call();
    await settle();
    const big = Buffer.alloc(400 << 10);
    send(caller, big);
    await settle(500);
    answer(leg(0), "a");
    await settle(500);
    send(caller, "end", true);
    await settle(500);
    expect(leg(1).bytes.length).toBe(big.length + 3);
    answer(leg(1), "b");
    await settle();
    expect(entriesOf(caller)).toEqual([["node-0=a", "node-1=b"]]);
  });

  it("cancels all legs when its caller cancels", async () => {
    const { call, leg, records } = await fanOutStage();
    const caller = call();
    await settle();
    caller.stream.reset(8);
    await settle();
    for (const at of [0, 1, 2]) expect(leg(at).events.at(-1)).toBe("reset 8 peer");
    expect(records).toMatchObject([{ status: Code.Canceled }]);
  });

  it("refuses without endpoints, after too many hops, and for messages that aren't protobuf", async () => {
    const none = await fanOutStage({ endpoints: [] });
    const { call } = await fanOutStage();
    const callers = [
      none.call(grpcRequest, true),
      call([...grpcRequest, ["manifold-hops", "a,b,c,d,e,f,g,h"]], true),
      call([...grpcRequest.slice(0, 4), ["content-type", "application/grpc+thrift"]], true),
    ];
    await settle();
    expect(callers.map(({ events }) => events[0])).toEqual([
      expect.stringContaining("grpc-status=14 grpc-message=no endpoint to fan out to"),
      expect.stringContaining("grpc-status=9 grpc-message=call has gone through 8 fan-outs"),
      expect.stringContaining('grpc-status=12 grpc-message=replies in codec "thrift"'),
    ]);
  });

  it("fails where the kind of the method can't be had, for the reply would have the wrong form", async () => {
    const unavailable = new ConnectError("schema can't be had", Code.Unavailable);
    const options: Partial<OneToMany> = {};
    const { call, upstream } = await fanOutStage(options);
    Object.assign(upstream, { schema: { method: () => Promise.reject(unavailable) } });
    Object.assign(options, { kind: undefined });
    const caller = call(grpcRequest, true);
    await settle();
    expect(caller.events).toEqual([expect.stringContaining("grpc-status=14 grpc-message=schema can't be had")]);
    expect(upstream.backends.map(({ owner }) => owner.streams.size)).toEqual([0, 0, 0]);
  });

  it("gives a leg its own metadata, and makes an entry of what that throws", async () => {
    const { call, leg, upstream } = await fanOutStage({
      outgoing({ name }) {
        if (name === "node-1") throw new ConnectError("no token for it", Code.Unauthenticated);
        return [["x-node", name]];
      },
    });
    const caller = call(grpcRequest, true);
    await settle();
    expect(leg(2).events[0]).toContain("x-node=node-2");
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    answer(leg(0), "a");
    answer(leg(2), "c");
    await settle();
    expect(entriesOf(caller)).toEqual([["node-0=a", "node-1!16 no token for it", "node-2=c"]]);
  });

  it("passes replies that are joined already, and says so of its own", async () => {
    const { call, leg } = await fanOutStage({}, 2);
    const caller = call(grpcRequest, true);
    await settle();
    const inner = wrap.annotate({ backend: "leaf", elapsedMs: 1 }, reply("deep").subarray(5), false);
    leg(0).stream.sendHeaders(fieldsOf([...grpcResponse, ["manifold-fan-out", "wrap"]]), false);
    send(leg(0), Buffer.from(envelope(0, inner)));
    leg(0).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    answer(leg(1), "flat");
    await settle();
    expect(entriesOf(caller)).toEqual([["leaf=deep", "node-1=flat"]]);
  });

  it("holds no more of replies than it may", async () => {
    const { call, leg } = await fanOutStage({ gather: { maxMessageBytes: 100, maxTotalBytes: 130 } });
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(0), "x".repeat(101));
    answer(leg(1), "y".repeat(60));
    await settle();
    answer(leg(2), "z".repeat(60));
    await settle();
    const [[first, second, third] = []] = entriesOf(caller);
    expect(first).toMatch(/^node-0!8 reply of 103 bytes, at most 100 may come/);
    expect(second).toMatch(/^node-1=y+$/);
    expect(third).toMatch(/^node-2!8 reply of \d+ bytes, at most \d+ may come/);
  });
});

describe("a progressive fan-out", () => {
  it("tells each leg's reply when it has ended, as a reply of its own", async () => {
    const { call, leg } = await fanOutStage({ kind: "progressive" });
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(1), "quick");
    await settle();
    expect(entriesOf(caller)).toEqual([["node-1=quick"]]);
    failWith(leg(2), 14, "dead");
    answer(leg(0), "late", 13);
    await settle();
    expect(entriesOf(caller)).toEqual([["node-1=quick"], ["node-2!14 dead"], ["node-0!13 "]]);
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0/);
  });

  it("has an entry for each leg that isn't waited for", async () => {
    const { call, leg } = await fanOutStage({ kind: "progressive", gather: { wait: "first" } });
    const caller = call(grpcRequest, true);
    await settle();
    answer(leg(1), "quick");
    await settle();
    const canceled = "!1 not waited for: enough others have answered";
    expect(entriesOf(caller)).toEqual([["node-1=quick"], [`node-0${canceled}`], [`node-2${canceled}`]]);
    expect(leg(2).events.at(-1)).toMatch(/^reset 8 /);
  });
});

describe("a fan-out of streams", () => {
  it("interleaves, tags and keeps the order within a leg; a leg that fails is one entry", async () => {
    const { call, leg } = await fanOutStage({ kind: "stream" });
    const caller = call();
    await settle();
    send(caller, Buffer.from(request));
    await settle();
    for (const at of [0, 1, 2]) {
      expect(leg(at).bytes).toEqual(Buffer.from(request));
      leg(at).stream.sendHeaders(fieldsOf(grpcResponse), false);
    }
    send(leg(0), Buffer.concat([reply("a1"), reply("a2")]));
    await settle();
    send(leg(1), reply("b1"));
    await settle();
    leg(2).stream.sendHeaders(fieldsOf([["grpc-status", "9"]]), true);
    await settle();
    send(leg(0), reply("a3"));
    send(caller, Buffer.from(request), true);
    await settle();
    expect(leg(0).bytes.length).toBe(2 * request.length);
    for (const at of [0, 1]) leg(at).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    await settle();
    expect(entriesOf(caller, true).flat()).toEqual(["node-0=a1", "node-0=a2", "node-1=b1", "node-2!9 ", "node-0=a3"]);
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0/);
  });

  it("gives the caller credit for what the slowest leg has taken", async () => {
    const { call, leg } = await fanOutStage({ kind: "stream" }, 2);
    const caller = call();
    await settle();
    leg(1).consumes = false;
    const big = Buffer.alloc(1 << 20);
    send(caller, big);
    await settle(60);
    const first = leg(0).bytes.length;
    expect(first).toBeLessThan(big.length);
    leg(1).consumes = true;
    leg(1).stream.consume(leg(1).bytes.length);
    await settle(200);
    expect(leg(0).bytes.length).toBe(big.length);
    expect(leg(1).bytes.length).toBe(big.length);
  });

  it("drops the leg that falls behind, if it is to", async () => {
    const { call, leg } = await fanOutStage({ kind: "stream", gather: { onSlow: "drop_leg" } }, 2);
    const caller = call();
    await settle();
    leg(1).consumes = false;
    const big = Buffer.alloc(2 << 20);
    send(caller, big);
    await settle(2_000);
    expect(leg(0).bytes.length).toBe(big.length);
    expect(entriesOf(caller, true)).toEqual([[expect.stringMatching(/^node-1!8 more than 262144 bytes behind/)]]);
    expect(leg(1).events.at(-1)).toMatch(/^reset 8 /);
  });

  it("holds no more than it may in all, while its caller takes nothing, and drops no leg for it", async () => {
    const legs = 6;
    const { call, leg } = await fanOutStage({ kind: "stream", gather: { maxTotalBytes: 2 << 20 } }, legs);
    const caller = call(grpcRequest, true);
    caller.consumes = false;
    await settle();
    const value = "x".repeat(1 << 20);
    for (let at = 0; at < legs; at++) {
      leg(at).stream.sendHeaders(fieldsOf(grpcResponse), false);
      send(leg(at), Buffer.concat([reply(value), reply("last")]));
      leg(at).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    }
    await settle(1_000);
    const sent = () => Array.from({ length: legs }, (_, at) => leg(at).sent).reduce((sum, each) => sum + each, 0);
    expect(sent()).toBeGreaterThan(2 << 20);
    expect(sent()).toBeLessThan((2 << 20) + legs * (128 << 10));
    caller.consumes = true;
    caller.stream.consume(caller.bytes.length);
    await settle(2_000);
    const entries = entriesOf(caller, true).flat();
    const expected = Array.from({ length: legs }, (_, at) => [`node-${at}=${value}`, `node-${at}=last`]);
    for (const [at, own] of expected.entries()) {
      expect(entries.filter((text) => text.startsWith(`node-${at}`)).map(({ length }) => length)).toEqual(
        own.map(({ length }) => length),
      );
    }
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0/);
  });

  it("lets short messages pass long ones that are stalled, which have all the room there is", async () => {
    const { call, leg } = await fanOutStage({ kind: "stream", gather: { maxTotalBytes: 100_000 } }, 3);
    const caller = call(grpcRequest, true);
    await settle();
    for (const at of [0, 1, 2]) leg(at).stream.sendHeaders(fieldsOf(grpcResponse), false);
    const long = reply("x".repeat(60_000));
    send(leg(0), long.subarray(0, 10));
    await settle();
    send(leg(1), Buffer.concat([long, reply("after")]));
    send(leg(2), reply("short"));
    await settle();
    expect(entriesOf(caller, true)).toEqual([["node-2=short"]]);
    leg(0).stream.reset(2);
    await settle();
    for (const at of [1, 2]) leg(at).stream.sendHeaders(fieldsOf([["grpc-status", "0"]]), true);
    await settle(100);
    const entries = entriesOf(caller, true).flat();
    expect(entries.map((text) => text.slice(0, 12))).toEqual([
      "node-2=short",
      "node-0!13 up",
      "node-1=xxxxx",
      "node-1=after",
    ]);
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0/);
  });

  it("holds back the legs when its caller takes nothing", async () => {
    const { call, leg } = await fanOutStage({ kind: "stream" }, 2);
    const caller = call(grpcRequest, true);
    caller.consumes = false;
    await settle();
    for (const at of [0, 1]) {
      leg(at).stream.sendHeaders(fieldsOf(grpcResponse), false);
      for (let i = 0; i < 200; i++) send(leg(at), reply("x".repeat(10_000)));
    }
    await settle(200);
    expect(leg(0).sent).toBeLessThan(700_000);
    const came = caller.bytes.length;
    expect(came).toBeLessThan(300_000);
    caller.consumes = true;
    caller.stream.consume(came);
    await settle(2_000);
    expect(entriesOf(caller, true).length).toBe(400);
  });
});
