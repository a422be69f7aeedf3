/** Responses on the wire: how each is framed, and that none can be read as another (RFC 9112 sections 6 and 11.1). */
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/http2/errors.ts";
import { Field } from "../../src/http2/field.ts";
import { open, type Recorded, requestText } from "./memory.ts";

/** What goes out for one request, answered so. */
async function answerTo(line: string, answer: (request: Recorded) => void): Promise<string> {
  const { socket, send, requests } = open();
  send(line.endsWith("1.0") ? `${line}\r\n\r\n` : requestText(line));
  answer(requests[0]!);
  return socket.take();
}

describe("a response", () => {
  it("is chunked where nothing says how long it is", async () => {
    const text = await answerTo("GET /", (request) => {
      request.head(200, false, ["content-type", "text/plain"], ["x-a", "1"], ["x-a", "2"]);
      request.data("0123456789abcdef");
      request.data("x", true);
    });
    expect(text).toBe(
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-a: 1\r\nx-a: 2\r\ntransfer-encoding: chunked\r\n\r\n" +
        "10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\n\r\n",
    );
  });

  it.each([1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 1_000_000])(
    "of a chunk of %i bytes has its size",
    async (size) => {
      const text = await answerTo("GET /", (request) => request.answer(200, "x".repeat(size)));
      expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe(`${size.toString(16)}\r\n${"x".repeat(size)}\r\n0\r\n\r\n`);
    },
  );

  it("keeps its content-length", async () => {
    const text = await answerTo("GET /", (request) => request.answer(200, "abc", ["content-length", "3"]));
    expect(text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
  });

  it("without a body says so", async () => {
    expect(await answerTo("GET /", (request) => request.answer(404))).toBe(
      "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    );
    expect(await answerTo("GET /", (request) => request.answer(200, "", ["content-length", "0"]))).toBe(
      "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
  });

  it("of an unknown status has no reason phrase, but its space (section 4)", async () => {
    expect(await answerTo("GET /", (request) => request.answer(799))).toBe(
      "HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n",
    );
  });

  it("has its trailers behind the last chunk", async () => {
    const text = await answerTo("GET /", (request) => {
      request.head(200, false);
      request.data("abc");
      request.end(["grpc-status", "0"], ["x-bin", "AA"]);
    });
    expect(text).toMatch(/\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\nx-bin: AA\r\n\r\n$/);
  });

  it("has no trailers where there are no chunks", async () => {
    const text = await answerTo("GET /", (request) => {
      request.head(200, false, ["content-length", "3"]);
      request.data("abc");
      request.end(["grpc-status", "0"]);
    });
    expect(text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
  });

  it("leaves names out of its trailers that belong to the head", async () => {
    const text = await answerTo("GET /", (request) => {
      request.head(200, false);
      request.end(
        ["content-length", "3"],
        ["transfer-encoding", "x"],
        ["connection", "close"],
        [":status", "500"],
        ["x-t", "1"],
      );
    });
    expect(text).toMatch(/\r\n\r\n0\r\nx-t: 1\r\n\r\n$/);
  });

  it.each([
    ["HEAD /", 200, [["content-length", "3"]], "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"],
    ["HEAD /", 200, [], "HTTP/1.1 200 OK\r\n\r\n"],
    ["GET /", 304, [["content-length", "3"]], "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n"],
    ["GET /", 304, [], "HTTP/1.1 304 Not Modified\r\n\r\n"],
    ["GET /", 204, [["content-length", "3"]], "HTTP/1.1 204 No Content\r\n\r\n"],
    ["GET /", 204, [], "HTTP/1.1 204 No Content\r\n\r\n"],
    [
      "OPTIONS /",
      204,
      [["access-control-allow-origin", "*"]],
      "HTTP/1.1 204 No Content\r\naccess-control-allow-origin: *\r\n\r\n",
    ],
  ] as const)("to %s with %i has no body, whatever is sent", async (line, status, fields, text) => {
    expect(await answerTo(line, (request) => request.answer(status, "abc", ...fields))).toBe(text);
    expect(await answerTo(line, (request) => request.answer(status, "", ...fields))).toBe(text);
    const withTrailers = (request: Recorded) => {
      request.head(status, false, ...fields);
      request.data("ab");
      request.end(["grpc-status", "0"]);
    };
    expect(await answerTo(line, withTrailers)).toBe(text);
  });

  it("to HTTP/1.0 ends with the connection, and has neither chunks nor trailers", async () => {
    const { socket, send, requests, closes } = open();
    send("GET / HTTP/1.0\r\n\r\n");
    requests[0]!.head(103, false, ["link", "x"]);
    requests[0]!.head(200, false);
    requests[0]!.data("abc");
    requests[0]!.end(["grpc-status", "0"]);
    expect(await socket.take()).toBe("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
    expect(socket.state).toBe("ended");
    expect(closes).toEqual([undefined]);
  });

  it("to HTTP/1.0 keeps its content-length, and the connection is closed all the same", async () => {
    expect(await answerTo("GET / HTTP/1.0", (request) => request.answer(200, "abc", ["content-length", "3"]))).toBe(
      "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
    );
  });

  it("may have interim ones before it (RFC 9110 section 15.2)", async () => {
    const text = await answerTo("GET /", (request) => {
      request.head(103, false, ["link", "</a>"], ["content-length", "7"]);
      request.answer(200, "a", ["content-length", "1"]);
    });
    expect(text).toBe("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na");
  });

  it("has no fields that are the connection's to say", async () => {
    const text = await answerTo("GET /", (request) =>
      request.answer(
        200,
        "",
        ["connection", "upgrade"],
        ["transfer-encoding", "gzip"],
        ["upgrade", "h2c"],
        ["keep-alive", "timeout=9"],
        ["proxy-connection", "x"],
        ["te", "trailers"],
        [":path", "/"],
        ["x-a", "1"],
      ),
    );
    expect(text).toBe("HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n");
  });

  it("writes bytes above 0x7f as they are, and no character that isn't a byte", async () => {
    const text = await answerTo("GET /", (request) =>
      request.answer(200, "", ["x-a", "\xe9\xff"], ["x-b", "\u010a\u560d"]),
    );
    expect(text).toContain("x-a: \xe9\xff\r\nx-b: ??\r\n");
  });

  it("says twice the same content-length once", async () => {
    const text = await answerTo("GET /", (request) =>
      request.answer(200, "abc", ["content-length", "3"], ["x-a", "1"], ["content-length", "3"]),
    );
    expect(text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: 1\r\n\r\nabc");
  });
});

describe("a response that would be split (section 11.1)", () => {
  it.each([
    ["CR LF in a value", ["x-a", "1\r\nset-cookie: b"]],
    ["LF in a value", ["x-a", "1\nset-cookie: b"]],
    ["CR in a value", ["x-a", "1\rset-cookie: b"]],
    ["NUL in a value", ["x-a", "1\0"]],
    ["CR LF in a name", ["x-a\r\nset-cookie", "b"]],
    ["a colon in a name", ["x-a: b\r\nset-cookie", "b"]],
    ["a space in a name", ["x a", "b"]],
    ["no name", ["", "b"]],
    ["CR LF in Content-Length", ["content-length", "0\r\nset-cookie: b"]],
  ] as const)("by %s lacks that field", async (_what, field) => {
    const inHead = await answerTo("GET /", (request) => request.answer(200, "", field, ["x-kept", "1"]));
    expect(inHead).toBe("HTTP/1.1 200 OK\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n");
    const inTrailers = await answerTo("GET /", (request) => {
      request.head(200, false);
      request.end(field, ["x-kept", "1"]);
    });
    expect(inTrailers).toMatch(/\r\n\r\n0\r\nx-kept: 1\r\n\r\n$/);
  });

  it.each([
    ["a status with a line end", [new Field(":status", "200\r\nset-cookie: b")]],
    ["a status of two digits", [new Field(":status", "20")]],
    ["no status", [new Field("x-a", "1")]],
    ["a status that isn't first", [new Field("x-a", "1"), new Field(":status", "200")]],
    ["no fields", []],
    ["101, which nobody asked for", [new Field(":status", "101"), new Field("upgrade", "h2c")]],
    ["a content-length that is no number", [new Field(":status", "200"), new Field("content-length", "3a")]],
    ["two of them", [new Field(":status", "200"), new Field("content-length", "3"), new Field("content-length", "4")]],
  ])("by %s becomes a 500", async (_what, fields) => {
    const { socket, send, requests, closes } = open();
    send(requestText("GET /"));
    requests[0]!.stream.sendHeaders(fields, false);
    requests[0]!.data("abc", true);
    expect(await socket.take()).toBe(
      "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 15\r\nconnection: close\r\n\r\ninternal error\n",
    );
    expect(socket.state).toBe("ended");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.internalError, cause: "connection" });
    expect(closes).toHaveLength(1);
  });
});

describe("a response with a content-length that isn't true (fault C4)", () => {
  /** The response is cut, and the user told, but not before what it did has returned. */
  async function expectCut(act: (request: Recorded) => void, earlier = ""): Promise<void> {
    const { socket, send, requests, closes } = open();
    send(requestText("GET /"));
    act(requests[0]!);
    expect(requests[0]!.reset).toBeUndefined();
    expect(await socket.take()).toBe(earlier);
    expect(socket.state).toBe("destroyed");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.internalError, cause: "connection" });
    expect(closes[0]).toMatchObject({ message: expect.stringMatching(/content-length/) });
    requests[0]!.data("more", true);
    expect(await socket.take()).toBe("");
  }

  it("of 0 and a body isn't sent", () =>
    expectCut((request) => request.answer(200, "HTTP/1.1 200 OK", ["content-length", "0"])));

  it("and more isn't sent", () => expectCut((request) => request.answer(200, "abcd", ["content-length", "3"])));

  it("and more, later, isn't sent", () =>
    expectCut((request) => {
      request.head(200, false, ["content-length", "3"]);
      request.data("abc");
      request.data("d", true);
    }));

  it("and less isn't whole", () => expectCut((request) => request.answer(200, "ab", ["content-length", "3"])));

  it("and less before trailers isn't whole", () =>
    expectCut((request) => {
      request.head(200, false, ["content-length", "3"]);
      request.end(["grpc-status", "0"]);
    }));

  it("and no body becomes a 500", async () => {
    const text = await answerTo("GET /", (request) => request.head(200, true, ["content-length", "3"]));
    expect(text).toMatch(/^HTTP\/1\.1 500 /);
  });

  it("or with a second head is cut as well", async () => {
    const { socket, send, requests } = open();
    send(requestText("GET /"));
    requests[0]!.head(200, false);
    requests[0]!.head(200, false);
    expect(await socket.take()).toBe("");
    expect(socket.state).toBe("destroyed");
    expect(requests[0]!.reset).toEqual({ code: ErrorCode.internalError, cause: "connection" });
  });

  it("is cut where part of it has left", async () => {
    const { socket, send, requests } = open();
    send(requestText("GET /"));
    requests[0]!.head(200, false, ["content-length", "3"]);
    requests[0]!.data("ab");
    expect(await socket.take()).toMatch(/\r\n\r\nab$/);
    requests[0]!.data("cd");
    expect(await socket.take()).toBe("");
    expect(socket.state).toBe("destroyed");
  });
});
