import { EventEmitter } from "node:events";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import type { ResetCause, StreamListener } from "../../../src/http2/api.ts";
import { Field } from "../../../src/http2/field.ts";
import type { UpstreamConnection } from "../../../src/upstream/connection.ts";
import { Http1ClientConnection } from "../../../src/upstream/http1/connection.ts";
import { dialHttp1 } from "../../../src/upstream/http1-transport.ts";
import { createTlsContext } from "../../../src/upstream/tls.ts";
import type { DialTls } from "../../../src/upstream/transport.ts";
import { CertificateAuthority } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server of raw bytes: what comes is kept, and the test writes. */
interface Peer {
  port: number;
  sockets: Socket[];
  /** All that has come, on all connections. */
  received(): string;
}

async function startPeer(onSocket: (socket: Socket) => void = () => {}): Promise<Peer> {
  const sockets: Socket[] = [];
  let received = "";
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    onSocket(socket);
  });
  return { port: await listen(server), sockets, received: () => received };
}

function listen(server: Server): Promise<number> {
  closers.push(() => server.close());
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

/** What a dial tells, in words. */
interface Dialled {
  connection: UpstreamConnection;
  events: string[];
}

function dial(port: number, tls?: DialTls): Promise<Dialled> {
  const events: string[] = [];
  const options = { addresses: ["127.0.0.1"], port, tls, timeoutMs: 5_000, http2: undefined };
  return new Promise((resolve, reject) => {
    dialHttp1(options, {
      onOpen(connection) {
        closers.push(() => connection.destroy());
        resolve({ connection, events });
      },
      onFailed: reject,
      onRoom: () => events.push("room"),
      onGoaway: () => events.push("goaway"),
      onClose: (error) => events.push(error === undefined ? "close" : "lost"),
    });
  });
}

/** A stream's listener that keeps what it is told. */
class Told implements StreamListener {
  readonly events: string[] = [];
  body = Buffer.alloc(0);
  sent = 0;
  ended = false;
  cause: ResetCause | undefined;

  onHeaders(fields: Field[], end: boolean): void {
    this.events.push(fields.map(({ name, value }) => `${name}=${value}`).join(" "));
    this.ended ||= end;
  }

  onData(bytes: Uint8Array, start: number, stop: number, end: boolean): void {
    this.body = Buffer.concat([this.body, bytes.subarray(start, stop)]);
    this.ended ||= end;
  }

  onTrailers(fields: Field[]): void {
    this.events.push(`trailers ${fields.map(({ name, value }) => `${name}=${value}`).join(" ")}`);
    this.ended = true;
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  onReset(_code: number, cause: ResetCause): void {
    this.cause = cause;
  }
}

function fields(...more: [string, string][]): Field[] {
  const head: [string, string][] = [
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "users.example"],
    [":path", "/a.B/C"],
  ];
  return [...head, ...more].map(([name, value]) => new Field(name, value));
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async function oneCall(connection: UpstreamConnection, told = new Told()): Promise<Told> {
  connection.request(fields(), true, told);
  await until("the response", () => told.ended || told.cause !== undefined);
  return told;
}

describe("Http1ClientConnection", () => {
  it("writes a request as HTTP/1.1 has it", async () => {
    const peer = await startPeer();
    const { connection } = await dial(peer.port);
    const stream = connection.request(
      fields(
        ["content-type", "application/connect+proto"],
        ["te", "trailers"],
        ["x-bytes", "\xe9\xff"],
        ["x-control", "a\x01b"],
        ["cookie", "a=1"],
        ["cookie", "b=2"],
        ["expect", "100-continue"],
        ["x-twice", "1"],
        ["x-twice", "2"],
      ),
      false,
      new Told(),
    );
    expect(stream.sendData(Buffer.from("__hello"), 2, 7, false)).toBe(true);
    stream.sendHeaders([new Field("x-trailer", "1")], true);
    await until("the request", () => peer.received().endsWith("\r\n0\r\nx-trailer: 1\r\n\r\n"));
    expect(peer.received()).toBe(
      [
        "POST /a.B/C HTTP/1.1",
        "host: users.example",
        "content-type: application/connect+proto",
        "x-bytes: \xe9\xff",
        "x-control: a b",
        "x-twice: 1",
        "x-twice: 2",
        "cookie: a=1; b=2",
        "transfer-encoding: chunked",
        "",
        "5",
        "hello",
        "0",
        "x-trailer: 1",
        "",
        "",
      ].join("\r\n"),
    );
  });

  it("keeps a content-length, and says 0 where no body comes", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.write(ok)));
    const { connection, events } = await dial(peer.port);
    const told = new Told();
    connection.request(fields(["content-length", "5"]), false, told).sendData(Buffer.from("hello"), 0, 5, true);
    await until("the response", () => told.ended);
    expect(peer.received()).toContain("content-length: 5\r\n\r\nhello");
    await until("room", () => events.includes("room"));
    await oneCall(connection);
    expect(peer.received()).toMatch(/host: users.example\r\ncontent-length: 0\r\n\r\n$/);
    connection.request([new Field(":method", "GET"), new Field(":path", "/x?y")], true, new Told());
    await until("the GET", () => peer.received().endsWith("GET /x?y HTTP/1.1\r\nhost: \r\n\r\n"));
  });

  it("carries one call at a time, and the next one on the same socket", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.write(ok)));
    const { connection, events } = await dial(peer.port);
    for (let at = 0; at < 3; at++) {
      expect(connection).toMatchObject({ room: 1, streamCount: 0 });
      const told = new Told();
      connection.request(fields(), true, told);
      expect(connection).toMatchObject({ room: 0, streamCount: 1 });
      await until("the response", () => told.ended);
      expect(told.body.toString()).toBe("ok");
    }
    expect(events).toEqual(["room", "room", "room"]);
    expect(peer.sockets).toHaveLength(1);
  });

  it("gives head, data and trailers as they come", async () => {
    const peer = await startPeer();
    const { connection } = await dial(peer.port);
    const told = new Told();
    connection.request(fields(), true, told);
    await until("the request", () => peer.received() !== "");
    const [socket] = peer.sockets;
    socket!.write(
      "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n",
    );
    await until("the head", () => told.events.length === 2);
    expect(told.events).toEqual([":status=103 link=x", ":status=200 x-a=b"]);
    socket!.write("3\r\nabc\r\n");
    await until("data", () => told.body.length === 3);
    socket!.write("0\r\ngrpc-status: 0\r\n\r\n");
    await until("the end", () => told.ended);
    expect(told.events[2]).toBe("trailers grpc-status=0");
  });

  it("does not use a connection again that the server gives up", async () => {
    for (const header of ["connection: close\r\n", "keep-alive: timeout=1\r\n"]) {
      const peer = await startPeer((socket) =>
        socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\n${header}content-length: 0\r\n\r\n`)),
      );
      const { connection, events } = await dial(peer.port);
      expect((await oneCall(connection)).cause).toBeUndefined();
      expect(events).toEqual(["goaway", "close"]);
      expect(connection).toMatchObject({ room: 0, closed: true });
    }
  });

  it("takes bytes behind a response for the end of the connection, and not for another response (C4)", async () => {
    const peer = await startPeer((socket) =>
      socket.on("data", () =>
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\nx-evil: 1\r\n\r\n"),
      ),
    );
    const { connection, events } = await dial(peer.port);
    const told = await oneCall(connection);
    expect(told.events).toEqual([":status=200 content-length=0"]);
    expect(events).toEqual(["goaway", "close"]);
  });

  it("is no loss to anybody if the server closes it while it is idle", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.write(ok)));
    const { connection, events } = await dial(peer.port);
    await oneCall(connection);
    peer.sockets[0]!.end();
    await until("the close", () => events.includes("close"));
    expect(events).toEqual(["room", "goaway", "close"]);
    expect(connection.closed).toBe(true);
  });

  it("takes a response without a length up to the close", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nall")));
    const { connection, events } = await dial(peer.port);
    const told = await oneCall(connection);
    expect(told).toMatchObject({ ended: true, cause: undefined });
    expect(told.body.toString()).toBe("all");
    expect(events).toEqual(["goaway", "close"]);
  });

  it.each([
    ["before the head", "", "connection"],
    ["in the body", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "connection"],
    ["between chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "connection"],
  ])("says that the connection was lost %s", async (_where, text, cause) => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.end(text)));
    const { connection, events } = await dial(peer.port);
    const told = await oneCall(connection);
    expect(told).toMatchObject({ cause, ended: false });
    expect(events).toEqual(["lost"]);
  });

  it("ends the call and the connection at a malformed response", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\na : b\r\n\r\n")));
    const { connection, events } = await dial(peer.port);
    expect((await oneCall(connection)).cause).toBe("malformed");
    expect(events).toEqual(["goaway", "close"]);
  });

  it("ends the call and the connection, and not the process, where its user throws", async () => {
    const peer = await startPeer((socket) => socket.on("data", () => socket.write(ok)));
    const { connection, events } = await dial(peer.port);
    const told = new Told();
    told.onHeaders = () => {
      throw new TypeError("a fault of ours");
    };
    expect(await oneCall(connection, told)).toMatchObject({ cause: "connection", ended: false });
    expect(events).toEqual(["lost"]);
    expect(connection).toMatchObject({ closed: true, room: 0, streamCount: 0 });
  });

  it("ends the connection to cancel a call", async () => {
    const peer = await startPeer();
    const { connection, events } = await dial(peer.port);
    const told = new Told();
    const stream = connection.request(fields(), false, told);
    await until("the request", () => peer.received() !== "");
    const closed = new Promise((resolve) => peer.sockets[0]!.once("close", resolve));
    stream.reset(8);
    await closed;
    expect(told.cause).toBeUndefined();
    expect(events).toEqual(["goaway", "close"]);
  });

  it("says 0 only where nothing can follow: else by chunks, once the end has come", async () => {
    const peer = await startPeer();
    const { connection } = await dial(peer.port);
    const stream = connection.request(fields(["content-length", "0"]), false, new Told());
    await until("the head", () => peer.received().endsWith("\r\n\r\n"));
    expect(peer.received()).toContain("transfer-encoding: chunked");
    expect(peer.received()).not.toContain("content-length");
    stream.end();
    await until("the end", () => peer.received().endsWith("\r\n\r\n0\r\n\r\n"));
  });

  it("never sends more or less than a content-length promised", async () => {
    for (const send of [Buffer.from("too long"), Buffer.from("abc")]) {
      const peer = await startPeer();
      const { connection } = await dial(peer.port);
      const told = new Told();
      connection.request(fields(["content-length", "5"]), false, told).sendData(send, 0, send.length, true);
      await until("the reset", () => told.cause !== undefined);
      expect(connection.closed).toBe(true);
      expect(peer.received()).not.toContain("too long");
    }
  });

  it("refuses a path that would end the request line", async () => {
    const peer = await startPeer();
    const { connection } = await dial(peer.port);
    const told = new Told();
    connection.request([new Field(":method", "POST"), new Field(":path", "/a b HTTP/1.1")], true, told);
    await until("the reset", () => told.cause !== undefined);
    expect(peer.received()).toBe("");
  });

  it("gives a response that comes before the request's end, and cuts the request at it", async () => {
    const peer = await startPeer((socket) => socket.once("data", () => socket.write(ok)));
    const { connection, events } = await dial(peer.port);
    const told = new Told();
    const stream = connection.request(fields(), false, told);
    await until("the response", () => told.ended);
    expect(connection.room).toBe(0);
    stream.end();
    expect(events).toEqual(["goaway", "close"]);
    await until("the peer's close", () => peer.sockets[0]!.closed);
    expect(peer.received()).not.toContain("0\r\n\r\n");
  });

  it("stops to read a response that isn't consumed, and goes on when it is", async () => {
    const length = 20 << 20;
    let written = 0;
    const peer = await startPeer((socket) =>
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`);
        const push = () => {
          while (written < length) {
            written += 1 << 16;
            if (!socket.write(Buffer.alloc(1 << 16))) return socket.once("drain", push);
          }
        };
        push();
      }),
    );
    const { connection } = await dial(peer.port);
    let got = 0;
    let ended = false;
    const told = new Told();
    told.onData = (_bytes, start, stop, end) => {
      got += stop - start;
      ended ||= end;
      if (consuming) stream.consume(stop - start);
    };
    let consuming = false;
    const stream = connection.request(fields(), true, told);
    await until("some of it", () => got >= 65_535);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(got).toBeLessThan(200_000);
    expect(written).toBeLessThan(length);
    consuming = true;
    stream.consume(got);
    await until("all of it", () => ended, 20_000);
    expect(got).toBe(length);
    expect(connection.room).toBe(1);
  });

  it("holds back a request that isn't read, and tells as it leaves", async () => {
    const peer = await startPeer((socket) => socket.pause());
    const { connection } = await dial(peer.port);
    const told = new Told();
    const stream = connection.request(fields(), false, told);
    const piece = Buffer.alloc(1 << 16);
    let held = 0;
    let total = 0;
    while (held === 0 && total < 64 << 20) {
      total += piece.length;
      if (!stream.sendData(piece, 0, piece.length, false)) held += piece.length;
      await new Promise(setImmediate);
    }
    expect(held).toBe(piece.length);
    expect(told.sent).toBe(0);
    stream.end();
    let received = 0;
    peer.sockets[0]!.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    peer.sockets[0]!.resume();
    await until("what was held", () => told.sent === held);
    await until("all", () => received > total);
  });

  it("knows that nothing was sent, and so that a call can be tried elsewhere", () => {
    class FakeSocket extends EventEmitter {
      readonly writableLength = 0;
      write = () => true;
      end = () => {};
      cork = () => {};
      uncork = () => {};
      pause = () => {};
      resume = () => {};
      destroy = () => {};
    }
    const socket = new FakeSocket();
    const events: string[] = [];
    const connection = new Http1ClientConnection(socket, {
      listener: { onClose: () => events.push("close") },
      streamIdleTimeoutMs: 0,
      initialWindowSize: 65_535,
      maxSocketBuffer: 1 << 16,
    });
    const told = new Told();
    connection.request(fields(), true, told);
    socket.emit("end"); // in the same turn: the request hasn't been written yet
    expect(told.cause).toBe("unprocessed");
    expect(events).toEqual(["close"]);
  });

  it("closes when it has been idle for long, or a call for longer", () => {
    const connectionOf = (events: string[]) =>
      new Http1ClientConnection(
        Object.assign(new EventEmitter(), {
          writableLength: 0,
          write: () => true,
          end() {},
          cork() {},
          uncork() {},
          pause() {},
          resume() {},
          destroy() {},
        }),
        {
          listener: { onGoaway: () => events.push("goaway"), onClose: () => events.push("close") },
          streamIdleTimeoutMs: 60_000,
          initialWindowSize: 65_535,
          maxSocketBuffer: 1 << 16,
        },
      );
    const events: string[] = [];
    const idle = connectionOf(events);
    idle.check(performance.now() + 3_000);
    expect(events).toEqual([]);
    idle.check(performance.now() + 5_000);
    expect(events).toEqual(["goaway", "close"]);
    const busy = connectionOf(events);
    const told = new Told();
    busy.request(fields(), true, told);
    busy.check(performance.now() + 50_000);
    expect(told.cause).toBeUndefined();
    busy.check(performance.now() + 61_000);
    expect(told.cause).toBe("idle");
  });
});

