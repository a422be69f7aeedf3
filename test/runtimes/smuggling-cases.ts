/** Requests that could be read two ways: RFC 9112 section 11.2, and what is known of parsers that differ. */
import { pathTo } from "./bridges.ts";

export const path = pathTo("grpc");
const smuggledPath = pathTo("grpc", "Smuggled");
const start = `POST ${path} HTTP/1.1`;
const type = "Content-Type: application/proto";
export const host = "Host: test.example";
export const chunked = "Transfer-Encoding: chunked";
export const smuggled = [`POST ${smuggledPath} HTTP/1.1`, host, type, "Content-Length: 5", "", "hello"].join("\r\n");
/** The whole body to who reads chunks; to who reads a length, its begin. */
const emptyChunks = `0\r\n\r\n${smuggled}`;

/** What is wrong, the lines of a head, what follows its empty line; 400 unless another status is given. */
export type Case = [what: string, lines: string[], body: string, status?: number];

/** A head that has these lines besides. */
export function withLines(...lines: string[]): string[] {
  return [start, host, type, ...lines];
}

const lengths: Case[] = [
  ["Content-Length, then Transfer-Encoding", withLines("Content-Length: 5", chunked), emptyChunks],
  ["Transfer-Encoding, then Content-Length", withLines(chunked, "Content-Length: 5"), emptyChunks],
  ["Transfer-Encoding and Content-Length: 0", withLines(chunked, "Content-Length: 0"), emptyChunks],
  ["two Content-Length", withLines("Content-Length: 5", `Content-Length: ${5 + smuggled.length}`), `hello${smuggled}`],
  ["two equal Content-Length", withLines("Content-Length: 5", "Content-Length: 5"), `hello${smuggled}`],
  ...[
    "5, 5",
    "5, 6",
    "+5",
    "-5",
    "0x5",
    "5.",
    "5e0",
    "",
    "5\x0b",
    "\x0c5",
    "5\xa0",
    "\t5",
    "5\t",
    "5 5",
    "9".repeat(20),
  ].map(
    (value): Case => [
      `Content-Length ${JSON.stringify(value)}`,
      withLines(`Content-Length: ${value}`),
      `hello${smuggled}`,
    ],
  ),
];

const codings: Case[] = [
  ...[
    "chunked, identity",
    "identity",
    "identity, chunked",
    "chunked, chunked",
    "chunked, gzip",
    "",
    ",",
    "chunked;q=1",
  ].map((value): Case => [`Transfer-Encoding "${value}"`, withLines(`Transfer-Encoding: ${value}`), emptyChunks]),
  ...['"chunked"', "\x0bchunked", "chunked\x0b", "chun\tked", "\tchunked", "chunked\t", "chunked\xa0", "chunked\0"].map(
    (value): Case => [
      `Transfer-Encoding ${JSON.stringify(value)}`,
      withLines(`Transfer-Encoding: ${value}`),
      emptyChunks,
    ],
  ),
  ...["gzip", "gzip, chunked", "xchunked", "x, chunked", "cow"].map(
    (value): Case => [`Transfer-Encoding "${value}"`, withLines(`Transfer-Encoding: ${value}`), emptyChunks, 501],
  ),
  ["two Transfer-Encoding", withLines(chunked, chunked), emptyChunks],
  ["two Transfer-Encoding, of which one is identity", withLines(chunked, "Transfer-Encoding: identity"), emptyChunks],
  ["Transfer-Encoding on HTTP/1.0", [`POST ${path} HTTP/1.0`, host, type, chunked], emptyChunks],
];

const lines: Case[] = [
  ["a folded line", withLines("X-A: b", " c", "Content-Length: 0"), smuggled],
  ["a folded line that begins with a tab", withLines("X-A: b", "\tc", "Content-Length: 0"), smuggled],
  ["a folded Transfer-Encoding", withLines("Transfer-Encoding:", " chunked"), emptyChunks],
  ["a folded Content-Length", withLines("Content-Length:", " 5"), `hello${smuggled}`],
  ["a first line that is folded", [start, ` ${host}`, host, type, "Content-Length: 0"], smuggled],
  ["a bare LF behind a field", withLines(`X-A: b\n${chunked}`, "Content-Length: 5"), emptyChunks],
  ["a bare LF behind the request line", [`${start}\n${host}`, type, "Content-Length: 0"], smuggled],
  ["a head that ends with a bare LF", withLines(`Content-Length: 0\n\n${smuggled}`), ""],
  ["a bare CR in a value", withLines(`X-A: b\r${chunked}`, "Content-Length: 5"), emptyChunks],
  ["a bare CR before a name", withLines("\rContent-Length: 5"), `hello${smuggled}`],
  ["NUL in a value", withLines("X-A: b\0c", "Content-Length: 0"), smuggled],
  ["NUL in a name", withLines("X-A\0B: c", "Content-Length: 0"), smuggled],
  ["a space before the colon", withLines("Content-Length : 5"), `hello${smuggled}`],
  ["a space before the colon of Transfer-Encoding", withLines("Transfer-Encoding : chunked"), emptyChunks],
  ["a tab before the colon", withLines("Transfer-Encoding\t: chunked"), emptyChunks],
  ["a no-break space before the colon", withLines("Transfer-Encoding\xa0: chunked"), emptyChunks],
  ["a space within a name", withLines("Content Length: 5"), `hello${smuggled}`],
  ["a line without a colon", withLines("Content-Length", "Content-Length: 0"), smuggled],
  ["a line without a name", withLines(": 5", "Content-Length: 0"), smuggled],
];

