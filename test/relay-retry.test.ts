import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { unavailable } from "../src/upstream/waiter.ts";
import { ask, dataFrame, Flag, FrameType, headersFrame } from "./http2/raw-peer.ts";
import type { StreamRecorder } from "./http2/recorder.ts";
import {
  answerWith,
  fieldsOf,
  grpcRequest,
  grpcResponse,
  okTrailers,
  requestWith,
  send,
  settle,
  startRawStage,
  startStage,
} from "./in-memory.ts";

const { refusedStream, cancel, internalError } = ErrorCode;
const refuse = ({ stream }: StreamRecorder) => stream.reset(refusedStream);

/** A stage of two backends of which the first refuses every stream as it comes. */
async function startRefusing() {
  const stage = await startStage({ backends: 2 });
  stage.upstream.backends[0]!.owner.onStream = refuse;
  return stage;
}

describe("a stream that the upstream refuses", () => {
  it("is tried at another endpoint, with the same headers and body", async () => {
    const { upstream, call, at, records } = await startRefusing();
    upstream.backends[1]!.owner.onStream = answerWith(okTrailers);
    const caller = call(requestWith(["x-a", "1"], ["x-a", "2"]));
    send(caller, "the message", true);
    await settle(30);
    expect(upstream.avoided).toEqual([undefined, "node-0"]);
    expect(at(1).events).toEqual([at(0).events[0], "end"]);
    expect(at(1).bytes.toString()).toBe("the message");
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
    expect(records).toMatchObject([{ status: 0, endpoint: "node-1", requestBytes: 11 }]);
  });

  it("is tried again with what of its body came later, and its trailers", async () => {
    const { call, at, upstream } = await startStage({ backends: 2 });
    const caller = call();
    send(caller, "one ");
    await settle();
    send(caller, "two ");
    await settle();
    at(0).stream.reset(refusedStream);
    send(caller, "three ");
    caller.stream.sendHeaders(fieldsOf([["x-trailer", "a"]]), true);
    await settle();
    expect(at(1).bytes.toString()).toBe("one two three ");
    expect(at(1).events.at(-1)).toBe("trailers x-trailer=a");
    upstream.backends[1]!.owner.streams.clear();
  });

  it("is tried again once a connection is there, with what came while it waited", async () => {
    const { call, at, upstream } = await startStage({ backends: 2 });
    const caller = call();
    send(caller, "one ");
    await settle();
    upstream.holds = true;
    at(0).stream.reset(refusedStream);
    await settle();
    send(caller, "two", true);
    await settle();
    expect(upstream.waiting.size).toBe(1);
    upstream.release();
    await settle();
    expect(at(1).bytes.toString()).toBe("one two");
    expect(at(1).events.at(-1)).toBe("end");
  });

  it("is tried again with the right bytes while those of the first try are still on their way", async () => {
    const { peer, upstream } = await startRawStage({ backends: 2 });
    await peer.send(headersFrame(1, grpcRequest), headersFrame(3, grpcRequest));
    const [first, second] = upstream.backends;
    const stream = first!.owner.streams.get(1)!;
    first!.socket.peer.stalled = true; // which checks that nobody changes what it was given
    const parts = Array.from({ length: 6 }, (_, at) => Buffer.alloc(5_000 + at, `part ${at}, `));
    await peer.send(...parts.flatMap((part) => [dataFrame(1, part), dataFrame(3, part)]));
    stream.stream.reset(refusedStream);
    await settle();
    await peer.send(dataFrame(1, "last", Flag.endStream));
    first!.socket.peer.release();
    await settle();
    const sent = Buffer.concat(parts);
    const [other, again] = [...second!.owner.streams.values()];
    expect(other!.bytes.equals(sent)).toBe(true);
    expect(again!.bytes.equals(Buffer.concat([sent, Buffer.from("last")]))).toBe(true);
    expect(again!.events.at(-1)).toBe("end");
  });

  it("without a body is tried again without one", async () => {
    const { call, at } = await startRefusing();
    call(grpcRequest, true);
    await settle(30);
    expect(at(1).events).toEqual([expect.stringMatching(/ end$/)]);
  });

  it("is tried three times in all, and then unavailable", async () => {
    const { upstream, call, records } = await startStage({ backends: 2 });
    for (const { owner } of upstream.backends) owner.onStream = refuse;
    const caller = call(grpcRequest, true);
    await settle(60);
    expect(upstream.backends.map(({ owner }) => owner.streams.size)).toEqual([2, 1]);
    expect(caller.events).toEqual([
      "headers :status=200 content-type=application/grpc grpc-status=14 grpc-message=upstream refused the stream end",
    ]);
    expect(records).toMatchObject([{ status: Code.Unavailable, detail: expect.stringContaining("node-0") }]);
  });

  it("is unavailable if no other endpoint is there", async () => {
    const { upstream, call, at } = await startStage();
    const caller = call();
    await settle();
    upstream.holds = true;
    at(0).stream.reset(refusedStream);
    await settle();
    upstream.fail(unavailable("connection failed", new Error("connect 10.0.0.1:1")));
    await settle();
    expect(caller.events[0]).toContain("grpc-status=14 grpc-message=upstream unavailable: connection failed");
    expect(caller.events[0]).not.toContain("10.0.0.1");
  });

  it("isn't tried again once it has answered", async () => {
    const { call, at, upstream, records } = await startStage({ backends: 2 });
    const caller = call(grpcRequest, true);
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    at(0).stream.reset(refusedStream);
    await settle(30);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=14/);
    expect(records).toHaveLength(1);
  });

  it("isn't tried again after 64 KiB of its body", async () => {
    const { call, at, upstream } = await startStage({ backends: 2 });
    const caller = call();
    send(caller, Buffer.alloc(70_000));
    await settle(40);
    expect(at(0).bytes.length).toBe(70_000);
    at(0).stream.reset(refusedStream);
    await settle(30);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    expect(caller.events.at(-1)).toMatch(/grpc-status=14/);
  });

  it("is tried again above GOAWAY's last id, and never on the connection that goes away (fault E4)", async () => {
    const { call, at, upstream, records } = await startStage({ backends: 2 });
    upstream.backends[1]!.owner.onStream = answerWith(okTrailers);
    const callers = [call(grpcRequest, true)];
    await settle();
    const { server, connection } = upstream.backends[0]!;
    server.acceptUpTo = 0;
    server.sender.goaway(0, 0, "");
    server.sender.output.flush();
    await settle(30);
    expect(connection.room).toBe(0);
    expect(callers.map(({ events }) => events.at(-1))).toEqual(["trailers grpc-status=0"]);
    expect(at(1).events).toHaveLength(1);
    expect(records).toMatchObject([{ status: 0, endpoint: "node-1" }]);
  });

  it.each([
    ["a reset with another code", ({ stream }: StreamRecorder) => stream.reset(cancel), "grpc-status=1 "],
    [
      "a malformed answer",
      ({ stream }: StreamRecorder) => stream.sendHeaders(fieldsOf([["x-a", "b"]]), true),
      "grpc-status=13 ",
    ],
  ])("isn't what %s is: that isn't safe to try again (fault F5)", async (_, onStream, status) => {
    const { upstream, call } = await startStage({ backends: 2 });
    upstream.backends[0]!.owner.onStream = onStream;
    const caller = call(grpcRequest, true);
    await settle(30);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    expect(caller.events[0]).toContain(status);
  });

  it("isn't what a lost connection is", async () => {
    const { upstream, call } = await startStage({ backends: 2 });
    const caller = call(grpcRequest, true);
    await settle();
    upstream.backends[0]!.socket.destroy();
    await settle(30);
    expect(upstream.backends[1]!.owner.streams.size).toBe(0);
    expect(caller.events[0]).toContain("grpc-status=14 grpc-message=upstream connection lost");
  });
});

