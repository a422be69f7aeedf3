import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mediaType, parseContentType } from "../../src/wire/content-type.ts";
import { parseEncodings } from "../../src/wire/encoding.ts";
import { parseStatus } from "../../src/wire/status.ts";
import { parseWebTrailers } from "../../src/wire/web-trailers.ts";
import { trimSpace } from "../../src/wire/white-space.ts";

/** All that `String.trim` takes, but space and tab. */
const notSpace = ["\n", "\v", "\f", "\r", "\u00a0", "\u1680", "\u2000", "\u2028", "\u3000", "\ufeff"];

describe("trimSpace()", () => {
  it.each([
    ["", ""],
    [" \t ", ""],
    [" a b\t", "a b"],
    ["a", "a"],
  ])("makes %j %j", (text, trimmed) => {
    expect(trimSpace(text)).toBe(trimmed);
  });

  it.each(notSpace)("leaves %j alone", (char) => {
    expect(char.trim()).toBe("");
    expect(trimSpace(`${char}a${char}`)).toBe(`${char}a${char}`);
  });

  it("takes nothing but spaces and tabs, and all of them at the ends", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(" ", "\t", "a", "\u00a0", "\r") }), (text) => {
        expect(trimSpace(text)).toBe(text.replace(/^[ \t]+|[ \t]+$/g, ""));
      }),
    );
  });
});

describe("what is read of headers", () => {
  it.each(notSpace)("isn't taken for its like with %j around it", (char) => {
    expect(parseStatus(`${char}0`)).not.toBe(0);
    expect(parseEncodings(`gzip${char}, br`)).toEqual([`gzip${char}`, "br"]);
    expect(mediaType(`application/json${char}; charset=utf-8`)).toBe(`application/json${char}`);
    expect(parseContentType(`application/json${char}`)).toBeUndefined();
  });

  it("is the same with spaces and tabs around it", () => {
    expect(parseStatus("\t0 ")).toBe(0);
    expect(parseEncodings(" gzip\t, br ; q=0")).toEqual(["gzip"]);
    expect(parseContentType("application/json\t; charset=utf-8")).toEqual({ framing: "connect_unary", codec: "json" });
  });

  it("keeps the bytes of trailers in gRPC-Web", () => {
    const fields = parseWebTrailers(Buffer.from("x-a: \xc3\xa0\r\nx-b:\xa0\xa0\t\r\n", "latin1"));
    expect(fields?.map(({ value }) => value)).toEqual(["\xc3\xa0", "\xa0\xa0"]);
  });
});
