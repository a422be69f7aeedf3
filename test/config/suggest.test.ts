import { describe, expect, it } from "vitest";
import { nearest, suggestion } from "../../src/config/suggest.ts";

const keys = ["endpoints", "protocols", "balance", "tls", "connect_timeout", "max_connections"];

describe("nearest()", () => {
  it.each([
    ["endpoint", "endpoints"],
    ["endpionts", "endpoints"],
    ["Balance", "balance"],
    ["connect-timeout", "connect_timeout"],
    ["connectTimeout", "connect_timeout"],
    ["tsl", "tls"],
    ["weight", undefined],
    ["x", undefined],
    ["", undefined],
  ])("of %j is %j", (word, expected) => {
    expect(nearest(word, keys)).toBe(expected);
  });
});

describe("suggestion()", () => {
  it("names what is known where nothing is near", () => {
    expect(suggestion("weight", ["grpc", "connect"])).toBe("known: grpc, connect");
    expect(suggestion("weight", ["grpc"])).toBe('known is only "grpc"');
    expect(suggestion("weight", [])).toBeUndefined();
  });
});
