import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { Field, Indexing } from "../src/http2/field.ts";
import { bufferBytes } from "./http2/garbage.ts";
import { dataFrame, Flag, FrameType, headersFrame } from "./http2/raw-peer.ts";
import { type Pairs, StreamRecorder } from "./http2/recorder.ts";
import {
  answerWith,
  fieldsOf,
  grpcRequest,
  grpcResponse,
  okTrailers,
  send,
  settle,
  startRawStage,
  startStage,
} from "./in-memory.ts";

const line = (pairs: Pairs) => pairs.map(([name, value]) => `${name}=${value}`).join(" ");

describe("relay of a call", () => {
  it("passes headers, messages and trailers, and records them", async () => {
    const { upstream, call, at, records } = await startStage();
    upstream.backends[0]!.owner.onStream = answerWith(okTrailers);
    const caller = call();
    send(caller, "\0\0\0\0\x03ask", true);
    await settle();
    expect(at(0).events).toEqual([`headers ${line(grpcRequest)}`, "end"]);
    expect(at(0).bytes.toString("latin1")).toBe("\0\0\0\0\x03ask");
    expect(caller.events).toEqual([`headers ${line(grpcResponse)}`, `trailers ${line(okTrailers)}`]);
    expect(caller.bytes.toString("latin1")).toBe("\0\0\0\0\x05reply");
    expect(records).toMatchObject([{ status: 0, endpoint: "node-0", requestBytes: 8, responseBytes: 10 }]);
  });

  it("ends a request without a body in its headers", async () => {
    const { call, at } = await startStage();
    call(grpcRequest, true);
    await settle();
    expect(at(0).events[0]).toMatch(/ end$/);
  });

  it("sends response headers on as they come, before any message", async () => {
    const { call, at } = await startStage();
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    await settle();
    expect(caller.events).toEqual([`headers ${line(grpcResponse)}`]);
  });

  it("keeps back what of a response is for one hop (fault C2)", async () => {
    const { call, at } = await startStage();
    const caller = call();
    await settle();
    const hops: Pairs = [
      ["proxy-authenticate", "Basic"],
      ["http2-settings", "AAMAAABk"],
    ];
    at(0).stream.sendHeaders(fieldsOf([...grpcResponse, ...hops]), false);
    await settle();
    expect(caller.events).toEqual([`headers ${line(grpcResponse)}`]);
  });

  it("lets the caller's half-close through while replies go on", async () => {
    const { call, at } = await startStage();
    const caller = call();
    await settle();
    at(0).stream.sendHeaders(fieldsOf(grpcResponse), false);
    caller.stream.end();
    await settle();
    expect(at(0).events.at(-1)).toBe("end");
    send(at(0), "one");
    await settle();
    expect(caller.bytes.toString()).toBe("one");
    at(0).stream.sendHeaders(fieldsOf(okTrailers), true);
    await settle();
    expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
  });

  it("passes request trailers and interim responses", async () => {
    const { call, at } = await startStage();
    const caller = call();
    caller.stream.sendHeaders(fieldsOf([["x-trailer", "a"]]), true);
    await settle();
    expect(at(0).events.at(-1)).toBe("trailers x-trailer=a");
    at(0).stream.sendHeaders(
      fieldsOf([
        [":status", "103"],
        ["link", "b"],
      ]),
      false,
    );
    await settle();
    expect(caller.events).toEqual(["headers :status=103 link=b"]);
  });

  it.each<[what: string, trailers: Pairs]>([
    [
      "unknown ones, doubled ones, in their order",
      [
        ["x-b", "1"],
        ["x-a", "2"],
        ["x-b", "3"],
        ["grpc-status", "0"],
      ],
    ],
    [
      "binary ones, padded or not",
      [
        ["x-bin", "AAEC,AwQ="],
        ["grpc-status", "0"],
        ["x-bin", "AA"],
      ],
    ],
    [
      "a status above 16",
      [
        ["grpc-status", "99"],
        ["grpc-message", "what"],
      ],
    ],
    [
      "a message with percent signs (fault B8)",
      [
        ["grpc-status", "13"],
        ["grpc-message", "50% off %zz %0d%0aset-cookie:x"],
      ],
    ],
    [
      "a message in raw UTF-8",
      [
        ["grpc-status", "13"],
        ["grpc-message", "\xc3\xa4 \xff"],
      ],
    ],
    [
      "details whose code isn't the status (fault B8)",
      [
        ["grpc-status", "13"],
        ["grpc-status-details-bin", "CAA"],
      ],
    ],
    [
      "a long message",
      [
        ["grpc-status", "2"],
        ["grpc-message", "m".repeat(15 << 10)],
      ],
    ],
  ])("passes trailers byte by byte: %s", async (_, trailers) => {
    const { upstream, call } = await startStage();
    upstream.backends[0]!.owner.onStream = answerWith(trailers);
    const caller = call(grpcRequest, true);
    await settle();
    expect(caller.events.at(-1)).toBe(`trailers ${line(trailers)}`);
  });

  it("keeps a Trailers-Only response one header block", async () => {
    const { upstream, call, records } = await startStage();
    const only: Pairs = [...grpcResponse, ["grpc-status", "5"], ["grpc-message", "not%20here"]];
    upstream.backends[0]!.owner.onStream = ({ stream }) => stream.sendHeaders(fieldsOf(only), true);
    const caller = call(grpcRequest, true);
    await settle();
    expect(caller.events).toEqual([`headers ${line(only)} end`]);
    expect(records).toMatchObject([{ status: 5, message: "not here" }]);
  });

  it("keeps a field that must never be indexed so, both ways", async () => {
    const { caller, upstream } = await startStage();
    const recorder = new StreamRecorder();
    const got: Field[] = [];
    recorder.onHeaders = (fields) => got.push(...fields);
    upstream.backends[0]!.owner.onRequest = (stream, fields) => {
      got.push(...fields);
      stream.sendHeaders([...fieldsOf(grpcResponse), new Field("x-secret", "b", Indexing.never)], false);
      return recorder;
    };
    caller.request([...fieldsOf(grpcRequest), new Field("authorization", "a", Indexing.never)], true, recorder);
    await settle();
    const never = got
      .filter(({ indexing }) => indexing === Indexing.never)
      .map(({ name, value }) => `${name}=${value}`);
    expect(never).toEqual(["authorization=a", "x-secret=b"]);
  });

  it("carries any bytes in any pieces, both ways at once", async () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(pieces, pieces, fc.constantFrom(65_535, 1 << 20), async (up, down, initialWindowSize) => {
        const { call, at, records } = await startStage({ settings: { initialWindowSize } });
        const caller = call();
        await settle();
        const server = at(0);
        server.stream.sendHeaders(fieldsOf(grpcResponse), false);
        for (let index = 0; index < Math.max(up.length, down.length); index++) {
          if (up[index] !== undefined) send(caller, Buffer.from(up[index]!));
          if (down[index] !== undefined) send(server, Buffer.from(down[index]!));
          if (index % 7 === 0) await settle(1);
        }
        caller.stream.end();
        server.stream.sendHeaders(fieldsOf(okTrailers), true);
        await settle(40);
        expect(server.bytes.equals(Buffer.concat(up))).toBe(true);
        expect(caller.bytes.equals(Buffer.concat(down))).toBe(true);
        expect(server.events.at(-1)).toBe("end");
        expect(caller.events.at(-1)).toBe("trailers grpc-status=0");
        expect(records).toMatchObject([{ requestBytes: server.bytes.length, responseBytes: caller.bytes.length }]);
      }),
      { numRuns: 30 },
    );
  });

  it("leaves no stream on either side", async () => {
    const { upstream, call, caller, front } = await startStage();
    upstream.backends[0]!.owner.onStream = answerWith(okTrailers);
    for (let round = 0; round < 20; round++) for (let at = 0; at < 5; at++) send(call(), "ask", true);
    await settle();
    const { connection, server } = upstream.backends[0]!;
    expect([caller, front, connection, server].map(({ streamCount }) => streamCount)).toEqual([0, 0, 0, 0]);
  });
});

