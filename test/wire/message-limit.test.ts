import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../src/wire/envelope.ts";
import { bodyFormOf, MessageLimit } from "../../src/wire/message-limit.ts";

describe("bodyFormOf()", () => {
  it.each([
    ["application/grpc", "envelopes"],
    ["application/grpc+json", "envelopes"],
    ["application/grpc-web+proto", "envelopes"],
    ["application/grpc-web-text", "unknown"],
    ["application/grpc-web-text+proto", "unknown"],
    ["application/connect+json", "envelopes"],
    ["application/json", "whole"],
    [undefined, "unknown"],
  ])("of %s is %s", (contentType, form) => {
    expect(bodyFormOf(contentType)).toBe(form);
  });
});

/** What a limit of so many bytes says to each piece of a body, up to the first that is too much. */
function verdicts(max: number, body: Uint8Array, cuts: readonly number[]): number[] {
  const limit = new MessageLimit(max, "envelopes");
  const said: number[] = [];
  const ends = [...new Set([...cuts.map((cut) => cut % (body.length + 1)), body.length])].sort((a, b) => a - b);
  let start = 0;
  for (const stop of ends) {
    said.push(limit.push(body, start, stop));
    if (said.at(-1) !== 0) break;
    start = stop;
  }
  return said;
}

describe("MessageLimit", () => {
  it("finds, however a body is cut, the first message that is too large, and no other", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 12 }), fc.array(fc.nat(4_000)), (lengths, cuts) => {
        const body = Buffer.concat(lengths.map((length) => envelope(0, new Uint8Array(length))));
        const large = lengths.find((length) => length > 150) ?? 0;
        expect(verdicts(150, body, cuts).at(-1)).toBe(large);
      }),
    );
  });

  it("knows it from the prefix, up to 4 GiB", () => {
    const limit = new MessageLimit(4 << 20, "envelopes");
    expect(limit.push(Uint8Array.of(0, 255, 255, 255), 0, 4)).toBe(0);
    expect(limit.push(Uint8Array.of(255), 0, 1)).toBe(2 ** 32 - 1);
  });

  it("counts a body that is one message, and leaves alone one that it can't read", () => {
    const whole = new MessageLimit(10, "whole");
    expect([whole.push(new Uint8Array(10), 0, 10), whole.push(new Uint8Array(1), 0, 1)]).toEqual([0, 11]);
    expect(new MessageLimit(10, "unknown").push(new Uint8Array(99), 0, 99)).toBe(0);
  });
});
