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
  preface,
  Setting,
  settingsFrame,
  startClient,
  startPair,
  startServer,
} from "./raw-peer.ts";
import { fieldsOf, ok, request } from "./recorder.ts";

const { noError, protocolError, refusedStream, internalError } = ErrorCode;
const both = Flag.endHeaders | Flag.endStream;
const maxInt31 = 2 ** 31 - 1;

const pingAckOf = (frames: readonly { type: number; payload: Buffer }[]) => {
  const ping = frames.find(({ type }) => type === FrameType.ping)!;
  return frame(FrameType.ping, Flag.ack, 0, ping.payload);
};

describe("greeting", () => {
  it("of a server is its SETTINGS and the connection's window", async () => {
    const settings = { maxConcurrentStreams: 7, initialWindowSize: 100_000, maxHeaderListSize: 9_000 };
    const { peer, socket } = await startServer({ settings, greet: false });
    const [first, second] = peer.frames;
    expect(entriesOf(first!.payload)).toEqual({ 1: 4_096, 3: 7, 4: 100_000, 5: 16_384, 6: 9_000 });
    expect(second).toMatchObject({ type: FrameType.windowUpdate, streamId: 0 });
    expect(second!.payload.readUInt32BE(0)).toBe((1 << 20) - 65_535);
    expect(peer.frames).toHaveLength(2);
    expect(socket.writes).toBe(1);
  });

  it("of a client is the preface, and push turned off", async () => {
    const { peer, socket } = await startClient({ greet: false });
    expect(entriesOf(peer.frames[0]!.payload)).toMatchObject({ 2: 0 });
    expect(entriesOf(peer.frames[0]!.payload)).not.toHaveProperty("3");
    expect(socket.writes).toBe(1);
  });

  it("is answered with an ack", async () => {
    const { peer } = await startServer({ greet: false });
    peer.frames.length = 0;
    await peer.send(preface, settingsFrame([]));
    expect(peer.frames).toMatchObject([{ type: FrameType.settings, flags: Flag.ack }]);
  });
});

describe("room", () => {
  it("is 100 until the server has told its limit, and is told once it is known", async () => {
    const { connection, peer, owner } = await startClient({ greet: false });
    expect(connection.room).toBe(100);
    expect(owner.events).toEqual([]);
    await peer.send(settingsFrame([[Setting.maxConcurrentStreams, 3]]));
    expect(connection.room).toBe(3);
    expect(owner.events).toEqual(["ready"]);
  });

  it("has no limit where the server announces none (section 6.5.2)", async () => {
    const { connection } = await startClient();
    expect(connection.room).toBeGreaterThan(1e6);
  });

  it("shrinks and grows with streams and with SETTINGS, and never below 0", async () => {
    const { connection, peer, owner } = await startClient({ announced: [[Setting.maxConcurrentStreams, 2]] });
    const streams = [ask(connection), ask(connection)];
    expect(connection.room).toBe(0);
    await peer.send(settingsFrame([[Setting.maxConcurrentStreams, 1]]));
    expect(connection.room).toBe(0);
    owner.events.length = 0;
    await peer.send(headersFrame(1, ok, both), headersFrame(3, ok, both));
    expect(connection.room).toBe(1);
    expect(owner.events).toEqual(["room", "room"]);
    expect(streams.map(({ events }) => events)).toEqual([["headers :status=200 end"], ["headers :status=200 end"]]);
    await peer.send(settingsFrame([[Setting.maxConcurrentStreams, 0]]));
    expect(connection.room).toBe(0);
  });

  it("is none in the server role, and once the connection is shut down or lost", async () => {
    const { client, server } = await startPair();
    expect(server.room).toBe(0);
    client.shutdown();
    expect(client.room).toBe(0);
    const { connection } = await startClient();
    connection.destroy();
    expect(connection.room).toBe(0);
  });
});

