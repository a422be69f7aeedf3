import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { settle } from "./memory-socket.ts";
import {
  ask,
  dataFrame,
  Flag,
  FrameType,
  frame,
  goawayFrame,
  headersFrame,
  padded,
  resetFrame,
  settingsFrame,
  startClient,
  startServer,
  windowUpdateFrame,
} from "./raw-peer.ts";
import { fieldsOf, ok, request } from "./recorder.ts";

const { protocolError, streamClosed, flowControlError, enhanceYourCalm, refusedStream, cancel } = ErrorCode;
const both = Flag.endHeaders | Flag.endStream;
const trailers = [["grpc-status", "0"]] as const;
const empty = Buffer.alloc(0);

describe("a server's stream that is idle (RFC 9113 section 5.1)", () => {
  it.each([
    ["DATA", dataFrame(1, "x")],
    ["RST_STREAM", resetFrame(1, cancel)],
    ["WINDOW_UPDATE", windowUpdateFrame(1, 100)],
    ["HEADERS with an even id", headersFrame(2, request)],
    ["DATA on an even id", dataFrame(2, "x")],
  ])("ends the connection for %s", async (_, bytes) => {
    const { peer, owner } = await startServer();
    await peer.send(bytes);
    expect(peer.goaways).toEqual([{ last: 0, code: protocolError }]);
    expect(owner.closed && peer.ended).toBe(true);
  });

  it("takes PRIORITY, before and after", async () => {
    const { peer, owner } = await startServer();
    await peer.send(frame(FrameType.priority, 0, 9, Buffer.from("0000000100", "hex")), headersFrame(1, request, both));
    await peer.send(frame(FrameType.priority, 0, 1, Buffer.from("0000000500", "hex")));
    expect(owner.closed).toBe(false);
    expect(owner.streams.get(1)!.events).toHaveLength(1);
  });

  it("can't be opened below one that was", async () => {
    const { peer } = await startServer();
    await peer.send(headersFrame(5, request), headersFrame(3, request));
    expect(peer.goaways).toEqual([{ last: 5, code: expect.any(Number) }]);
  });
});

describe("a server's stream that is half-closed by the peer", () => {
  it.each([
    ["DATA", dataFrame(1, "x")],
    ["empty DATA", dataFrame(1, "")],
    ["HEADERS", headersFrame(1, trailers, both)],
  ])("is reset with STREAM_CLOSED for %s, and its siblings live", async (_, bytes) => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request, both), headersFrame(3, request), bytes, dataFrame(3, "y"));
    expect(peer.resets(1)).toEqual([streamClosed]);
    expect(owner.streams.get(1)!.events).toContain(`reset ${streamClosed} malformed`);
    expect(owner.streams.get(3)!.bytes.toString()).toBe("y");
    expect(peer.goaways).toEqual([]);
  });

  it("takes WINDOW_UPDATE and RST_STREAM", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request, both), windowUpdateFrame(1, 100), resetFrame(1, cancel));
    expect(owner.streams.get(1)!.events).toEqual([expect.stringMatching(/^headers/), `reset ${cancel} peer`]);
    expect(peer.goaways).toEqual([]);
  });
});

describe("a server's stream that is closed", () => {
  async function closedByBoth() {
    const under = await startServer();
    await under.peer.send(headersFrame(1, request, both));
    under.owner.streams.get(1)!.stream.sendHeaders(fieldsOf(ok), true);
    await settle();
    expect(under.connection.streamCount).toBe(0);
    return under;
  }

  it.each([
    ["DATA", dataFrame(1, "x")],
    ["HEADERS", headersFrame(1, trailers, both)],
  ])("ends the connection for %s", async (_, bytes) => {
    const { peer } = await closedByBoth();
    await peer.send(bytes);
    expect(peer.goaways).toEqual([{ last: 1, code: streamClosed }]);
  });

  it("lets WINDOW_UPDATE and RST_STREAM pass", async () => {
    const { peer, owner } = await closedByBoth();
    await peer.send(windowUpdateFrame(1, 100), resetFrame(1, cancel));
    expect(peer.frames.filter(({ type }) => type !== FrameType.headers)).toEqual([]);
    expect(owner.closed).toBe(false);
  });

  it("lets what was on its way pass after a reset of ours", async () => {
    const { peer, owner, connection } = await startServer();
    await peer.send(headersFrame(1, request));
    owner.streams.get(1)!.stream.reset(cancel);
    await peer.send(dataFrame(1, "x"), windowUpdateFrame(1, 1_000), headersFrame(1, trailers, both), resetFrame(1, 0));
    expect(peer.resets(1)).toEqual([cancel]);
    expect(peer.goaways).toEqual([]);
    expect(owner.streams.get(1)!.events).toHaveLength(1);
    expect(connection.streamCount).toBe(0);
    expect(connection.resetsSent).toBe(1);
  });

  it("ends the connection for DATA after the peer's own reset", async () => {
    const { peer } = await startServer();
    await peer.send(headersFrame(1, request), resetFrame(1, cancel), dataFrame(1, "x"));
    expect(peer.goaways).toEqual([{ last: 1, code: streamClosed }]);
  });

  it("decodes the block of a stream that it has reset, for the next one needs its table", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request));
    owner.streams.get(1)!.stream.reset(cancel);
    const literal = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from("x-a"), Buffer.from([1]), Buffer.from("b")]);
    const indexed = Buffer.concat([headersFrame(3, request).subarray(9), Buffer.from([0xbe])]);
    await peer.send(frame(FrameType.headers, both, 1, literal), frame(FrameType.headers, both, 3, indexed));
    expect(owner.streams.get(3)!.events[0]).toContain("x-a=b");
  });
});