describe("credit for a request that is tried again", () => {
  it("is given once for each byte", async () => {
    const { peer, upstream } = await startRawStage({ backends: 2 });
    await peer.send(headersFrame(1, grpcRequest), ...bodies(1, 60_000));
    const [first, second] = upstream.backends.map(({ owner }) => owner);
    expect(first!.streams.get(1)!.bytes.length).toBe(60_000);
    const credit = () =>
      peer.of(FrameType.windowUpdate, 1).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    const before = credit();
    expect(before).toBeGreaterThan(30_000);
    first!.streams.get(1)!.stream.reset(refusedStream);
    await settle(30);
    expect(second!.streams.get(1)!.bytes.length).toBe(60_000);
    await peer.send(...bodies(1, 40_000));
    expect(second!.streams.get(1)!.bytes.length).toBe(100_000);
    expect(credit()).toBeGreaterThan(before);
    expect(credit()).toBeLessThanOrEqual(100_000);
  });

  it("isn't given for bytes that still wait for a connection", async () => {
    const { peer, upstream } = await startRawStage();
    upstream.holds = true;
    await peer.send(headersFrame(1, grpcRequest), ...bodies(1, 65_535));
    expect(peer.of(FrameType.windowUpdate, 1)).toEqual([]);
    upstream.release();
    await settle();
    expect(upstream.backends[0]!.owner.streams.get(1)!.bytes.length).toBe(65_535);
    expect(peer.of(FrameType.windowUpdate, 1)).not.toEqual([]);
    await peer.send(dataFrame(1, "", Flag.endStream));
    expect(upstream.backends[0]!.owner.streams.get(1)!.events.at(-1)).toBe("end");
  });
});

describe("a connection of the proxy that ends", () => {
  it("ends the calls on it, and those alone", async () => {
    const { upstream, call } = await startStage({ backends: 2 });
    const callers = Array.from({ length: 6 }, () => call(grpcRequest, true));
    await settle();
    upstream.backends[1]!.owner.onStream = undefined;
    upstream.backends[0]!.server.destroy();
    await settle();
    expect(callers.map(({ events }) => events.length)).toEqual([1, 0, 1, 0, 1, 0]);
    const direct = ask(upstream.backends[1]!.connection);
    await settle();
    expect(direct.events).toEqual([]);
    expect(internalError).toBe(2);
  });
});

function bodies(id: number, bytes: number): Buffer[] {
  const frames = [];
  for (let left = bytes; left > 0; left -= 16_384) frames.push(dataFrame(id, Buffer.alloc(Math.min(left, 16_384))));
  return frames;
}
