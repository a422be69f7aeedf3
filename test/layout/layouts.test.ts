import { describe, expect, it } from "vitest";
import { goErrorText } from "../../src/layout/go-error.ts";
import { layoutNames, layoutOf } from "../../src/layout/layouts.ts";

describe("layoutOf()", () => {
  it("knows each layout by its own name", () => {
    expect(layoutNames).toEqual(["wrap", "merge", "talos"]);
    for (const name of layoutNames) expect(layoutOf(name)?.name).toBe(name);
  });

  it.each(["", "Wrap", "toString", "__proto__"])("knows no layout %j", (name) => {
    expect(layoutOf(name)).toBeUndefined();
  });
});

describe("goErrorText()", () => {
  it.each([
    [9, "Userspace error.", "rpc error: code = FailedPrecondition desc = Userspace error."],
    [1, "", "rpc error: code = Canceled desc = "],
    [14, "50% off", "rpc error: code = Unavailable desc = 50% off"],
    [16, "x", "rpc error: code = Unauthenticated desc = x"],
    [99, "x", "rpc error: code = Code(99) desc = x"],
  ])("writes code %i as grpc-go does", (code, message, text) => {
    expect(goErrorText(code, message)).toBe(text);
  });
});
