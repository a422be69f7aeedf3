import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeMessage, encodeMessage } from "../../src/wire/message.ts";

/** UTF-8 as it stands in a header: one character for each byte. */
const raw = (text: string) => Buffer.from(text, "utf8").toString("latin1");

describe("encodeMessage()", () => {
  it.each([
    ["plain ~ text!", "plain ~ text!"],
    ["50% off", "50%25 off"],
    [" a b ", "%20a b%20"],
    [" ", "%20"],
    ["a\r\nset-cookie:x\0", "a%0D%0Aset-cookie:x%00"],
    ["grüße", "gr%C3%BC%C3%9Fe"],
    ["😀", "%F0%9F%98%80"],
    ["\ud800", "%EF%BF%BD"],
  ])("writes %j as %j", (text, value) => {
    expect(encodeMessage(text)).toBe(value);
  });

  it("writes printable ASCII only", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => /^[ -~]*$/.test(encodeMessage(text))));
  });
});

describe("decodeMessage()", () => {
  it.each([
    ["plain", "plain"],
    ["50% off", "50% off"],
    ["%", "%"],
    ["%z", "%z"],
    ["%zz %4", "%zz %4"],
    ["%25%32%35", "%25"],
    ["50% %c3%bc", "50% ü"],
    ["%0d%0aset-cookie:x", "\r\nset-cookie:x"],
    ["%ff", "%ff"],
    [raw("grüße"), "grüße"],
    [raw("grüße %C3%BC"), "grüße ü"],
    ["\xff", "\ufffd"],
    [raw("\ufeffbom"), "\ufeffbom"],
  ])("reads %j as %j", (value, text) => {
    expect(decodeMessage(value)).toBe(text);
  });

  it("reads what was written", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(decodeMessage(encodeMessage(text))).toBe(Buffer.from(text, "utf8").toString("utf8"));
      }),
    );
  });

  it("never throws, whatever the bytes", () => {
    const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) });
    const escapes = fc.string({ unit: fc.constantFrom("%", "c", "3", "b", "\xc3", "\xbc", "f", "g", " ") });
    fc.assert(fc.property(fc.oneof(bytes, escapes), (value) => typeof decodeMessage(value) === "string"));
  });
});
