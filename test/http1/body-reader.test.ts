import { describe, expect, it } from "vitest";
import { type BodyLimits, BodyReader } from "../../src/http1/body-reader.ts";
import { RequestError } from "../../src/http1/request-error.ts";

const limits: BodyLimits = { maxChunkExtensions: 10, maxHeaderSection: 40, maxHeaderFields: 2 };

/** Reads a body as its parsers do: lines where lines are to come, else pieces of at most `size` bytes. Returns what it was told. */
function read(contentLength: number, text: string, size = 100): string[] {
  const told: string[] = [];
  const reader = new BodyReader(
    {
      onBody: (bytes, start, stop, end) => {
        told.push(Buffer.from(bytes.subarray(start, stop)).toString() + (end ? "." : ""));
        expect(reader.isDone).toBe(end);
      },
      onTrailers: (fields) => told.push(fields.map(({ name, value }) => `${name}=${value}`).join()),
    },
    limits,
  );
  reader.begin(contentLength);
  const bytes = Buffer.from(text);
  let at = 0;
  while (at < bytes.length && !reader.isDone) {
    if (reader.inLines) {
      const stop = bytes.indexOf("\r\n", at);
      if (stop + 2 - at > reader.lineLeft) throw reader.tooLarge();
      reader.onLine(bytes, at, stop);
      at = stop + 2;
    } else at = reader.read(bytes, at, Math.min(bytes.length, at + size));
  }
  told.push(`${reader.isDone ? "done" : "more"}, left: ${bytes.length - at}`);
  return told;
}

describe("BodyReader", () => {
  it("reads so many bytes, and no more", () => {
    expect(read(5, "hellorest")).toEqual(["hello.", "done, left: 4"]);
    expect(read(5, "hello", 3)).toEqual(["hel", "lo.", "done, left: 0"]);
    expect(read(5, "hel")).toEqual(["hel", "more, left: 0"]);
    expect(read(0, "rest")).toEqual(["done, left: 4"]);
  });

  it("reads chunks, and the trailers behind them", () => {
    expect(read(-1, "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nrest")).toEqual(["abc", "de", ".", "done, left: 4"]);
    expect(read(-1, "0\r\na: 1\r\nb: 2\r\n\r\n")).toEqual(["a=1,b=2", "done, left: 0"]);
  });

  it.each([
    ["a size that is none", "x\r\n", 400],
    ["a chunk longer than its size", "1\r\nab\r\n", 400],
    ["more extensions than are let pass, in one chunk", "1;aaaaaaaaaa\r\nx\r\n", 413],
    ["the same in two chunks", "1;aaaa\r\nx\r\n1;aaaaa\r\nx\r\n", 413],
    ["a trailer section that is too large", `0\r\na: ${"x".repeat(40)}\r\n\r\n`, 431],
    ["the same of two lines", `0\r\na: ${"x".repeat(20)}\r\nb: ${"x".repeat(20)}\r\n\r\n`, 431],
    ["too many trailers", "0\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n", 431],
    ["trailers that frame a body", "0\r\ncontent-length: 1\r\n\r\n", 400],
  ])("refuses %s", (_what, text, status) => {
    expect(() => read(-1, text)).toThrow(RequestError);
    expect(() => read(-1, text)).toThrow(expect.objectContaining({ status }));
  });
});
