/** Lines that are known by their bytes. */
import { describe, expect, it } from "vitest";
import { LineMemo } from "../../src/http1/line-memo.ts";

const bytesOf = (text: string) => Buffer.from(text, "latin1");

/** Reads lines as a parser does: what isn't found is kept. Returns those that were found. */
function readAll(memo: LineMemo<string>, lines: readonly string[]): string[] {
  memo.rewind();
  return lines.filter((line) => {
    const bytes = bytesOf(`${line}\r\n`);
    const known = memo.find(bytes, 0, bytes.length);
    if (known === undefined) memo.keep(bytes, 0, bytes.length, line);
    else expect(known.line).toBe(line);
    return known !== undefined;
  });
}

describe("LineMemo", () => {
  it("finds the lines of the first request when they come again, in any order", () => {
    const memo = new LineMemo<string>(48);
    const lines = Array.from({ length: 20 }, (_, at) => `x-${at}: value-${at}`);
    expect(readAll(memo, lines)).toEqual([]);
    expect(readAll(memo, lines)).toEqual(lines);
    expect(readAll(memo, [...lines].reverse())).toEqual([...lines].reverse());
    expect(readAll(memo, lines.slice(7))).toEqual(lines.slice(7));
  });

  it("finds no line that isn't whole, or only begins or ends like one", () => {
    const memo = new LineMemo<string>(48);
    readAll(memo, ["x-a: 1"]);
    const bytes = bytesOf("x-a: 1\r\nx-a: 1\r\n");
    expect(memo.find(bytes, 8, 16)?.line).toBe("x-a: 1");
    expect(memo.find(bytes, 8, 15)).toBeUndefined();
    for (const line of ["x-a: 11", "x-a: 2", "y-a: 1", "x-b: 1", "xx-a: 1", "x-a: ", ""])
      expect(readAll(memo, [line])).toEqual([]);
  });

  it("lets lines that are new each time push out none that come again", () => {
    const memo = new LineMemo<string>(8);
    const lines = ["a: 1", "b: 1", "c: 1", "d: 1"];
    for (let i = 0; i < 100; i++) readAll(memo, [...lines.slice(0, 2), `t: ${i}`, ...lines.slice(2)]);
    expect(readAll(memo, lines)).toEqual(lines);
  });

  it("learns lines that come later, once they come again", () => {
    const memo = new LineMemo<string>(8);
    readAll(memo, ["a: 1", "b: 1", "c: 1", "d: 1"]);
    for (let i = 0; i < 20; i++) {
      const line = `e: ${i}`;
      expect([readAll(memo, [line]), readAll(memo, [line]), readAll(memo, [line])]).toEqual([[], [], [line]]);
    }
  });

  it("keeps no line above 256 bytes", () => {
    const memo = new LineMemo<string>(8);
    const line = `a: ${"x".repeat(252)}`;
    readAll(memo, [line, line.slice(1)]);
    expect(readAll(memo, [line, line.slice(1)])).toEqual([line.slice(1)]);
  });

  it("keeps its own copy", () => {
    const memo = new LineMemo<string>(8);
    const bytes = bytesOf("a: 1\r\n");
    memo.keep(bytes, 0, bytes.length, "a: 1");
    bytes.fill(0x58);
    expect(readAll(memo, ["a: 1"])).toEqual(["a: 1"]);
  });
});
