import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelope } from "../../src/wire/envelope.ts";
import { EnvelopeBoundary } from "../../src/wire/envelope-boundary.ts";

describe("EnvelopeBoundary", () => {
  it("is reached behind each envelope and nowhere else, however the body is split", () => {
    const lengths = fc.array(fc.oneof(fc.constant(0), fc.nat(20), fc.nat(2_000)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(lengths, fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (payloads, splits) => {
        const body = Buffer.concat(payloads.map((length) => envelope(1, Buffer.alloc(length, 0xff))));
        const ends = new Set([0]);
        for (const length of payloads) ends.add(Math.max(...ends) + 5 + length);
        const boundary = new EnvelopeBoundary();
        let at = 0;
        for (let i = 0; at < body.length; i++) {
          expect(boundary.reached).toBe(ends.has(at));
          const stop = Math.min(body.length, at + splits[i % splits.length]!);
          boundary.push(body, at, stop);
          at = stop;
        }
        expect(boundary.reached).toBe(true);
      }),
    );
  });

  it("knows lengths of 32 bits", () => {
    const boundary = new EnvelopeBoundary();
    boundary.push(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 1), 0, 6);
    expect(boundary.reached).toBe(false);
  });
});
