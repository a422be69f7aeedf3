import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatConnectTimeout,
  formatGrpcTimeout,
  parseConnectTimeout,
  parseGrpcTimeout,
} from "../../src/wire/timeout.ts";

describe("parseGrpcTimeout()", () => {
  it.each([
    ["1n", 1e-6],
    ["200m", 200],
    ["99999999S", 99_999_999_000],
    [undefined, undefined],
  ])("reads %s as %s ms", (value, ms) => {
    expect(parseGrpcTimeout(value)).toBe(ms);
  });

  it.each(["", "5", "m", "-1m", "1.5S", "123456789m", "1 S", "1s"])("refuses %j and names it", (value) => {
    expect(() => parseGrpcTimeout(value)).toThrow(JSON.stringify(value));
  });
});

describe("formatGrpcTimeout()", () => {
  it.each([0, -1, -500, Number.NEGATIVE_INFINITY])("writes %s ms, a deadline that has passed, as 1n", (ms) => {
    expect(formatGrpcTimeout(ms)).toBe("1n");
  });

  it("never gives the upstream more time than is left", () => {
    for (let ms = 0.001; ms < 1e12; ms *= 1.7) {
      expect(parseGrpcTimeout(formatGrpcTimeout(ms))).toBeLessThanOrEqual(ms * (1 + 1e-12));
    }
  });
});

describe("parseGrpcTimeout() and formatGrpcTimeout()", () => {
  it("write in at most 8 digits what is read back as no more, and as nearly that", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 3.6e14, noNaN: true }), (ms) => {
        const written = formatGrpcTimeout(ms);
        expect(written).toMatch(/^\d{1,8}[HMSmun]$/);
        const read = parseGrpcTimeout(written)!;
        expect(read).toBeLessThanOrEqual(ms * (1 + 1e-9));
        expect(read).toBeGreaterThan(ms / 2.001);
      }),
    );
  });

  it("take nothing else", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        fc.pre(!/^\d{1,8}[HMSmun]$/.test(value));
        expect(() => parseGrpcTimeout(value)).toThrow("invalid grpc-timeout");
      }),
    );
  });
});

describe("parseConnectTimeout()", () => {
  it.each([
    ["0", 0],
    ["1500", 1_500],
    ["9999999999", 9_999_999_999],
    [undefined, undefined],
  ])("reads %s as %s ms", (value, ms) => {
    expect(parseConnectTimeout(value)).toBe(ms);
  });

  it.each(["", "-1", "1.5", "12345678901", "5s", " 5"])("refuses %j and names it", (value) => {
    expect(() => parseConnectTimeout(value)).toThrow(`"${value}"`);
  });
});

describe("formatConnectTimeout()", () => {
  it.each([
    [1500.9, "1500"],
    [1, "1"],
    [0.5, "1"],
    [0, "1"],
    [-5, "1"],
    [1e15, "9999999999"],
  ])("writes %s ms as %s", (ms, value) => {
    expect(formatConnectTimeout(ms)).toBe(value);
    expect(parseConnectTimeout(value)).toBe(Number(value));
  });
});
