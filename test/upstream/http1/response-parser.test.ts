import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ResponseParser } from "../../../src/upstream/http1/response-parser.ts";

interface Read {
  heads: string[][];
  body: string;
  trailers: string[] | undefined;
  ended: boolean;
  /** The last head's. */
  close: boolean | undefined;
  /** Bytes that weren't read. */
  left: number;
}

/** Reads pieces one after the other, and the peer's close if asked to. */
function read(pieces: readonly Buffer[], { isHead = false, closed = false } = {}): Read {
  const result: Read = { heads: [], body: "", trailers: undefined, ended: false, close: undefined, left: 0 };
  const parser = new ResponseParser({
    onHead(head, end) {
      result.heads.push(head.fields.map(({ name, value }) => `${name}: ${value}`));
      result.close = head.close;
      result.ended ||= end;
    },
    onBody(bytes, start, stop, end) {
      result.body += Buffer.from(bytes.subarray(start, stop)).toString("latin1");
      result.ended ||= end;
    },
    onTrailers(fields) {
      result.trailers = fields.map(({ name, value }) => `${name}: ${value}`);
      result.ended = true;
    },
  });
  parser.expect(isHead);
  for (const piece of pieces) result.left += piece.length - parser.receive(piece);
  if (closed) expect(parser.finish()).toBe(result.ended);
  return result;
}

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

const responses = {
  length: "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nX-Bytes: \xe9\xff\r\nContent-Length: 5\r\n\r\nhello",
  chunked:
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b;c="d"\r\n \r\n006\r\nworld!\r\n0\r\n\r\n',
  trailers: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nGrpc-Status: 0\r\nx-t: a\r\nx-t: b\r\n\r\n",
  interim:
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 404 Not Found\r\nx: \r\ncontent-length: 0\r\n\r\n",
  bodyless: "HTTP/1.1 204 No Content\r\n\r\n",
  hops: "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-end: 2\r\ncontent-length: 0\r\n\r\n",
  noPhrase: "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
} as const;

describe("ResponseParser", () => {
  it("reads a body by its length", () => {
    expect(read([latin1(responses.length)])).toEqual({
      heads: [[":status: 200", "content-type: x/y", "x-bytes: \xe9\xff", "content-length: 5"]],
      body: "hello",
      trailers: undefined,
      ended: true,
      close: false,
      left: 0,
    });
  });

  it("reads chunks and trailers", () => {
    expect(read([latin1(responses.chunked)])).toMatchObject({ body: "hello world!", ended: true, close: false });
    expect(read([latin1(responses.trailers)])).toMatchObject({
      body: "",
      trailers: ["grpc-status: 0", "x-t: a", "x-t: b"],
      ended: true,
    });
  });

  it("passes interim heads, and drops what is for one hop", () => {
    expect(read([latin1(responses.interim)]).heads).toEqual([
      [":status: 100"],
      [":status: 103", "link: a"],
      [":status: 404", "x: ", "content-length: 0"],
    ]);
    expect(read([latin1(responses.hops)])).toMatchObject({
      heads: [[":status: 200", "x-end: 2", "content-length: 0"]],
      close: false,
    });
  });

  it.each(Object.entries(responses))("reads %s alike however it is split", (_name, text) => {
    const whole = read([latin1(text)]);
    expect(whole.ended).toBe(true);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length];
        const pieces = at.slice(1).map((stop, index) => latin1(text.slice(at[index], stop)));
        expect(read(pieces)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
    expect(read([...text].map(latin1))).toEqual(whole);
  });

  it("takes a body without a length up to the close", () => {
    const text = "HTTP/1.1 200 OK\r\nx: y\r\n\r\nall of it";
    expect(read([latin1(text)])).toMatchObject({ body: "all of it", ended: false, close: true });
    expect(read([latin1(text)], { closed: true })).toMatchObject({ body: "all of it", ended: true });
    expect(read([latin1("HTTP/1.0 200 OK\r\n\r\nold")], { closed: true })).toMatchObject({ body: "old", ended: true });
  });

  it("sees that a close cut the response", () => {
    for (const text of [responses.length, responses.chunked, responses.trailers, responses.interim]) {
      expect(read([latin1(text.slice(0, -1))], { closed: true }).ended).toBe(false);
    }
  });

  it("knows when the connection can't be used again", () => {
    const close = (head: string) => read([latin1(`HTTP/1.${head}\r\n\r\n`)]).close;
    expect(close("1 200 OK\r\ncontent-length: 0")).toBe(false);
    expect(close("1 200 OK\r\ncontent-length: 0\r\nconnection: Close")).toBe(true);
    expect(close("1 200 OK\r\ncontent-length: 0\r\nconnection: a\r\nconnection: b, close")).toBe(true);
    expect(close("0 200 OK\r\ncontent-length: 0")).toBe(true);
    expect(close("0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive")).toBe(false);
  });

  it("expects no body to HEAD", () => {
    expect(read([latin1("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")], { isHead: true })).toMatchObject({
      ended: true,
    });
  });

  it("stops behind the response", () => {
    expect(read([latin1(`${responses.length}HTTP/1.1 200 OK`)])).toMatchObject({ ended: true, left: 15 });
    const split = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nextra";
    expect(read([latin1(split)])).toMatchObject({ ended: true, body: "", left: 5 });
  });

  it.each([
    ["another protocol", "SSH-2.0-OpenSSH\r\n"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["two spaces", "HTTP/1.1  200 OK\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n"],
    ["a protocol switch", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ["a bare line feed", "HTTP/1.1 200 OK\n\n"],
    ["a carriage return in a value", "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n"],
    ["NUL in a value", "HTTP/1.1 200 OK\r\na: b\0\r\n\r\n"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\na : b\r\n\r\n"],
    ["obs-fold", "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n"],
    ["both lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"],
    ["a signed length", "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n"],
    ["an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"],
    ["a coding behind chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n"],
    ["chunked on HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["a chunk size that is none", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n"],
    ["a chunk longer than its size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n"],
    ["a length in the trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\n\r\n"],
    ["no end of interim responses", "HTTP/1.1 102 Processing\r\n\r\n".repeat(20)],
    ["a section without an end", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(300)}`],
    ["a line without an end", `HTTP/1.1 200 OK\r\na: ${"b".repeat(70_000)}`],
  ])("refuses %s", (_what, text) => {
    expect(() => read([latin1(text)])).toThrow();
    expect(() => read([...text.slice(0, 2_000)].map(latin1).concat(latin1(text.slice(2_000))))).toThrow();
  });
});
