import { describe, expect, it } from "vitest";
import { isCompressed, parseEncodings } from "../../src/wire/encoding.ts";

describe("isCompressed()", () => {
  it.each([
    [undefined, false],
    ["", false],
    ["identity", false],
    ["gzip", true],
    ["made-up", true],
  ])("says of %j %s", (encoding, compressed) => {
    expect(isCompressed(encoding)).toBe(compressed);
  });
});

describe("parseEncodings()", () => {
  it.each([
    [undefined, []],
    ["", []],
    ["gzip", ["gzip"]],
    ["gzip,br, Zstd ,", ["gzip", "br", "zstd"]],
    ["gzip;q=0.5, br;q=0, deflate; Q=0.000 , *;q=1", ["gzip", "*"]],
    ["br;q=0.01", ["br"]],
  ])("reads %j", (value, names) => {
    expect(parseEncodings(value)).toEqual(names);
  });
});