describe("a server's request", () => {
  it("is told with its body and trailers", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request), dataFrame(1, "hello"), headersFrame(1, trailers, both));
    const stream = owner.streams.get(1)!;
    expect(stream.events).toEqual([expect.stringMatching(/^headers :method=POST/), "trailers grpc-status=0"]);
    expect(stream.bytes.toString()).toBe("hello");
  });

  it("may end with an empty frame, or with a padded one", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request), dataFrame(1, "", Flag.endStream));
    const last = padded(Buffer.from("x"), 200);
    await peer.send(headersFrame(3, request), frame(FrameType.data, Flag.padded | Flag.endStream, 3, last));
    expect(owner.streams.get(1)!.events.at(-1)).toBe("end");
    expect(owner.streams.get(3)!.bytes.toString()).toBe("x");
    expect(owner.streams.get(3)!.events.at(-1)).toBe("end");
  });

  it.each<[what: string, code: number, ...frames: Buffer[]]>([
    [
      "without :path",
      protocolError,
      headersFrame(
        1,
        request.filter(([name]) => name !== ":path"),
      ),
    ],
    ["with :status", protocolError, headersFrame(1, [...request, ...ok])],
    ["with an upper-case name", protocolError, headersFrame(1, [...request, ["X-A", "b"]])],
    ["with LF in a value (fault C1)", protocolError, headersFrame(1, [...request, ["x-a", "b\nc"]])],
    ["with connection (fault C2)", protocolError, headersFrame(1, [...request, ["connection", "close"]])],
    [
      "whose content-length ends too early",
      protocolError,
      headersFrame(1, [...request, ["content-length", "5"]], both),
    ],
    [
      "with more DATA than content-length says",
      protocolError,
      headersFrame(1, [...request, ["content-length", "2"]]),
      dataFrame(1, "abc"),
    ],
    [
      "with less DATA than content-length says",
      protocolError,
      headersFrame(1, [...request, ["content-length", "5"]]),
      dataFrame(1, "abc", Flag.endStream),
    ],
    [
      "with trailers before content-length is reached",
      protocolError,
      headersFrame(1, [...request, ["content-length", "5"]]),
      headersFrame(1, trailers, both),
    ],
    [
      "with a second header block that doesn't end it",
      protocolError,
      headersFrame(1, request),
      headersFrame(1, trailers),
    ],
    ["with a pseudo-header in trailers", protocolError, headersFrame(1, request), headersFrame(1, ok, both)],
    ["with WINDOW_UPDATE of 0", protocolError, headersFrame(1, request), windowUpdateFrame(1, 0)],
    ["with 129 fields (fault A9)", enhanceYourCalm, headersFrame(1, [...request, ...many(125)])],
    ["with a value of 20 KiB in two frames (fault A9)", enhanceYourCalm, ...oversized(1)],
    ["with trailers of 129 fields", enhanceYourCalm, headersFrame(1, request), headersFrame(1, many(129), both)],
    ["beyond its window", flowControlError, headersFrame(1, request), ...flood(1)],
  ])("%s is reset, and its siblings finish", async (_, code, ...frames) => {
    const { peer, owner } = await startServer({ settings: { connectionWindowSize: 200_000 } });
    owner.onStream = (recorder) => {
      recorder.consumes = false;
    };
    await peer.send(...frames, headersFrame(3, request), dataFrame(3, "sibling", Flag.endStream));
    expect(peer.resets(1)).toEqual([code]);
    expect(peer.goaways).toEqual([]);
    expect(owner.streams.get(3)!.bytes.toString()).toBe("sibling");
    expect(owner.streams.get(1)?.events.at(-1) ?? `reset ${code} malformed`).toBe(`reset ${code} malformed`);
  });

  it("is refused over MAX_CONCURRENT_STREAMS, until another ends (fault E9)", async () => {
    const { peer, owner } = await startServer({ settings: { maxConcurrentStreams: 2 } });
    await peer.send(headersFrame(1, request), headersFrame(3, request), headersFrame(5, request));
    expect(peer.resets(5)).toEqual([refusedStream]);
    await peer.send(dataFrame(5, "was on its way"), resetFrame(1, cancel), headersFrame(7, request));
    expect([...owner.streams.keys()]).toEqual([1, 3, 7]);
    expect(peer.goaways).toEqual([]);
  });
});

