/** The life of a connection: what is answered when, how it goes on, and how it ends (RFC 9112 section 9). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { sleep } from "../support/until.ts";
import { spoiltStream } from "./inputs.ts";
import { open, requestText } from "./memory.ts";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const okClose = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const chunkedField = "Transfer-Encoding: chunked";

describe("a connection", () => {
  it("serves one request after another", async () => {
    const { connection, socket, send, requests } = open({
      onRequest: (request) => request.isEnded && request.answer(200),
    });
    for (let i = 0; i < 3; i++) {
      send(requestText(`GET /${i}`));
      expect(await socket.take()).toBe(ok);
    }
    send(requestText("POST /3", [], "abc"));
    expect(requests[3]).toMatchObject({ body: "abc", isEnded: true });
    expect(connection.streamCount).toBe(1);
    expect(connection.streams.all()).toEqual([requests[3]!.stream]);
    requests[3]!.answer(200);
    expect(await socket.take()).toBe(ok);
    expect(connection.streamCount).toBe(0);
    expect(connection.streams.all()).toEqual([]);
    expect(requests.map(({ reset }) => reset)).toEqual([undefined, undefined, undefined, undefined]);
    expect(requests[3]!.stream).toMatchObject({ localEnded: true, remoteEnded: true, closed: true });
    expect(socket.state).toBe("open");
  });

  it("gives the body as it comes, and trailers", () => {
    const { send, requests } = open();
    send(`${requestText("POST /", [chunkedField])}3\r\nab`);
    expect(requests[0]).toMatchObject({ body: "ab", isEnded: false });
    send("c\r\n0\r\nX-T: 1\r\n");
    expect(requests[0]).toMatchObject({ body: "abc", isEnded: false, trailers: undefined });
    send("\r\n");
    expect(requests[0]).toMatchObject({ isEnded: true, trailers: ["x-t: 1"] });
    expect(requests[0]!.stream.remoteEnded).toBe(true);
  });

  it("closes after a request that says so, and reads nothing behind it", async () => {
    const { socket, send, requests, closes } = open({ onRequest: (request) => request.answer(200) });
    send(requestText("GET /1", ["Connection: foo, CLOSE"]) + requestText("GET /2"));
    expect(await socket.take()).toBe(okClose);
    expect(requests).toHaveLength(1);
    expect(socket.state).toBe("ended");
    expect(closes).toEqual([undefined]);
  });

  it("closes after as many requests as it is told", async () => {
    const { socket, send } = open({ settings: { maxRequests: 2 }, onRequest: (request) => request.answer(200) });
    send(requestText("GET /1"));
    expect(await socket.take()).toBe(ok);
    send(requestText("GET /2"));
    expect(await socket.take()).toBe(okClose);
    expect(socket.state).toBe("ended");
  });

  it("ignores Upgrade", async () => {
    const { socket, send, requests } = open({ onRequest: (request) => request.answer(200) });
    send(requestText("GET /", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]));
    expect(requests[0]!.fields.slice(4)).toEqual([]);
    expect(await socket.take()).toBe(ok);
  });
});

describe("pipelined requests (section 9.3.2)", () => {
  it("are answered in order, each begun when the one before it is over", async () => {
    const { socket, send, requests } = open();
    send(requestText("GET /1") + requestText("POST /2", [], "abc") + requestText("GET /3"));
    expect(requests.map(({ fields }) => fields[3])).toEqual([":path: /1"]);
    requests[0]!.head(200, false, ["content-length", "1"]);
    expect(requests).toHaveLength(1);
    requests[0]!.data("1", true);
    expect(requests.map(({ body }) => body)).toEqual(["", "abc"]);
    requests[1]!.answer(201);
    requests[2]!.answer(202);
    expect((await socket.take()).match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 201", "HTTP/1.1 202"]);
  });

  it("can be many, answered at once", async () => {
    const { socket, send, requests } = open({ onRequest: (request) => request.answer(200) });
    send(requestText("GET /").repeat(2_000));
    expect(requests).toHaveLength(2_000);
    expect(await socket.take()).toBe(ok.repeat(2_000));
  });

  it("can be many, answered one by one", async () => {
    const { socket, send, requests } = open();
    for (let i = 0; i < 20; i++) send(requestText(`GET /${i}`).repeat(50));
    for (let i = 0; i < 1_000; i++) requests[i]!.answer(200);
    expect(requests).toHaveLength(1_000);
    expect(requests[999]!.fields).toContain(":path: /19");
    expect(await socket.take()).toBe(ok.repeat(1_000));
  });

  it("wait in the socket once 64 KiB of them are held", () => {
    const { socket, send, requests } = open();
    send(requestText("GET /first"));
    const one = requestText("GET /", [`X-A: ${"x".repeat(8_000)}`]);
    for (let i = 0; i < 8; i++) send(one);
    expect(socket.isPaused).toBe(false);
    send(one);
    expect(socket.isPaused).toBe(true);
    requests[0]!.answer(200);
    requests[1]!.answer(200);
    expect(socket.isPaused).toBe(false);
    for (let i = 2; i < 10; i++) requests[i]!.answer(200);
    expect(requests).toHaveLength(10);
  });

  it("are read the same when they come a byte at a time behind one that is being answered", () => {
    const { send, requests } = open();
    send(requestText("GET /first"));
    for (const byte of requestText("POST /1", [], "abc") + requestText("POST /2", [], "def")) send(byte);
    for (let at = 0; at < 3; at++) requests[at]!.answer(200);
    expect(requests.map(({ body }) => body)).toEqual(["", "abc", "def"]);
  });

  it("aren't begun while the peer doesn't read its responses", async () => {
    const { socket, send, requests } = open({ onRequest: (request) => request.answer(200, "x".repeat(300_000)) });
    socket.stalled = true;
    send(requestText("GET /").repeat(3));
    await socket.take();
    expect(requests).toHaveLength(1);
    socket.drain();
    await socket.take();
    expect(requests).toHaveLength(2);
    send(requestText("GET /"));
    expect(requests).toHaveLength(2);
    socket.stalled = false;
    socket.drain();
    await socket.take();
    expect(requests).toHaveLength(4);
  });
});

describe("Expect: 100-continue (RFC 9110 section 10.1.1)", () => {
  const post = requestText("POST /", ["Expect: 100-continue", "Content-Length: 3"]);

  it("is answered when the request is taken", async () => {
    const { socket, send, requests } = open();
    send(post);
    expect(await socket.take()).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    expect(requests[0]!.fields.some((field) => field.startsWith("expect"))).toBe(false);
    send("abc");
    requests[0]!.answer(200);
    expect(await socket.take()).toBe(ok);
    expect(socket.state).toBe("open");
  });

  it("isn't answered where the request is refused at once; then nobody knows whether its body comes", async () => {
    const { socket, send, requests } = open({ onRequest: (request) => request.answer(401) });
    send(post);
    send(requestText("GET /smuggled"));
    expect(await socket.take()).toBe("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    expect(requests).toHaveLength(1);
    expect(socket.state).toBe("ended");
  });

  it("is answered in its turn behind another response", async () => {
    const { socket, send, requests } = open();
    send(requestText("GET /") + post);
    expect(await socket.take()).toBe("");
    requests[0]!.answer(200);
    expect(await socket.take()).toBe(`${ok}HTTP/1.1 100 Continue\r\n\r\n`);
  });

  it("of anything else is 417", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /", ["Expect: 200-maybe"], "abc"));
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 417 Expectation Failed\r\n.*\r\nconnection: close\r\n\r\n/s);
    expect(requests).toEqual([]);
  });
});

describe("a response before the request's end", () => {
  it("keeps the connection for what was on its way before the caller could know", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.answer(413);
    expect(await socket.take()).toBe("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n");
    const piece = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    for (let at = 0; at < 10; at++) send(piece);
    send(`0\r\n\r\n${requestText("GET /2")}`);
    expect(requests[0]!.reset).toBeUndefined();
    requests[1]!.answer(200);
    expect(await socket.take()).toBe(ok);
  });

  it("reads on whether its user takes what follows or not", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", ["Content-Length: 200000"]));
    requests[0]!.answer(413);
    send("x".repeat(100_000));
    expect(socket.isPaused).toBe(false);
    send(`${"x".repeat(100_000)}${requestText("GET /2")}`);
    expect(requests).toHaveLength(2);
  });

  it("closes it, if more follow than a setting allows", async () => {
    const { socket, send, requests } = open({ settings: { maxDrainedBytes: 256 << 10 } });
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.answer(413);
    send(`40001\r\n${"x".repeat(0x40001)}\r\n`);
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 413/);
    expect(socket.state).toBe("ended");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.noError, cause: "connection" });
  });

  it("that is an error says that it closes, if it is known that more follow", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", ["Content-Length: 300000"]));
    requests[0]!.answer(413);
    expect(await socket.take()).toBe(
      "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    expect(socket.state).toBe("ended");
  });

  it("that is whole says so, too, whatever it is", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", ["Content-Length: 300000"]));
    requests[0]!.head(200, true);
    expect(await socket.take()).toMatch(/\r\nconnection: close\r\n\r\n$/);
    expect(socket.state).toBe("ended");
  });

  it("that isn't an error doesn't say so: it may last until all has come", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", ["Content-Length: 300000"]));
    requests[0]!.head(200, false);
    expect(await socket.take()).toBe("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    send("x".repeat(300_000));
    requests[0]!.end();
    await socket.take();
    expect(socket.state).toBe("open");
  });

  it("keeps it, if a body without credit waits in front of the end", async () => {
    const { socket, send, requests } = open();
    send(`${requestText("POST /1", ["Content-Length: 70000"])}${"x".repeat(66_000)}`);
    expect(socket.isPaused).toBe(true);
    requests[0]!.answer(413);
    expect(socket.isPaused).toBe(false);
    send("x".repeat(4_000) + requestText("GET /2"));
    expect(requests).toHaveLength(2);
  });

  it("closes it, if the rest doesn't come within 5 s", () => {
    const { connection, socket, send, requests } = open();
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.answer(413);
    connection.check(performance.now() + 4_900);
    expect(socket.state).toBe("open");
    connection.check(performance.now() + 5_100);
    expect(socket.state).toBe("ended");
  });

  it("may stream while the request does", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.head(200, false);
    send("1\r\na\r\n");
    requests[0]!.data("A");
    send("1\r\nb\r\n0\r\n\r\n");
    requests[0]!.data("B", true);
    expect(await socket.take()).toMatch(/\r\n\r\n1\r\nA\r\n1\r\nB\r\n0\r\n\r\n$/);
    expect(requests[0]).toMatchObject({ body: "ab", isEnded: true, reset: undefined });
    expect(socket.state).toBe("open");
  });

  it("isn't lost on a peer that still sends what nobody took", async () => {
    const { socket, send, requests } = open();
    send(`${requestText("POST /1", ["Connection: close", "Content-Length: 70000"])}${"x".repeat(66_000)}`);
    expect(socket.isPaused).toBe(true);
    requests[0]!.answer(413);
    expect(socket).toMatchObject({ state: "ended", isPaused: false });
  });

  it("isn't ended by NO_ERROR, by which a user only says that it wants no more: the peer may be about to be done", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.answer(413);
    requests[0]!.stream.reset(ErrorCode.noError);
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 413/);
    send(`3\r\nabc\r\n0\r\n\r\n${requestText("GET /2")}`);
    expect(requests).toHaveLength(2);
    expect(socket.state).toBe("open");
  });

  it("ends with any other reset", async () => {
    const { socket, send, requests, closes } = open();
    send(requestText("POST /1", [chunkedField]));
    requests[0]!.answer(413);
    requests[0]!.stream.reset(ErrorCode.cancel);
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 413/);
    expect(socket.state).toBe("ended");
    expect(closes).toEqual([undefined]);
    expect(requests[0]!.reset).toBeUndefined();
  });
});

describe("backpressure", () => {
  it("pauses the socket with a window handed out, and resumes it when half of it is consumed", () => {
    const { socket, send, requests } = open();
    send(requestText("POST /", ["Content-Length: 1000000"]));
    send("x".repeat(65_534));
    expect(socket.isPaused).toBe(false);
    send("x");
    expect(socket.isPaused).toBe(true);
    requests[0]!.stream.consume(32_000);
    expect(socket.isPaused).toBe(true);
    requests[0]!.stream.consume(1_000);
    expect(socket.isPaused).toBe(false);
    send("x".repeat(32_999));
    expect(socket.isPaused).toBe(false);
    send("xx");
    expect(socket.isPaused).toBe(true);
    requests[0]!.stream.consume(1e9);
    expect(socket.isPaused).toBe(false);
    send("x".repeat(65_535));
    expect(socket.isPaused).toBe(true);
  });

  it("doesn't pause, nor stays paused, for a request that is whole", () => {
    const { socket, send, requests } = open();
    send(requestText("POST /", [], "x".repeat(100_000)));
    expect(socket.isPaused).toBe(false);
    requests[0]!.answer(200);
    send(`${requestText("POST /", ["Content-Length: 70000"])}${"x".repeat(69_000)}`);
    expect(socket.isPaused).toBe(true);
    send("x".repeat(1_000)); // what the runtime had read already
    expect(requests[1]!.isEnded).toBe(true);
    expect(socket.isPaused).toBe(false);
  });

  it("holds body back while more than 256 KiB wait in the socket, and tells as it leaves", async () => {
    const { socket, send, requests } = open();
    socket.stalled = true;
    send(requestText("GET /"));
    const request = requests[0]!;
    request.head(200, false);
    expect(request.data("x".repeat(300_000))).toBe(true);
    expect(request.data("abc")).toBe(false);
    expect(request.data("de")).toBe(false);
    request.end(["x-t", "1"]);
    expect(request.stream.localEnded).toBe(true);
    expect((await socket.take()).length).toBeLessThan(300_200);
    expect(request.sent).toBe(0);
    socket.stalled = false;
    socket.drain();
    expect(request.sent).toBe(5);
    expect(await socket.take()).toBe("3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n");
    expect(request.stream.closed).toBe(true);
  });

  it("holds back what one turn sends too much, in pieces however small", async () => {
    const { socket, send, requests } = open();
    socket.stalled = true;
    send(requestText("GET /"));
    requests[0]!.head(200, false);
    let left = 0;
    while (left < 10_000_000 && requests[0]!.data("x".repeat(100))) left += 100;
    expect(left).toBeLessThan(300_000);
    expect(left).toBeGreaterThan(250_000);
    expect(socket.writableLength).toBeLessThan(400_000);
  });

  it("drops what is held, so that trailers can go out", async () => {
    const { socket, send, requests } = open();
    socket.stalled = true;
    send(requestText("GET /"));
    const request = requests[0]!;
    request.head(200, false);
    request.data("x".repeat(300_000));
    request.data("abc", true);
    request.stream.dropQueue();
    request.end(["grpc-status", "4"]);
    expect(await socket.take()).toMatch(/x\r\n0\r\ngrpc-status: 4\r\n\r\n$/);
    expect(request.stream.closed).toBe(true);
  });

  it("that drops a part of a promised length cuts the response", async () => {
    const { socket, send, requests } = open();
    socket.stalled = true;
    send(requestText("GET /"));
    const request = requests[0]!;
    request.head(200, false, ["content-length", "300003"]);
    request.data("x".repeat(300_000));
    request.data("abc", true);
    request.stream.dropQueue();
    request.end();
    await socket.take();
    expect(socket.state).toBe("destroyed");
  });
});

describe("what is malformed", () => {
  it.each([
    ["400 Bad Request", "GET /\r\n\r\n"],
    ["414 URI Too Long", `GET /${"x".repeat(10_000)}`],
    ["431 Request Header Fields Too Large", `GET / HTTP/1.1\r\nX-A: ${"x".repeat(20_000)}`],
    ["501 Not Implemented", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["505 HTTP Version Not Supported", "GET / HTTP/2.0\r\n\r\n"],
  ])("is answered with %s and a close", async (status, text) => {
    const { socket, send, requests, closes, unreadable } = open();
    send(text);
    expect(unreadable).toEqual([`${status.slice(0, 3)} ${(closes[0] as Error).message}`]);
    const answer = await socket.take();
    expect(answer.startsWith(`HTTP/1.1 ${status}\r\n`)).toBe(true);
    expect(answer).toContain("\r\nconnection: close\r\n");
    const [head, body] = answer.split("\r\n\r\n");
    expect(head).toContain(`content-length: ${body!.length}`);
    expect(socket.state).toBe("ended");
    expect(socket.isPaused).toBe(false);
    expect(requests).toEqual([]);
    expect(closes[0]).toMatchObject({ name: "RequestError" });
    send(requestText("GET /"));
    expect(requests).toEqual([]);
  });

  it("waits for the responses before it", async () => {
    const { socket, send, requests } = open();
    send(`${requestText("GET /1")}GET  / HTTP/1.1\r\n\r\n`);
    expect(await socket.take()).toBe("");
    requests[0]!.answer(200);
    expect((await socket.take()).match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400"]);
  });

  it("in a body resets the request, which is answered with 400 if it can", async () => {
    const { socket, send, requests, unreadable } = open();
    send(`${requestText("POST /", [chunkedField])}zz\r\n`);
    expect(unreadable).toEqual([]); // it was a request, of which the proxy knows
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.protocolError, cause: "malformed" });
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 400 /);
    expect(socket.state).toBe("ended");
  });

  it("in a body cuts the response that has begun", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /", [chunkedField]));
    requests[0]!.head(200, false);
    send("zz\r\n");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.protocolError, cause: "malformed" });
    expect(await socket.take()).not.toContain("400");
    expect(socket.state).toBe("destroyed");
  });

  it("in a body lets a response stand that is whole", async () => {
    const { socket, send, requests } = open();
    send(requestText("POST /", [chunkedField]));
    requests[0]!.answer(200);
    send("zz\r\n");
    expect(await socket.take()).toBe(ok);
    expect(socket.state).toBe("ended");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.protocolError, cause: "malformed" });
  });

  it("never makes receive throw, and ends in an answer", async () => {
    await fc.assert(
      fc.asyncProperty(spoiltStream, async (text) => {
        const { connection, socket, send, requests, closes } = open({
          onRequest: (request) => request.isEnded && request.answer(200),
        });
        connection.receive(Buffer.from(text, "latin1"));
        const answer = await socket.take();
        if (connection.closed) expect(answer).toMatch(/connection: close\r\n/);
        socket.emit("end");
        expect(connection.closed).toBe(true);
        expect(closes).toHaveLength(1);
        for (const { isEnded, reset } of requests) if (!isEnded) expect(reset).toBeDefined();
        send("GET / HTTP/1.1\r\n\r\n");
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("the end", () => {
  it("by a listener that throws is a 500", async () => {
    const { socket, send, closes } = open({
      onRequest() {
        throw new TypeError("bug");
      },
    });
    send(requestText("GET /"));
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 500 .*\r\n\r\ninternal error\n$/s);
    expect(closes).toEqual([new TypeError("bug")]);
  });

  it("of a request by reset is a 500 and a close, or a 503 where it may be tried again", async () => {
    for (const [code, status] of [
      [ErrorCode.cancel, "500"],
      [ErrorCode.refusedStream, "503"],
    ] as const) {
      const { socket, send, requests, closes } = open();
      send(requestText("GET /"));
      requests[0]!.stream.reset(code);
      expect(await socket.take()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*connection: close`, "s"));
      expect(socket.state).toBe("ended");
      expect(requests[0]!.reset).toBeUndefined();
      expect(requests[0]!.stream.closed).toBe(true);
      expect(closes).toHaveLength(1);
    }
  });

  it("of a response by reset cuts it, behind what was sent", async () => {
    const { socket, send, requests, closes } = open();
    send(requestText("GET /"));
    requests[0]!.head(200, false);
    requests[0]!.data("abc");
    requests[0]!.stream.reset(ErrorCode.internalError);
    expect(await socket.take()).toMatch(/\r\n\r\n3\r\nabc\r\n$/);
    expect(socket.state).toBe("destroyed");
    expect(closes).toHaveLength(1);
    expect(requests[0]!.reset).toBeUndefined();
  });

  it.each([
    ["end", undefined],
    ["close", undefined],
    ["error", new Error("ECONNRESET")],
  ])("by the peer's %s tells the request", (event, error) => {
    const { connection, socket, send, requests, closes } = open();
    send(requestText("GET /"));
    requests[0]!.head(200, false);
    socket.emit(event, error);
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.cancel, cause: "peer" });
    expect(closes).toEqual([error]);
    expect(connection.closed).toBe(true);
    expect(connection.streamCount).toBe(0);
    expect(socket.state).toBe("destroyed");
    socket.emit("close");
    expect(closes).toHaveLength(1);
  });

  it("by the peer's end lets a response out that is whole", async () => {
    const { socket, send, closes } = open({ onRequest: (request) => request.answer(200) });
    send(requestText("GET /"));
    socket.emit("end");
    expect(await socket.take()).toBe(ok);
    expect(socket.state).toBe("ended");
    expect(closes).toEqual([undefined]);
  });

  it("by shutdown comes at once where nothing is under way", () => {
    const { connection, socket, closes } = open();
    connection.shutdown();
    expect(socket.state).toBe("ended");
    expect(closes).toEqual([undefined]);
    connection.shutdown();
    expect(closes).toHaveLength(1);
  });

  it("by shutdown comes behind the request under way, which is told", async () => {
    const { connection, socket, send, requests, closes } = open();
    send(requestText("GET /1") + requestText("GET /2"));
    connection.shutdown();
    expect(closes).toEqual([]);
    requests[0]!.answer(200);
    expect(await socket.take()).toBe(okClose);
    expect(requests).toHaveLength(1);
    expect(closes).toEqual([undefined]);
  });

  it("by shutdown comes behind a request whose head is coming, or a response that has begun", async () => {
    const coming = open();
    coming.send("GET / HTTP/1.1\r\nHo");
    coming.connection.shutdown();
    coming.send("st: a\r\n\r\n");
    coming.requests[0]!.answer(200);
    expect(await coming.socket.take()).toBe(okClose);
    expect(coming.socket.state).toBe("ended");
    const begun = open();
    begun.send(requestText("GET /"));
    begun.requests[0]!.head(200, false);
    begun.connection.shutdown();
    begun.requests[0]!.data("a", true);
    expect(await begun.socket.take()).toMatch(/1\r\na\r\n0\r\n\r\n$/);
    expect(begun.socket.state).toBe("ended");
  });

  it("by destroy tells the request, and cuts a response that has begun", async () => {
    const error = new Error("over");
    const waiting = open();
    waiting.send(requestText("GET /"));
    waiting.connection.destroy(error);
    expect(waiting.requests[0]!.reset).toEqual({ code: ErrorCode.internalError, cause: "connection" });
    expect(waiting.closes).toEqual([error]);
    expect(waiting.socket.state).toBe("ended");
    const begun = open();
    begun.send(requestText("GET /"));
    begun.requests[0]!.head(200, false);
    begun.connection.destroy();
    expect(begun.socket.state).toBe("destroyed");
    begun.connection.destroy();
    expect(begun.closes).toEqual([undefined]);
  });

  it("by destroy lets an answer out that was given just before", async () => {
    const { connection, socket, send, requests } = open();
    send(requestText("POST /", [chunkedField]));
    requests[0]!.answer(503, "gone", ["content-length", "4"]);
    connection.destroy();
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 503 .*\r\n\r\ngone$/s);
    expect(socket.state).toBe("ended");
  });

  it("in the midst of a request's callback is safe", async () => {
    for (const act of ["destroy", "shutdown", "reset"] as const) {
      const opened = open({
        onRequest(request) {
          if (act === "reset") request.stream.reset(ErrorCode.cancel);
          else opened.connection[act]();
        },
      });
      opened.send(requestText("POST /1", [], "abc") + requestText("GET /2"));
      expect(opened.requests).toHaveLength(1);
      expect(opened.closes).toHaveLength(act === "shutdown" ? 0 : 1);
      expect(opened.requests[0]!.body).toBe(act === "shutdown" ? "abc" : "");
    }
  });
});

describe("deadlines (fault D1)", () => {
  const later = (ms: number) => performance.now() + ms;

  it("30 s for the first byte", async () => {
    const { connection, socket } = open();
    connection.check(later(29_000));
    expect(socket.state).toBe("open");
    connection.check(later(31_000));
    expect(socket.state).toBe("ended");
    expect(await socket.take()).toBe("");
  });

  it("30 s for a header section, however often a byte of it comes", async () => {
    const { connection, socket, send, requests } = open({ onRequest: (request) => request.answer(200) });
    send(`${requestText("GET /")}G`);
    await socket.take();
    for (const byte of "ET / HTTP/1.1\r\nHost: a\r\n") send(byte);
    connection.check(later(29_000));
    expect(socket.state).toBe("open");
    connection.check(later(31_000));
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n.*connection: close/s);
    expect(socket.state).toBe("ended");
    expect(requests).toHaveLength(1);
  });

  it("30 s for each header section anew", async () => {
    const { connection, socket, send } = open({ onRequest: (request) => request.answer(200) });
    const text = requestText("GET /");
    send(text.slice(0, 9));
    await sleep(200);
    send(text.slice(9) + text.slice(0, 9));
    connection.check(later(29_900));
    expect(socket.state).toBe("open");
    connection.check(later(30_100));
    expect(socket.state).toBe("ended");
  });

  it("60 s for a byte of a body", async () => {
    const { connection, socket, send, requests } = open();
    send(requestText("POST /", [chunkedField]));
    connection.check(later(59_000));
    expect(socket.state).toBe("open");
    connection.check(later(59_800)); // so that a byte a minute isn't enough
    expect(await socket.take()).toMatch(/^HTTP\/1\.1 408 /);
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.cancel, cause: "idle" });
  });

  it("none for a body that isn't read", () => {
    const { connection, socket, send } = open();
    send(`${requestText("POST /", ["Content-Length: 1000000"])}${"x".repeat(70_000)}`);
    expect(socket.isPaused).toBe(true);
    connection.check(later(290_000));
    expect(socket.state).toBe("open");
  });

  it("5 min for anything to move either way", async () => {
    const waiting = open();
    waiting.send(requestText("GET /"));
    waiting.connection.check(later(299_000));
    expect(waiting.socket.state).toBe("open");
    waiting.connection.check(later(301_000));
    expect(await waiting.socket.take()).toMatch(/^HTTP\/1\.1 504 /);
    expect(waiting.requests[0]!.reset).toEqual({ code: ErrorCode.cancel, cause: "idle" });
    const begun = open();
    begun.send(requestText("GET /"));
    begun.requests[0]!.head(200, false);
    begun.connection.check(later(301_000));
    expect(begun.socket.state).toBe("destroyed");
    expect(begun.requests[0]!.reset).toEqual({ code: ErrorCode.cancel, cause: "idle" });
  });

  it("2 min between requests, whatever empty lines come", async () => {
    const { connection, socket, send } = open({ onRequest: (request) => request.answer(200) });
    send(requestText("GET /"));
    send("\r\n");
    await socket.take();
    connection.check(later(119_000));
    expect(socket.state).toBe("open");
    connection.check(later(121_000));
    expect(socket.state).toBe("ended");
    expect(await socket.take()).toBe("");
  });
});
