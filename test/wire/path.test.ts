import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePath } from "../../src/wire/path.ts";

describe("parsePath()", () => {
  it.each([
    ["/acme.users.v1.UserService/Get", "acme.users.v1.UserService", "Get"],
    ["/S/m", "S", "m"],
    ["/a-b_c.D0/E~!$&'()*+,;=:@", "a-b_c.D0", "E~!$&'()*+,;=:@"],
    ["/...a/M", "...a", "M"],
  ])("reads %j", (path, service, method) => {
    expect(parsePath(path)).toEqual({ service, method });
  });

  // Fault C5: every one of these is read otherwise by some server.
  it.each([
    "",
    "/",
    "//",
    "/S",
    "/S/",
    "//M",
    "S/M",
    "*",
    "/S/M/",
    "/S//M",
    "/a.S/../b.T/M",
    "/../M",
    "/S/..",
    "/./M",
    "/S/.",
    "/S/M?q",
    "/S?/M",
    "/S/M#f",
    "/%2e%2e/M",
    "/S/M%2F",
    "/S%2FM/x",
    "/S\\T/M",
    "/S/M N",
    " /S/M",
    "/S/M\n",
    "/S/M\x7f",
    "/S/\xe4",
    "http://host/S/M",
  ])("refuses %j", (path) => {
    expect(parsePath(path)).toBeUndefined();
  });

  it("takes exact bytes or nothing", () => {
    const part = fc.string({
      unit: fc.constantFrom("a", "B", ".", "/", "%", "2", "e", "?", "#", "\\", " ", "-", "\xe4"),
    });
    fc.assert(
      fc.property(part, part, (left, right) => {
        const parsed = parsePath(`/${left}/${right}`);
        if (parsed === undefined) return;
        expect(`/${parsed.service}/${parsed.method}`).toBe(`/${left}/${right}`);
        expect(new URL(`http://host/${left}/${right}`).pathname).toBe(`/${left}/${right}`);
        expect(`${parsed.service}${parsed.method}`).not.toMatch(/[/?#%\\ \x80-\xff]/);
      }),
      { numRuns: 2_000 },
    );
  });

  it("reads a path of 8 KiB", () => {
    const service = "s".repeat(4 << 10);
    expect(parsePath(`/${service}/${service}`)).toEqual({ service, method: service });
  });
});
