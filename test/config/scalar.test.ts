import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChangeableHeaderName, parseHeaderValue, parseServiceName } from "../../src/config/naming.ts";
import type { Parsed } from "../../src/config/parsed.ts";
import { parseAddress, parseAuthority, parseEndpointUrl } from "../../src/config/place.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/quantity.ts";

const valueOf = <T>(parsed: Parsed<T>) => (parsed.ok ? parsed.value : parsed.message);

describe("parseDuration()", () => {
  it.each([
    ["500ms", 500],
    ["10s", 10_000],
    ["1.5s", 1_500],
    ["1h30m", 5_400_000],
    ["0s", 0],
    ["10", 'not a duration: "10"'],
    ["s", 'not a duration: "s"'],
    ["-1s", 'not a duration: "-1s"'],
    ["1 s", 'not a duration: "1 s"'],
  ])("reads %j as %j", (text, expected) => {
    expect(valueOf(parseDuration(text))).toBe(expected);
  });

  it("reads what formatDuration() writes", () => {
    fc.assert(fc.property(fc.nat(1e9), (ms) => valueOf(parseDuration(formatDuration(ms))) === ms));
  });
});

describe("parseSize()", () => {
  it.each([
    ["65536", 65_536],
    ["64KiB", 65_536],
    ["1MiB", 1 << 20],
    ["64kb", 'not a size: "64kb"'],
    ["1.5MiB", 'not a size: "1.5MiB"'],
  ])("reads %j as %j", (text, expected) => {
    expect(valueOf(parseSize(text))).toBe(expected);
  });

  it("reads what formatSize() writes", () => {
    fc.assert(fc.property(fc.nat(2 ** 31 - 1), (bytes) => valueOf(parseSize(formatSize(bytes))) === bytes));
  });
});

describe("parsers of one word", () => {
  const parsers = {
    parseAddress,
    parseAuthority,
    parseChangeableHeaderName,
    parseDuration,
    parseEndpointUrl,
    parseHeaderValue,
    parseServiceName,
    parseSize,
  };

  it.each(Object.entries(parsers))("%s() never throws, and names what it refuses", (_, parse) => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const parsed = parse(text);
        return parsed.ok || parsed.message !== "";
      }),
    );
  });

  it.each([
    [parseAddress, ":8080"],
    [parseAddress, "[::1]:0"],
    [parseAuthority, "users.internal:443"],
    [parseAuthority, "[::1]:443"],
    [parseChangeableHeaderName, "x-a"],
    [parseEndpointUrl, "https://[::1]:50051"],
    [parseServiceName, "acme.users.v1.UserService"],
  ] as const)("%o takes %j", (parse, text) => {
    expect(parse(text)).toEqual({ ok: true, value: text });
  });

  it.each([
    [parseAddress, "127.0.0.1"],
    [parseAddress, "::1:80"],
    [parseAuthority, "a b"],
    [parseAuthority, "a/b"],
    [parseChangeableHeaderName, "Grpc-Timeout"],
    [parseChangeableHeaderName, ":path"],
    [parseEndpointUrl, "http://"],
    [parseEndpointUrl, "http://a?b"],
    [parseEndpointUrl, "http://a:0"],
    [parseServiceName, "acme.*"],
    [parseServiceName, "a/b"],
    [parseHeaderValue, "a\r\nb"],
  ] as const)("%o refuses %j", (parse, text) => {
    expect(parse(text).ok).toBe(false);
  });
});