describe("a client's stream", () => {
  it.each<[what: string, code: number, ...frames: Buffer[]]>([
    ["DATA before HEADERS", protocolError, dataFrame(1, "x")],
    ["a response without :status", protocolError, headersFrame(1, [["x-a", "b"]])],
    ["a response with a bad header (fault C1)", protocolError, headersFrame(1, [...ok, ["x-a", "b\0c"]])],
    ["a response with a pseudo-header of requests", protocolError, headersFrame(1, [...ok, [":path", "/"]])],
    ["an interim response that ends the stream", protocolError, headersFrame(1, [[":status", "100"]], both)],
    ["HTTP 101, which HTTP/2 doesn't have", protocolError, headersFrame(1, [[":status", "101"]])],
    [
      "a body above content-length (fault C4)",
      protocolError,
      headersFrame(1, [...ok, ["content-length", "0"]]),
      dataFrame(1, "x"),
    ],
    ["DATA after the end", streamClosed, headersFrame(1, ok, both), dataFrame(1, "x")],
    ["HEADERS after the end", streamClosed, headersFrame(1, ok, both), headersFrame(1, trailers, both)],
    ["too many fields", enhanceYourCalm, headersFrame(1, [...ok, ...many(129)])],
  ])("is reset for %s, and the connection lives", async (_, code, ...frames) => {
    const { connection, peer } = await startClient();
    const stream = ask(connection, false);
    const sibling = ask(connection);
    await peer.send(...frames, headersFrame(3, ok, both));
    expect(peer.resets(1)).toEqual([code]);
    expect(stream.events.at(-1)).toBe(`reset ${code} malformed`);
    expect(sibling.events).toEqual(["headers :status=200 end"]);
    expect(connection.streamCount).toBe(0);
  });

  it.each([
    ["DATA on a stream that nobody opened", dataFrame(7, "x")],
    ["HEADERS on a stream that nobody opened", headersFrame(7, ok)],
    ["HEADERS on an even id", headersFrame(2, ok)],
    ["RST_STREAM on a stream that nobody opened", resetFrame(7, 0)],
    ["ENABLE_PUSH of 1", settingsFrame([[2, 1]])],
  ])("is lost with its connection for %s", async (_, bytes) => {
    const { connection, peer, owner } = await startClient();
    const stream = ask(connection);
    await peer.send(bytes);
    expect(peer.goaways).toEqual([{ last: 0, code: protocolError }]);
    expect(stream.events).toEqual(["reset 2 connection"]);
    expect(owner.events.at(-1)).toBe("close");
  });

  it.each([
    [refusedStream, "unprocessed"],
    [cancel, "peer"],
    [0, "peer"],
    [0xdead_beef, "peer"],
  ])("told RST_STREAM %i hears of it as %s", async (code, cause) => {
    const { connection, peer } = await startClient();
    const stream = ask(connection);
    await peer.send(resetFrame(1, code));
    expect(stream.events).toEqual([`reset ${code} ${cause}`]);
    expect(peer.resets(1)).toEqual([]);
    expect(connection.streamCount).toBe(0);
  });

  it("may be answered before its request is complete, and still ends it", async () => {
    const { connection, peer } = await startClient();
    const recorder = ask(connection, false);
    await peer.send(headersFrame(1, ok, both));
    expect(connection.streamCount).toBe(1);
    recorder.stream.end();
    await settle();
    expect(peer.of(FrameType.data, 1).map(({ flags }) => flags)).toEqual([Flag.endStream]);
    expect(connection.streamCount).toBe(0);
  });

  it("above GOAWAY's last id is unprocessed, the others go on", async () => {
    const { connection, peer, owner } = await startClient();
    const [first, second] = [ask(connection), ask(connection)];
    await peer.send(goawayFrame(1, 0));
    expect(second.events).toEqual([`reset ${refusedStream} unprocessed`]);
    expect(connection.room).toBe(0);
    await peer.send(headersFrame(1, ok, both));
    expect(first.events).toEqual(["headers :status=200 end"]);
    expect(owner.events.slice(-2)).toEqual(["goaway 0", "close"]);
    expect(owner.error).toBeUndefined();
  });
});

function many(count: number): [string, string][] {
  return Array.from({ length: count }, (_, at) => [`x-${at}`, "v"]);
}

/** A request with a field of 20 KiB, as HEADERS and CONTINUATION. */
function oversized(id: number): Buffer[] {
  const block = headersFrame(id, [...request, ["x-large", "v".repeat(20 << 10)]]).subarray(9);
  return [
    frame(FrameType.headers, 0, id, block.subarray(0, 16_000)),
    frame(FrameType.continuation, Flag.endHeaders, id, block.subarray(16_000)),
  ];
}

/** More DATA than the initial window takes. */
function flood(id: number): Buffer[] {
  return Array.from({ length: 5 }, () => dataFrame(id, Buffer.concat([empty, Buffer.alloc(16_000)])));
}