describe("GOAWAY of the peer", () => {
  it("leaves no room before those above its last id are told, who try again at once (fault E4)", async () => {
    const { connection, peer, owner } = await startClient();
    ask(connection);
    const rooms: number[] = [];
    owner.onGoaway = () => rooms.push(connection.room);
    for (let at = 0; at < 3; at++) {
      const recorder = ask(connection);
      recorder.onReset = () => rooms.push(connection.room);
    }
    await peer.send(goawayFrame(1, 0));
    expect(rooms).toEqual([0, 0, 0, 0]);
    expect(connection.streamCount).toBe(1);
  });

  it("closes a client without streams, with none left above the last id too", async () => {
    for (const streams of [0, 3]) {
      const { connection, peer, owner } = await startClient();
      const recorders = Array.from({ length: streams }, () => ask(connection));
      await peer.send(goawayFrame(0, ErrorCode.enhanceYourCalm));
      expect(recorders.every(({ events }) => events.join() === `reset ${refusedStream} unprocessed`)).toBe(true);
      expect(owner.events).toContain(`goaway ${ErrorCode.enhanceYourCalm}`);
      expect(owner.events.at(-1)).toBe("close");
      expect(peer.ended).toBe(true);
    }
  });

  it("may come twice, as a graceful server says it", async () => {
    const { connection, peer, owner } = await startClient();
    const [first, second] = [ask(connection), ask(connection)];
    await peer.send(goawayFrame(maxInt31, 0));
    expect(connection.room).toBe(0);
    expect(second.events).toEqual([]);
    await peer.send(goawayFrame(1, 0), headersFrame(1, ok, both));
    expect(first.events).toEqual(["headers :status=200 end"]);
    expect(second.events).toEqual([`reset ${refusedStream} unprocessed`]);
    expect(owner.closed).toBe(true);
  });

  it("of a client means nothing to a server", async () => {
    const { peer, owner } = await startServer();
    await peer.send(headersFrame(1, request), goawayFrame(0, 0), dataFrame(1, "x", Flag.endStream));
    expect(owner.streams.get(1)!.bytes.toString()).toBe("x");
    expect(owner.events).not.toContain("goaway 0");
  });
});

describe("shutdown() of a server (section 6.8)", () => {
  it("takes what is on its way, names the last stream after a PING, and closes with that stream", async () => {
    const { connection, peer, owner } = await startServer();
    await peer.send(headersFrame(1, request, both));
    connection.shutdown();
    await settle();
    expect(peer.goaways).toEqual([{ last: maxInt31, code: noError }]);
    const ack = pingAckOf(peer.frames);
    await peer.send(headersFrame(3, request, both), ack);
    expect(peer.goaways).toEqual([
      { last: maxInt31, code: noError },
      { last: 3, code: noError },
    ]);
    expect([...owner.streams.keys()]).toEqual([1, 3]);
    await peer.send(headersFrame(5, request, both), dataFrame(5, ""));
    expect([...owner.streams.keys()]).toEqual([1, 3]);
    owner.streams.get(1)!.stream.sendHeaders(fieldsOf(ok), true);
    await settle();
    expect(owner.closed).toBe(false);
    owner.streams.get(3)!.stream.sendHeaders(fieldsOf(ok), true);
    await settle();
    expect(owner.closed && peer.ended).toBe(true);
    expect(owner.error).toBeUndefined();
    expect(peer.of(FrameType.headers)).toHaveLength(2);
  });

  it("never names a higher stream later, whatever the peer does", async () => {
    const { connection, peer } = await startServer();
    await peer.send(headersFrame(1, request));
    connection.shutdown();
    await settle();
    const ack = pingAckOf(peer.frames);
    await peer.send(ack, headersFrame(3, request, both), ack, headersFrame(5, request), ack, dataFrame(0, "bad"));
    expect(peer.goaways).toEqual([
      { last: maxInt31, code: noError },
      { last: 1, code: noError },
      { last: 1, code: protocolError },
    ]);
  });

  it("closes an idle connection once its PING is back", async () => {
    const { client, server, clientOwner, serverOwner } = await startPair();
    server.shutdown();
    server.shutdown();
    await settle();
    expect(clientOwner.events).toEqual(["ready", "goaway 0", "close"]);
    expect(serverOwner.events.filter((event) => event === "close")).toHaveLength(1);
    expect(client.closed && server.closed).toBe(true);
  });

  it("loses no call of a client that goes on until it hears of it", async () => {
    const { client, server, serverOwner } = await startPair();
    serverOwner.onStream = ({ stream }) => stream.sendHeaders(fieldsOf(ok), true);
    const recorders = Array.from({ length: 10 }, () => ask(client));
    server.shutdown();
    while (client.room > 0 && recorders.length < 500) {
      recorders.push(ask(client));
      await settle(1);
    }
    await settle();
    expect(recorders.map(({ events }) => events.join())).toEqual(recorders.map(() => "headers :status=200 end"));
    expect(client.closed && server.closed).toBe(true);
  });
});