describe("back-pressure (fault D2)", () => {
  it("stops the upstream at its window where the caller doesn't read, and a sibling flows", async () => {
    const { call, at, upstream } = await startStage();
    const [stalled, sibling] = [call(grpcRequest, true), call(grpcRequest, true)];
    stalled.consumes = false;
    await settle();
    for (const server of [at(0, 0), at(0, 1)]) {
      server.stream.sendHeaders(fieldsOf(grpcResponse), false);
      send(server, Buffer.alloc(1 << 20));
      server.stream.sendHeaders(fieldsOf(okTrailers), true);
    }
    await settle(400);
    expect(sibling.bytes.length).toBe(1 << 20);
    expect(sibling.events.at(-1)).toBe("trailers grpc-status=0");
    expect(stalled.bytes.length).toBe(65_535);
    expect(at(0, 0).sent).toBeLessThanOrEqual(2 * 65_535);
    stalled.consumes = true;
    stalled.stream.consume(stalled.bytes.length);
    await settle(400);
    expect(stalled.bytes.length).toBe(1 << 20);
    expect(upstream.backends[0]!.server.streamCount).toBe(0);
  });

  it("stops the caller at its window where the upstream doesn't read", async () => {
    const { call, at, upstream } = await startStage();
    upstream.backends[0]!.owner.onStream = (recorder) => {
      recorder.consumes = false;
    };
    const caller = call();
    send(caller, Buffer.alloc(1 << 20), true);
    await settle(400);
    expect(at(0).bytes.length).toBe(65_535);
    expect(caller.sent).toBeLessThanOrEqual(2 * 65_535);
    at(0).consumes = true;
    at(0).stream.consume(65_535);
    await settle(400);
    expect(at(0).bytes.length).toBe(1 << 20);
    expect(at(0).events.at(-1)).toBe("end");
  });
});