describe("dialHttp1()", () => {
  const authority = new CertificateAuthority("upstream test");
  const leaf = authority.issue({ commonName: "server", dns: ["users.example"], ips: ["127.0.0.1"] });
  const tls = (serverName: string): DialTls => ({ context: createTlsContext({ ca: authority.cert }), serverName });

  it.each([["http/1.1"], [undefined]])("speaks over TLS to a server whose ALPN is %s", async (alpn) => {
    const answer = (socket: Socket) => socket.on("data", () => socket.write(ok));
    const options = { cert: leaf.cert, key: leaf.key, ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }) };
    const { connection } = await dial(await listen(createTlsServer(options, answer)), tls("users.example"));
    expect((await oneCall(connection)).body.toString()).toBe("ok");
  });

  it("fails where only HTTP/2 is spoken, the name is another, or nobody listens", async () => {
    const http2 = createSecureServer({ cert: leaf.cert, key: leaf.key });
    await expect(dial(await listen(http2 as unknown as Server), tls("users.example"))).rejects.toThrow();
    const other = createTlsServer({ cert: leaf.cert, key: leaf.key }, (socket) => socket.on("error", () => {}));
    await expect(dial(await listen(other), tls("orders.example"))).rejects.toThrow("orders.example");
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    await expect(dial(port)).rejects.toThrow(`127.0.0.1:${port}`);
  });
});
