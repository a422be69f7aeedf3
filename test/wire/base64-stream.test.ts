import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Base64Decoder, Base64Encoder } from "../../src/wire/base64-stream.ts";

/** Cuts bytes into pieces of the given lengths, over and over. */
function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + lengths[cut.length % lengths.length]!);
    cut.push(piece);
    at += piece.length;
  }
  return cut;
}

/** The decoded bytes, or undefined if the body is bad or was cut off. */
function decode(text: string, lengths: readonly number[] = [1000]): Buffer | undefined {
  const decoder = new Base64Decoder();
  const out: Uint8Array[] = [];
  for (const piece of pieces(Buffer.from(text, "latin1"), lengths)) {
    const decoded = decoder.push(Buffer.from([0, ...piece, 0]), 1, 1 + piece.length);
    if (decoded === undefined) return undefined;
    out.push(decoded);
  }
  return decoder.end() ? Buffer.concat(out) : undefined;
}

const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });

describe("Base64Decoder", () => {
  it("decodes groups of frames, each padded for itself, in any pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), lengths, (frames, split) => {
        const text = frames.map((frame) => Buffer.from(frame).toString("base64")).join("");
        expect(decode(text, split)).toEqual(Buffer.concat(frames));
      }),
    );
  });

  it.each([
    ["", ""],
    ["AA==AA==", "\0\0"],
    ["YWI=YQ==", "aba"],
    ["YWJj\r\nYWJj\n", "abcabc"],
    ["+/+/", "\xfb\xff\xbf"],
  ])("reads %j", (text, binary) => {
    expect(decode(text)).toEqual(Buffer.from(binary, "latin1"));
    expect(decode(text, [1])).toEqual(Buffer.from(binary, "latin1"));
  });

  it.each([
    "A",
    "AA",
    "AAA",
    "AA=",
    "=",
    "A===",
    "AA=A",
    "AA==A",
    "AAAA=",
    "AA A",
    "-_-_",
    "AAA\x80",
    "AAAA====",
    "\0",
  ])("refuses %j", (text) => {
    expect(decode(text)).toBeUndefined();
    expect(decode(text, [1])).toBeUndefined();
  });

  it("stays bad", () => {
    const decoder = new Base64Decoder();
    expect(decoder.push(Buffer.from("!"), 0, 1)).toBeUndefined();
    expect(decoder.push(Buffer.from("AAAA"), 0, 4)).toBeUndefined();
    expect(decoder.end()).toBe(false);
  });
});

describe("Base64Encoder", () => {
  it("writes what Node writes, in any pieces", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), lengths, (bytes, split) => {
        const encoder = new Base64Encoder();
        const out = pieces(bytes, split).map((piece) =>
          encoder.push(Buffer.from([0, ...piece, 0]), 1, 1 + piece.length, false),
        );
        out.push(encoder.push(bytes, 0, 0, true));
        expect(Buffer.concat(out).toString("latin1")).toBe(Buffer.from(bytes).toString("base64"));
      }),
    );
  });

  it("pads at each flush, so that all that was written can be read at once", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.boolean())), lengths, (writes, split) => {
        const encoder = new Base64Encoder();
        let text = "";
        let sinceFlush: Uint8Array[] = [];
        for (const [bytes, flush] of writes) {
          text += Buffer.from(encoder.push(bytes, 0, bytes.length, flush)).toString("latin1");
          sinceFlush = flush ? [] : [...sinceFlush, bytes];
        }
        const readable = Buffer.concat(writes.map(([bytes]) => bytes));
        const waiting = Buffer.concat(sinceFlush).length % 3;
        expect(decode(text, split)).toEqual(readable.subarray(0, readable.length - waiting));
      }),
    );
  });
});