describe("shutdown() of a client", () => {
  it("lets its streams end", async () => {
    const { connection, peer, owner } = await startClient();
    const recorder = ask(connection);
    connection.shutdown();
    await settle();
    expect(peer.goaways).toEqual([{ last: 0, code: noError }]);
    expect(owner.closed).toBe(false);
    await peer.send(headersFrame(1, ok, both));
    expect(recorder.events).toEqual(["headers :status=200 end"]);
    expect(owner.closed && peer.ended).toBe(true);
  });

  it("closes at once without streams", async () => {
    const { connection, peer, owner } = await startClient();
    connection.shutdown();
    await settle();
    expect(owner.events.at(-1)).toBe("close");
    expect(peer.ended).toBe(true);
  });
});

describe("the end of a connection", () => {
  it.each<[string, (end: Awaited<ReturnType<typeof startClient>>) => void, string | undefined]>([
    ["destroy()", ({ connection }) => connection.destroy(), undefined],
    ["destroy() with an error", ({ connection }) => connection.destroy(new Error("enough")), "enough"],
    ["an error of the socket", ({ socket }) => socket.fail(new Error("ECONNRESET")), "ECONNRESET"],
    ["the peer's FIN", ({ peer }) => peer.socket.end(), undefined],
    ["the peer's reset", ({ peer }) => peer.socket.destroy(), undefined],
  ])("by %s is told to every stream, then once to the owner", async (_, end, message) => {
    const under = await startClient();
    const order: string[] = [];
    const recorders = [ask(under.connection), ask(under.connection, false)];
    for (const recorder of recorders) recorder.onReset = (code, cause) => order.push(`${code} ${cause}`);
    under.owner.onClose = (error) => order.push(`close ${error?.message}`);
    end(under);
    await settle();
    expect(order).toEqual([`${internalError} connection`, `${internalError} connection`, `close ${message}`]);
    expect(under.connection.closed).toBe(true);
    recorders[1]!.stream.sendData(Buffer.from("late"), 0, 4, true);
    recorders[1]!.stream.reset(ErrorCode.cancel);
    await under.peer.socket.peer.emit("data", headersFrame(1, ok, both));
    await settle();
    expect(order).toHaveLength(3);
  });

  it("tells a stream nothing that one before it has reset when it was told", async () => {
    const { connection } = await startClient();
    const [first, second] = [ask(connection), ask(connection)];
    first.onReset = () => second.stream.reset(ErrorCode.cancel);
    connection.destroy();
    expect(second.events).toEqual([]);
  });

  it("comes after the end of its last stream, for the listener too", async () => {
    const { connection, peer, owner } = await startClient();
    const order: string[] = [];
    const recorder = ask(connection);
    recorder.onReset = () => order.push("stream");
    owner.onClose = () => order.push("connection");
    connection.shutdown();
    await peer.send(frame(FrameType.rstStream, 0, 1, Buffer.from([0, 0, 0, 8])));
    expect(order).toEqual(["stream", "connection"]);
  });

  it("by an exception of a listener is INTERNAL_ERROR, and goes no further", async () => {
    const { peer, owner } = await startServer();
    const error = new Error("listener failed");
    owner.onStream = () => {
      throw error;
    };
    await peer.send(headersFrame(1, request));
    expect(peer.goaways).toEqual([{ last: 1, code: internalError }]);
    expect(owner.error).toBe(error);
  });

  it("lets the peer read the GOAWAY while it still sends", async () => {
    const { peer, owner, socket } = await startServer();
    await peer.send(dataFrame(0, "bad"));
    await peer.send(...Array.from({ length: 10 }, () => dataFrame(1, Buffer.alloc(16_384))));
    expect(peer.goaways).toEqual([{ last: 0, code: protocolError }]);
    expect(owner.closed && socket.ended).toBe(true);
  });
});

function entriesOf(payload: Buffer): Record<number, number> {
  const entries: Record<number, number> = {};
  for (let at = 0; at < payload.length; at += 6) entries[payload.readUInt16BE(at)] = payload.readUInt32BE(at + 2);
  return entries;
}