const requestLines: Case[] = [
  ["two spaces behind the method", [`POST  ${path} HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a tab behind the method", [`POST\t${path} HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a space before the method", [` ${start}`, host, type, "Content-Length: 0"], smuggled],
  ["a space behind the version", [`${start} `, host, type, "Content-Length: 0"], smuggled],
  ["a space in the target", [`POST ${path} x HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a request in the target", [`POST ${path} HTTP/1.1 X-A: HTTP/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a version in lower case", [`POST ${path} http/1.1`, host, type, "Content-Length: 0"], smuggled],
  ["a version of three digits", [`POST ${path} HTTP/1.10`, host, type, "Content-Length: 0"], smuggled],
  ["an unknown version", [`POST ${path} HTTP/1.2`, host, type, "Content-Length: 0"], smuggled, 505],
  ["no Host", [start, type, "Content-Length: 0"], smuggled],
  ["two Hosts", [start, host, host, type, "Content-Length: 0"], smuggled],
  ["two Hosts in one line", [start, "Host: a, b", type, "Content-Length: 0"], smuggled],
  ["user information in Host", [start, "Host: a@b", type, "Content-Length: 0"], smuggled],
  ["a path in Host", [start, "Host: a/b", type, "Content-Length: 0"], smuggled],
  ["CONNECT", ["CONNECT test.example:80 HTTP/1.1", host], smuggled, 501],
];

/** First lines of a connection that aren't HTTP/1: it is closed, as no answer would be understood. */
export const notHttp = new Set(["a space before the method", "a version in lower case"]);

export const goodRequest = `${withLines("Content-Length: 5").join("\r\n")}\r\n\r\nhello`;

/** Where only the body is wrong, the call has been sent on before that is known. */
const chunkedHead = withLines(chunked, "X-Bad: 1");

const bodies: Case[] = [
  ...[
    "",
    "5 ",
    " 5",
    "0x5",
    "+5",
    "-5",
    "5h",
    "5,",
    "5\0",
    `1${"0".repeat(16)}`,
    "\t5",
    "5\t;a",
    "5;",
    "5;a=",
    "5; a",
  ].map((size): Case => [`chunk size ${JSON.stringify(size)}`, chunkedHead, `${size}\r\nhello\r\n${emptyChunks}`]),
  ["a bare LF behind a chunk's size", chunkedHead, `5\nhello\r\n${emptyChunks}`],
  ["a bare LF in an extension", chunkedHead, `5;a\n;b\r\nhello\r\n${emptyChunks}`],
  ["a bare CR behind a chunk's size", chunkedHead, `5\r\rhello\r\n${emptyChunks}`],
  ["a bare LF behind a chunk's data", chunkedHead, `5\r\nhello\n${emptyChunks}`],
  ["a chunk longer than its size", chunkedHead, `5\r\nhello, you\r\n${emptyChunks}`],
  ["a chunk shorter than its size", chunkedHead, `6\r\nhello\r\n${emptyChunks}`],
  ["a last chunk that ends with a bare LF", chunkedHead, `0\n\n${smuggled}`],
  ["Content-Length among trailers", chunkedHead, `0\r\nContent-Length: 5\r\n\r\n${smuggled}`],
  ["Transfer-Encoding among trailers", chunkedHead, `0\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`],
  ["Host among trailers", chunkedHead, `0\r\nHost: a\r\n\r\n${smuggled}`],
  ["a trailer with a bare LF", chunkedHead, `0\r\nX-A: b\nX-C: d\r\n\r\n${smuggled}`],
  ["a trailer with a space before the colon", chunkedHead, `0\r\nX-A : b\r\n\r\n${smuggled}`],
  ["a folded trailer", chunkedHead, `0\r\nX-A: b\r\n c\r\n\r\n${smuggled}`],
];

/** All of them, by what is wrong. */
export const groups: Readonly<Record<string, readonly Case[]>> = {
  lengths,
  codings,
  lines,
  "request lines": requestLines,
  bodies,
};
