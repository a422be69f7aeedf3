/** What holds of the parser for any input. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readRequests } from "./events.ts";
import { splitsOf, spoiltStream, stream } from "./inputs.ts";

const small = { maxRequestLine: 60, maxHeaderSection: 120, maxHeaderFields: 4, maxChunkExtensions: 6 };

describe("the parser", () => {
  it.each([
    ["requests", stream, {}],
    ["spoilt requests", spoiltStream, {}],
    ["requests at its limits", stream, small],
    ["spoilt requests at its limits", spoiltStream, small],
  ])("reads the same of %s, however they are split", (_what, inputs, settings) => {
    const split = inputs.chain((text) => fc.tuple(fc.constant(text), splitsOf(text.length)));
    fc.assert(
      fc.property(split, ([text, splits]) => {
        expect(readRequests(text, { splits, settings })).toEqual(readRequests(text, { settings }));
      }),
      { numRuns: 1_000 },
    );
  });

  it("reads any bytes, or refuses them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { requests, refused } = readRequests(bytes);
        expect(requests).toEqual([]);
        if (refused !== undefined) expect([400, 501, 505]).toContain(refused);
      }),
      { numRuns: 2_000 },
    );
  });

  it("finds some of the inputs right, and some wrong", () => {
    const results = fc.sample(stream, 500).map((text) => readRequests(text));
    expect(results.filter(({ refused }) => refused === undefined).length).toBeGreaterThan(50);
    expect(results.filter(({ refused }) => refused !== undefined).length).toBeGreaterThan(50);
  });
});