describe("a response that comes before the request's end", () => {
  async function answered(): Promise<{ stage: Awaited<ReturnType<typeof startRawStage>>; server: StreamRecorder }> {
    const stage = await startRawStage();
    await stage.peer.send(headersFrame(1, grpcRequest), dataFrame(1, "first"));
    const server = stage.upstream.backends[0]!.owner.streams.get(1)!;
    server.stream.sendHeaders(fieldsOf([...grpcResponse, ["grpc-status", "7"]]), true);
    await settle();
    return { stage, server };
  }

  it("ends the request at the upstream with END_STREAM, which no server counts as a reset (fault A3)", async () => {
    const { stage, server } = await answered();
    expect(server.events.at(-1)).toBe("end");
    expect(stage.upstream.backends[0]!.connection.resetsSent).toBe(0);
    expect(stage.upstream.backends[0]!.server.streamCount).toBe(0);
    expect(stage.peer.of(FrameType.headers, 1)[0]!.flags & Flag.endStream).toBe(Flag.endStream);
    expect(stage.records).toMatchObject([{ status: Code.PermissionDenied, endpoint: "node-0" }]);
  });

  it("drops the rest of the request without credit, and the stream ends with it", async () => {
    const { stage, server } = await answered();
    await stage.peer.send(dataFrame(1, Buffer.alloc(10_000)), dataFrame(1, "last", Flag.endStream));
    expect(server.bytes.toString()).toBe("first");
    expect(stage.peer.of(FrameType.windowUpdate, 1)).toEqual([]);
    expect(stage.peer.resets(1)).toEqual([]);
    expect(stage.front.streamCount).toBe(0);
  });

  it("tells a caller that sends on and on to stop, with NO_ERROR (RFC 9113 section 8.1)", async () => {
    const { stage } = await answered();
    await stage.peer.send(...Array.from({ length: 3 }, () => dataFrame(1, Buffer.alloc(16_000))));
    expect(stage.peer.resets(1)).toEqual([ErrorCode.noError]);
    expect(stage.front.streamCount).toBe(0);
    expect(stage.records).toHaveLength(1);
  });

  it("waits for nobody where the request is blocked at the upstream", async () => {
    const { call, at, upstream, records } = await startStage();
    upstream.backends[0]!.owner.onStream = (recorder) => {
      recorder.consumes = false;
    };
    const caller = call();
    send(caller, Buffer.alloc(300_000));
    await settle(50);
    at(0).stream.sendHeaders(fieldsOf([...grpcResponse, ["grpc-status", "8"]]), true);
    await settle();
    expect(at(0).events.at(-1)).toBe("end");
    expect(caller.events.filter((event) => event.endsWith("grpc-status=8 end"))).toHaveLength(1);
    expect(records).toHaveLength(1);
    expect(upstream.backends[0]!.server.streamCount).toBe(0);
  });
});

describe("a request that is kept for another try", () => {
  it("keeps little more than its bytes, however small its pieces are and whatever came with them", async () => {
    const { peer, upstream } = await startRawStage();
    await peer.send(headersFrame(1, grpcRequest), headersFrame(3, grpcRequest));
    const { streams } = upstream.backends[0]!.owner;
    streams.get(1)!.stream.sendHeaders(fieldsOf(grpcResponse), false); // so that nothing of this one is kept
    await settle();
    const before = await bufferBytes();
    for (let round = 0; round < 300; round++) {
      streams.get(1)!.body.length = 0;
      await peer.send(dataFrame(1, Buffer.alloc(16_000)), dataFrame(1, Buffer.alloc(16_000)), dataFrame(3, "x"));
    }
    expect(streams.get(3)!.bytes.length).toBe(300);
    expect((await bufferBytes()) - before).toBeLessThan(2 << 20); // all chunks would be 9.6 MB
  });
});
