import { describe, expect, it } from "vitest";
import { parseListenAddress } from "../../src/serve/address.ts";

describe("parseListenAddress()", () => {
  it.each([
    ["127.0.0.1:8080", "127.0.0.1", 8080],
    ["[::1]:8080", "::1", 8080],
    ["[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1],
    ["localhost:0", "localhost", 0],
    [":65535", "", 65_535],
  ])("reads %s", (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each([
    "",
    "8080",
    "localhost",
    "localhost:",
    "a:65536",
    "::1:8080",
    "[::1]",
    "a:-1",
    "a: 1",
    "http://a:1",
    "[a:1",
  ])("refuses %j and names it", (text) => {
    expect(() => parseListenAddress(text)).toThrow(TypeError);
    expect(() => parseListenAddress(text)).toThrow(`"${text}"`);
  });
});
