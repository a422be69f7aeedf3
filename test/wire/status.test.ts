import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { codeOfName, errorNames, parseStatus, statusName, statusOfHttp, statusOfReset } from "../../src/wire/status.ts";

describe("parseStatus()", () => {
  it.each([
    ["0", 0],
    ["14", 14],
    [" 5 ", 5],
    ["99", 99],
    ["4294967295", 4_294_967_295],
    ["", Code.Unknown],
    ["ok", Code.Unknown],
    ["-1", Code.Unknown],
    ["1e3", Code.Unknown],
    ["0, 0", Code.Unknown],
  ])("reads %j as %s", (value, status) => {
    expect(parseStatus(value)).toBe(status);
  });
});

describe("statusOfHttp()", () => {
  it.each([
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [200, 2],
    [418, 2],
    [500, 2],
  ])("maps %s to %s", (http, status) => {
    expect(statusOfHttp(http)).toBe(status);
  });
});

describe("statusOfReset()", () => {
  it.each([
    [0x7, 14],
    [0x8, 1],
    [0xb, 8],
    [0xc, 7],
    [0x0, 13],
    [0x2, 13],
    [0xffffffff, 13],
  ])("maps %s to %s", (code, status) => {
    expect(statusOfReset(code)).toBe(status);
  });
});

describe("names", () => {
  it("are those of every gRPC status, there and back", () => {
    expect(errorNames).toHaveLength(16);
    for (const name of errorNames) expect(statusName(codeOfName(name)!)).toBe(name);
    expect(codeOfName("unauthenticated")).toBe(Code.Unauthenticated);
  });

  it("of success and of unknown numbers are only written", () => {
    expect([statusName(0), statusName(99), statusName(-1)]).toEqual(["ok", "status 99", "status -1"]);
    expect([codeOfName("ok"), codeOfName("nope"), codeOfName("")]).toEqual([undefined, undefined, undefined]);
    expect(codeOfName("cancelled")).toBe(Code.Canceled);
  });
});
