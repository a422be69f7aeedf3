/** Requests that are read, and those that are refused: RFC 9112 section by section, and section 11.2 above all. */
import { describe, expect, it } from "vitest";
import { readRequests } from "./events.ts";

const host = "Host: a.example:8080\r\n";

/** What comes of one request with this request line. */
function withRequestLine(line: string, fields = host) {
  return readRequests(`${line}\r\n${fields}\r\n`);
}

/** What comes of a POST with these field lines, CRLF included, and bytes behind them. */
function withFields(fields: string, rest = "") {
  return readRequests(`POST /a.S/M HTTP/1.1\r\n${host}${fields}\r\n${rest}`);
}

function withChunks(chunks: string) {
  return withFields("Transfer-Encoding: chunked\r\n", chunks);
}

describe("a request", () => {
  it("has the fields that it would have on HTTP/2", () => {
    const { requests, refused } = readRequests(
      "POST /a.S/M?q=1 HTTP/1.1\r\nX-First: 1\r\nhOST: a.example\r\nContent-Length: 3\r\nX-Dup: a\r\nx-dup: b\r\n\r\nabc",
    );
    expect(refused).toBeUndefined();
    expect(requests).toEqual([
      {
        fields: [
          ":method: POST",
          ":scheme: http",
          ":authority: a.example",
          ":path: /a.S/M?q=1",
          "x-first: 1",
          "content-length: 3",
          "x-dup: a",
          "x-dup: b",
        ],
        body: "abc",
        trailers: [],
        isWhole: true,
        head: { contentLength: 3, isHead: false, isHttp10: false, close: false, expectsContinue: false },
      },
    ]);
  });

  it("has :scheme https on TLS", () => {
    const { requests } = readRequests("GET / HTTP/1.1\r\nHost: a\r\n\r\n", { secure: true });
    expect(requests[0]?.fields[1]).toBe(":scheme: https");
  });

  it("has no :authority with an empty Host, or with none on HTTP/1.0", () => {
    for (const text of ["GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]) {
      expect(readRequests(text).requests[0]?.fields).toEqual([":method: GET", ":scheme: http", ":path: /"]);
    }
  });

  it("comes behind another, and behind one empty line (section 2.2)", () => {
    const get = `GET /1 HTTP/1.1\r\n${host}\r\n`;
    const { requests, refused } = readRequests(`\r\n${get}\r\n${get}${get}`);
    expect(refused).toBeUndefined();
    expect(requests.map(({ isWhole }) => isWhole)).toEqual([true, true, true]);
    expect(readRequests(`\r\n\r\n${get}`).refused).toBe(400);
  });

  it("keeps every byte of a value but the blanks around it", () => {
    const { requests } = withFields("X-A: \t a \t\xe9\xff b\t \r\nX-Empty:\r\nX-Blank: \t\r\n");
    expect(requests[0]?.fields.slice(4)).toEqual(["x-a: a \t\xe9\xff b", "x-empty: ", "x-blank: "]);
  });

  it("takes nothing over from the one before it", () => {
    const first = `POST /1 HTTP/1.1\r\n${host}Connection: x-a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n`;
    const second = `POST /2 HTTP/1.1\r\n${host}X-A: kept\r\nContent-Length: 3\r\n\r\nabc`;
    const third = `POST /3 HTTP/1.1\r\n${host}Connection: x-b\r\nX-A: kept\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    for (const next of [second, third]) {
      expect(readRequests(first + next).requests[1]).toEqual(readRequests(next).requests[0]);
    }
  });

  it("is read the same when its lines are known", () => {
    const one = `POST /a.S/M HTTP/1.1\r\n${host}X-A: 1\r\nX-B: long enough to be kept\r\nContent-Length: 2\r\n\r\nab`;
    const { requests, refused } = readRequests(one.repeat(4) + one.replace("X-A: 1\r\n", "").repeat(3) + one);
    expect(refused).toBeUndefined();
    expect(requests).toHaveLength(8);
    expect(new Set([0, 1, 2, 3, 7].map((at) => JSON.stringify(requests[at]))).size).toBe(1);
    expect(new Set([4, 5, 6].map((at) => JSON.stringify(requests[at]))).size).toBe(1);
    expect(requests[5]?.fields).toEqual(requests[0]?.fields.filter((field) => field !== "x-a: 1"));
  });
});

describe("the request line (section 3)", () => {
  it.each([
    ["GET / HTTP/1.1", "/"],
    ["GET //a//b/ HTTP/1.1", "//a//b/"],
    ["GET /a.S/../b.T/M HTTP/1.1", "/a.S/../b.T/M"],
    ["GET /%2e%2E/%2f HTTP/1.1", "/%2e%2E/%2f"],
    ["GET /a?b?c=/&d=[1]|{2}^` HTTP/1.1", "/a?b?c=/&d=[1]|{2}^`"],
    ["OPTIONS * HTTP/1.1", "*"],
    ["FOO-bar_1 / HTTP/1.1", "/"],
  ])("%j is read with its path as it is", (line, path) => {
    const { requests, refused } = withRequestLine(line);
    expect(refused).toBeUndefined();
    expect(requests[0]?.fields).toContain(`:path: ${path}`);
    expect(requests[0]?.fields).toContain(`:method: ${line.split(" ")[0]}`);
  });

  it.each([
    ["GET http://b.example/a?q HTTP/1.1", "http", "b.example", "/a?q"],
    ["GET HTTP://b.example:81 HTTP/1.1", "http", "b.example:81", "/"],
    ["GET http://b.example?q HTTP/1.1", "http", "b.example", "/?q"],
    ["GET http://[::1]:80/ HTTP/1.1", "http", "[::1]:80", "/"],
    ["OPTIONS http://b.example HTTP/1.1", "http", "b.example", "*"],
    ["OPTIONS http://b.example/ HTTP/1.1", "http", "b.example", "/"],
  ])("%j has its own authority, which counts before Host (section 3.2.2)", (line, scheme, authority, path) => {
    const { requests, refused } = withRequestLine(line);
    expect(refused).toBeUndefined();
    expect(requests[0]?.fields.slice(1)).toEqual([`:scheme: ${scheme}`, `:authority: ${authority}`, `:path: ${path}`]);
  });

  it("of an https URI is served on TLS only (RFC 9110 section 7.4)", () => {
    const text = `GET https://b.example/ HTTP/1.1\r\n${host}\r\n`;
    expect(readRequests(text).refused).toBe(421);
    const { requests } = readRequests(text, { secure: true });
    expect(requests[0]?.fields).toContain(":scheme: https");
  });

  it.each([
    ["GET  / HTTP/1.1", 400],
    ["GET /  HTTP/1.1", 400],
    [" GET / HTTP/1.1", 400],
    ["GET / HTTP/1.1 ", 400],
    ["GET\t/ HTTP/1.1", 400],
    ["GET /\tHTTP/1.1", 400],
    ["GET /a b HTTP/1.1", 400],
    ["GET /", 400],
    ["GET", 400],
    ["GET HTTP/1.1", 400],
    ["GET  HTTP/1.1", 400],
    [" / HTTP/1.1", 400],
    ["/ HTTP/1.1", 400],
    ["G(T / HTTP/1.1", 400],
    ["G\xe9T / HTTP/1.1", 400],
    ["GET: / HTTP/1.1", 400],
    ["GET / http/1.1", 400],
    ["GET / HTTP/11", 400],
    ["GET / HTTP/1.10", 400],
    ["GET / HTTP/01.1", 400],
    ["GET / HTTP/1,1", 400],
    ["GET / HTTP/ 1.1", 400],
    ["GET / HTTP/1.\xb9", 400],
    ["GET / FTP/1.1", 400],
    ["GET / HTTP/0.9", 505],
    ["GET / HTTP/1.2", 505],
    ["GET / HTTP/2.0", 505],
    ["PRI * HTTP/2.0", 505],
    ["GET /\0 HTTP/1.1", 400],
    ["GET /\r HTTP/1.1", 400],
    ["GET /\x7f HTTP/1.1", 400],
    ["GET /\xe9 HTTP/1.1", 400],
    ["GET /#a HTTP/1.1", 400],
    ['GET /" HTTP/1.1', 400],
    ["GET /<a> HTTP/1.1", 400],
    ["GET /a\\b HTTP/1.1", 400],
    ["GET /% HTTP/1.1", 400],
    ["GET /%2 HTTP/1.1", 400],
    ["GET /%zz HTTP/1.1", 400],
    ["GET * HTTP/1.1", 400],
    ["OPTIONS *a HTTP/1.1", 400],
    ["GET a HTTP/1.1", 400],
    ["GET ?a HTTP/1.1", 400],
    ["GET a.example:80 HTTP/1.1", 400],
    ["GET ftp://a.example/ HTTP/1.1", 400],
    ["GET http:///a HTTP/1.1", 400],
    ["GET http://:80/ HTTP/1.1", 400],
    ["GET http://u:p@a.example/ HTTP/1.1", 400],
    ["GET http://u@a.example/ HTTP/1.1", 400],
    ["GET http://a,b/ HTTP/1.1", 400],
    ["GET http:/a HTTP/1.1", 400],
    ["CONNECT a.example:443 HTTP/1.1", 501],
    ["CONNECT / HTTP/1.1", 501],
    ["TRACE / HTTP/1.1", 501],
  ])("%j is refused with %i", (line, status) => {
    expect(withRequestLine(line)).toMatchObject({ requests: [], refused: status });
  });
});

describe("Host (section 3.2)", () => {
  it.each(["a", "a.b-c_d", "a:80", "a:", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:443", "a%20b", "a!$&'()*+;=~"])(
    "may be %j",
    (value) => {
      const { requests } = withRequestLine("GET / HTTP/1.1", `Host: ${value}\r\n`);
      expect(requests[0]?.fields).toContain(`:authority: ${value}`);
    },
  );

  it.each([
    ["missing", ""],
    ["there twice", "Host: a\r\nHost: b\r\n"],
    ["there twice, alike", "Host: a\r\nhost: a\r\n"],
    ["there twice, with one empty", "Host: a\r\nhost:\r\n"],
    ["a list", "Host: a,b\r\n"],
    ["a list with a space", "Host: a, b\r\n"],
    ["a URI", "Host: http://a\r\n"],
    ["with a path", "Host: a/b\r\n"],
    ["with a user", "Host: u@a\r\n"],
    ["without a name", "Host: :80\r\n"],
    ["with a bad port", "Host: a:8o\r\n"],
    ["with two ports", "Host: a:80:90\r\n"],
    ["with a port of six digits", "Host: a:800000\r\n"],
    ["with a query", "Host: a?b\r\n"],
    ["an open bracket", "Host: [::1\r\n"],
    ["with bytes above 0x7f", "Host: \xe9\r\n"],
    ["with a bad escape", "Host: %zz\r\n"],
  ])("is refused if %s", (_what, fields) => {
    expect(withRequestLine("GET / HTTP/1.1", fields).refused).toBe(400);
    expect(withRequestLine("GET http://b/ HTTP/1.1", fields).refused).toBe(400);
  });

  it("is refused if there twice on HTTP/1.0 too", () => {
    expect(withRequestLine("GET / HTTP/1.0", "Host: a\r\nHost: b\r\n").refused).toBe(400);
  });
});

describe("field lines (section 5)", () => {
  it.each([
    ["a space before the colon", "X-A : b\r\n"],
    ["a tab before the colon", "X-A\t: b\r\n"],
    ["no colon", "X-A\r\n"],
    ["no name", ": b\r\n"],
    ["a space in the name", "X A: b\r\n"],
    ["a name with a slash", "X/A: b\r\n"],
    ["a name with a byte above 0x7f", "X-\xe9: b\r\n"],
    ["a name with NUL", "X-\0: b\r\n"],
    ["a pseudo-header", ":path: /b\r\n"],
    ["obs-fold by a space (section 5.2)", "X-A: b\r\n c\r\n"],
    ["obs-fold by a tab", "X-A: b\r\n\tX-B: c\r\n"],
    ["obs-fold of Transfer-Encoding", "Transfer-Encoding:\r\n chunked\r\n"],
    ["a line that begins with a space", " X-A: b\r\n"],
    ["NUL in a value", "X-A: a\0b\r\n"],
    ["a bare CR in a value", "X-A: a\rb\r\n"],
    ["a bare CR at the end", "X-A: a\r\r\n"],
    ["a bare CR that hides a field", "X-A: a\rContent-Length: 5\r\n"],
    ["a bare LF", "X-A: b\nX-B: c\r\n"],
    ["a bare LF first", "\nX-A: b\r\n"],
    ["a vertical tab", "X-A: a\x0bb\r\n"],
    ["an escape", "X-A: a\x1bb\r\n"],
    ["DEL", "X-A: a\x7fb\r\n"],
  ])("are refused with %s", (_what, fields) => {
    expect(withFields(fields)).toMatchObject({ requests: [], refused: 400 });
  });

  it("are refused where the head ends with a bare LF", () => {
    expect(readRequests(`GET / HTTP/1.1\r\n${host}\n`).refused).toBe(400);
    expect(readRequests(`GET / HTTP/1.1\n${host}\r\n`).refused).toBe(400);
    expect(readRequests(`GET / HTTP/1.1\r\nHost: a\n\r\n`).refused).toBe(400);
  });

  it("that are for this connection alone aren't passed on (RFC 9110 section 7.6.1)", () => {
    const { requests } = withFields(
      [
        "Connection: x-a, Keep-Alive,Upgrade, HTTP2-Settings ,, x-B",
        "connection: content-type",
        "X-A: 1",
        "X-B: 2",
        "Content-Type: text/html",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "X-Kept: 3",
        "",
      ].join("\r\n"),
    );
    expect(requests[0]?.fields.slice(4)).toEqual(["x-kept: 3"]);
  });

  it("named by Connection can't be Host, nor what frames the request", () => {
    const { requests } = withFields("Connection: host, content-length, close\r\nContent-Length: 2\r\n", "ab");
    expect(requests[0]).toMatchObject({ body: "ab", isWhole: true, head: { close: true, contentLength: 2 } });
    expect(requests[0]?.fields).toContain(":authority: a.example:8080");
    expect(requests[0]?.fields).not.toContain("content-length: 2");
  });

  it.each(["a b", "a;b", "a\xe9", "close\xa0", ":path", '"close"'])("Connection: %s is refused", (value) => {
    expect(withFields(`Connection: ${value}\r\n`).refused).toBe(400);
  });
});

describe("Content-Length (section 6.3)", () => {
  it.each([
    ["+5"],
    ["-5"],
    ["5 5"],
    ["5,5"],
    ["5, 5"],
    ["5, 6"],
    ["0x5"],
    ["5a"],
    ["a"],
    [""],
    ["5."],
    ["5.0"],
    ["1e1"],
    ["\xb2"],
    ["5;"],
    ["\t5"],
    ["5\t"],
    ["5\xa0"],
    ["\xa05"],
    ["9007199254740993"],
    ["18446744073709551621"],
    ["99999999999999999999999999"],
  ])("%j is refused", (value) => {
    expect(withFields(`Content-Length: ${value}\r\n`, "abcde")).toMatchObject({ requests: [], refused: 400 });
  });

  it.each([
    ["twice, different", "Content-Length: 5\r\nContent-Length: 6\r\n"],
    ["twice, alike", "Content-Length: 5\r\ncontent-length: 5\r\n"],
    ["zero and another", "Content-Length: 0\r\nContent-Length: 5\r\n"],
    ["with chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"],
    ["with chunked before it", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"],
    ["zero with chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"],
    [
      "with chunked, named by Connection",
      "Connection: content-length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ],
    [
      "with chunked, the latter named by Connection",
      "Connection: transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ],
  ])("%s is refused", (_what, fields) => {
    expect(withFields(fields, "0\r\n\r\n")).toMatchObject({ requests: [], refused: 400 });
  });

  it("ends the body where it says, also with leading zeros and with any method", () => {
    const body = `GET /1 HTTP/1.1\r\n${host}Content-Length: 0003\r\n\r\nabcGET /2 HTTP/1.1\r\n${host}\r\n`;
    expect(readRequests(body).requests.map((request) => request.body)).toEqual(["abc", ""]);
  });
});

describe("Transfer-Encoding (section 6.1)", () => {
  it.each([
    ["chunked, identity", 400],
    ["identity, chunked", 400],
    ["identity", 400],
    ["chunked, chunked", 400],
    ["chunked,chunked", 400],
    ["chunked, gzip", 400],
    ["chunked;q=1", 400],
    ["chunked ;", 400],
    ['"chunked"', 400],
    ["chunked,", 400],
    [", chunked", 400],
    ["", 400],
    ["chun ked", 400],
    ["chunked chunked", 400],
    ["x chunked", 400],
    ["gzip, chunked", 501],
    ["gzip", 501],
    ["xchunked", 501],
    ["chunkedx", 501],
    ["cow", 501],
    ["\tchunked", 400],
    ["chunked\t", 400],
    ["chunked\xa0", 400],
    ["\xa0chunked", 400],
    ["\x85chunked", 400],
  ])("%j is refused with %i", (value, status) => {
    expect(withFields(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n")).toMatchObject({ requests: [], refused: status });
  });

  it.each([
    ["twice chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400],
    ["chunked, then identity", "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n", 400],
    ["identity, then chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400],
    ["with a space before the colon", "Transfer-Encoding : chunked\r\n", 400],
    ["behind a vertical tab", "Transfer-Encoding: \x0bchunked\r\n", 400],
    ["behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n", 400],
  ])("%s is refused", (_what, fields, status) => {
    expect(withFields(fields, "0\r\n\r\n")).toMatchObject({ requests: [], refused: status });
  });

  it("needs no space behind its colon", () => {
    const { requests } = withFields("Transfer-Encoding:chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    expect(requests[0]).toMatchObject({ body: "abc", isWhole: true });
  });

  it("is refused on HTTP/1.0", () => {
    expect(withRequestLine("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n").refused).toBe(400);
  });

  it.each(["chunked", "Chunked", "CHUNKED", "  chunked  "])("%j is read", (value) => {
    const { requests, refused } = withFields(`Transfer-Encoding: ${value}\r\n`, "3\r\nabc\r\n0\r\n\r\n");
    expect(refused).toBeUndefined();
    expect(requests[0]).toMatchObject({ body: "abc", isWhole: true, head: { contentLength: -1 } });
    expect(requests[0]?.fields).toHaveLength(4);
  });
});

describe("chunks (section 7.1)", () => {
  it.each([
    ["0\r\n\r\n", "", []],
    ["000\r\n\r\n", "", []],
    ["3\r\nabc\r\n0\r\n\r\n", "abc", []],
    ["A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", []],
    ["003;x\r\nabc\r\n0;y=z\r\n\r\n", "abc", []],
    ['3;a="\\"; b\t\xe9";c\r\nabc\r\n0\r\n\r\n', "abc", []],
    ["2\r\n\r\n\r\n0\r\n\r\n", "\r\n", []],
    ["0\r\nX-T: 1\r\nGrpc-Status: 0\r\n\r\n", "", ["x-t: 1", "grpc-status: 0"]],
    ["1\r\na\r\n0\r\nConnection: x\r\nTE: y\r\nExpect: 100-continue\r\nX-T:\r\n\r\n", "a", ["x-t: "]],
  ])("%j are read", (chunks, body, trailers) => {
    const { requests, refused } = withChunks(`${chunks}GET /2 HTTP/1.1\r\n${host}\r\n`);
    expect(refused).toBeUndefined();
    expect(requests[0]).toMatchObject({ body, trailers, isWhole: true });
    expect(requests[1]?.fields).toContain(":path: /2");
  });

  it.each([
    ["no size", "\r\nabc\r\n0\r\n\r\n"],
    ["a sign", "+3\r\nabc\r\n0\r\n\r\n"],
    ["a minus", "-3\r\nabc\r\n0\r\n\r\n"],
    ["0x", "0x3\r\nabc\r\n0\r\n\r\n"],
    ["a space before", " 3\r\nabc\r\n0\r\n\r\n"],
    ["a space behind", "3 \r\nabc\r\n0\r\n\r\n"],
    ["a tab behind", "3\t\r\nabc\r\n0\r\n\r\n"],
    ["an underscore", "1_0\r\nabc\r\n0\r\n\r\n"],
    ["no hexadecimal digit", "g\r\nabc\r\n0\r\n\r\n"],
    ["a decimal point", "3.0\r\nabc\r\n0\r\n\r\n"],
    ["a size beyond 2^52", "10000000000003\r\nabc\r\n0\r\n\r\n"],
    ["a size beyond 2^64", "10000000000000003\r\nabc\r\n0\r\n\r\n"],
    ["a bare LF behind the size", "3\nabc\r\n0\r\n\r\n"],
    ["a bare CR behind the size", "3\rabc\r\n0\r\n\r\n"],
    ["CR CR LF behind the size", "3\r\r\nabc\r\n0\r\n\r\n"],
    ["a bare LF behind the data", "3\r\nabc\n0\r\n\r\n"],
    ["a bare CR behind the data", "3\r\nabc\r0\r\n\r\n"],
    ["no line end behind the data", "3\r\nabc0\r\n\r\n"],
    ["data longer than the size", "3\r\nabcd\r\n0\r\n\r\n"],
    ["data shorter than the size", "3\r\nab\r\n0\r\n\r\n"],
    ["a bare LF at the end", "0\r\n\n"],
    ["an extension without a name", "3;\r\nabc\r\n0\r\n\r\n"],
    ["an extension with a space", "3; x\r\nabc\r\n0\r\n\r\n"],
    ["an extension with a space before it", "3 ;x\r\nabc\r\n0\r\n\r\n"],
    ["an extension with a bare LF", "3;x\nabc\r\n0\r\n\r\n"],
    ["an extension with a bare CR", "3;x\ry\r\nabc\r\n0\r\n\r\n"],
    ["an extension with NUL", "3;x=\0\r\nabc\r\n0\r\n\r\n"],
    ["an extension with an open quote", '3;x="a\r\nabc\r\n0\r\n\r\n'],
    ["an extension behind a comma", "3,x\r\nabc\r\n0\r\n\r\n"],
    ["Content-Length in the trailer section", "0\r\nContent-Length: 5\r\n\r\n"],
    ["Transfer-Encoding in the trailer section", "0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["Host in the trailer section", "0\r\nHost: b\r\n\r\n"],
    ["a space before the colon of a trailer", "0\r\nX-T : 1\r\n\r\n"],
    ["obs-fold in the trailer section", "0\r\nX-T: 1\r\n 2\r\n\r\n"],
    ["a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n"],
    ["a bare LF behind a trailer", "0\r\nX-T: 1\n\r\n"],
  ])("with %s are refused", (_what, chunks) => {
    const { requests, refused } = withChunks(chunks);
    expect(refused).toBe(400);
    expect(requests.map(({ isWhole }) => isWhole)).toEqual([false]);
  });

  it("of 2 GiB and more keep their size", () => {
    for (const size of ["80000005", "100000003", "fffffffffffff"]) {
      const { requests, refused } = withChunks(`${size}\r\nabc\r\n0\r\n\r\n`);
      expect(refused).toBeUndefined();
      expect(requests[0]).toMatchObject({ body: "abc\r\n0\r\n\r\n", isWhole: false });
    }
  });
});

describe("Expect (RFC 9110 section 10.1.1)", () => {
  it("is 100-continue or 417, and means nothing on HTTP/1.0 or without a body", () => {
    const expects = (line: string, fields: string) =>
      withRequestLine(line, `${host}${fields}`).requests[0]?.head.expectsContinue;
    expect(expects("POST / HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 3\r\n")).toBe(true);
    expect(expects("POST / HTTP/1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).toBe(true);
    expect(expects("POST / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 3\r\n")).toBe(false);
    expect(expects("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n")).toBe(false);
    expect(expects("GET / HTTP/1.1", "Expect: 100-continue\r\n")).toBe(false);
    expect(withFields("Expect: 200-ok\r\n").refused).toBe(417);
    expect(withFields("Expect: 100-continue, x\r\n").refused).toBe(417);
  });
});

describe("limits", () => {
  const x = (bytes: number) => "x".repeat(bytes);

  it("414 a request line above 8 KiB, whether it ends or not", () => {
    const fits = `GET /${x(8192 - "GET / HTTP/1.1".length)} HTTP/1.1`;
    expect(withRequestLine(fits).refused).toBeUndefined();
    expect(withRequestLine(fits.replace("/", "/x")).refused).toBe(414);
    expect(readRequests(x(8192 + 1)).refused).toBeUndefined();
    expect(readRequests(x(8192 + 2)).refused).toBe(414);
  });

  it("431 a header section above 16 KiB, in one line, in many, or without an end", () => {
    const rest = 16_384 - host.length - 2;
    const fits = `X-A: ${x(rest - "X-A: \r\n".length)}\r\n`;
    expect(withFields(fits).refused).toBeUndefined();
    expect(withFields(fits.replace(" ", "  ")).refused).toBe(431);
    expect(withFields(`X-A: ${x(100)}\r\n`.repeat(200)).refused).toBe(431);
    expect(withFields(`X-A: ${x(20_000)}`).refused).toBe(431);
  });

  it("431 more than 128 field lines", () => {
    expect(withFields("X-A: b\r\n".repeat(127)).refused).toBeUndefined();
    expect(withFields("X-A: b\r\n".repeat(128)).refused).toBe(431);
    expect(withFields("X-A: b\r\n".repeat(128), "").requests).toEqual([]);
  });

  it("431 a trailer section above the same", () => {
    expect(withChunks(`0\r\n${"X-A: b\r\n".repeat(128)}\r\n`).refused).toBeUndefined();
    expect(withChunks(`0\r\n${"X-A: b\r\n".repeat(129)}\r\n`).refused).toBe(431);
    expect(withChunks(`0\r\nX-A: ${x(16_384)}\r\n\r\n`).refused).toBe(431);
  });

  it("413 chunk extensions above 4 KiB, in one chunk or in many", () => {
    expect(withChunks(`1;${x(4095)}\r\na\r\n0\r\n\r\n`).refused).toBeUndefined();
    expect(withChunks(`1;${x(4096)}\r\na\r\n0\r\n\r\n`).refused).toBe(413);
    expect(withChunks(`1;${x(7)}\r\na\r\n`.repeat(512)).refused).toBeUndefined();
    expect(withChunks(`1;${x(7)}\r\na\r\n`.repeat(513)).refused).toBe(413);
    expect(withChunks(`1;${x(8000)}`).refused).toBe(413);
  });

  it("count for each request anew", () => {
    const one = `POST / HTTP/1.1\r\n${host}X-A: ${x(15_000)}\r\nTransfer-Encoding: chunked\r\n\r\n1;${x(4000)}\r\na\r\n0\r\nX-T: ${x(15_000)}\r\n\r\n`;
    const { requests, refused } = readRequests(one.repeat(5));
    expect(refused).toBeUndefined();
    expect(requests).toHaveLength(5);
  });
});
