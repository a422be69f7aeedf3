import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Field } from "../../src/http2/field.ts";
import { encodeBinary, isMetadata, prefixTrailers, splitTrailers } from "../../src/wire/metadata.ts";

const field = (name: string, value = "v") => new Field(name, value);
const pairs = (fields: readonly Field[]) => fields.map(({ name, value }) => [name, value]);

describe("isMetadata()", () => {
  it.each(["x-a", "user-agent", "authorization", "x-bin", "cookie", "grpc-previous-rpc-attempts", "trailer-x"])(
    "takes %s for the caller's own",
    (name) => {
      expect(isMetadata(field(name))).toBe(true);
    },
  );

  it.each([
    ":path",
    "host",
    "connection",
    "te",
    "content-length",
    "content-type",
    "http2-settings",
    "proxy-authenticate",
    "grpc-timeout",
    "grpc-status",
    "x-grpc-web",
    "connect-timeout-ms",
    "content-encoding",
    "accept-encoding",
    "X-Upper",
  ])("takes %s for none", (name) => {
    expect(isMetadata(field(name))).toBe(false);
  });

  it("takes no value that would end a line", () => {
    expect(isMetadata(field("x-a", "a\nb"))).toBe(false);
  });
});

describe("prefixTrailers() and splitTrailers()", () => {
  it("carry trailers among headers and back, in their order", () => {
    const trailers = [field("x-a", "1"), field("x-a", "2"), field("x-bin", "AA")];
    const mixed = [field("x-h"), ...prefixTrailers([field("grpc-status", "0"), ...trailers]), field("trailer")];
    expect(pairs(mixed).map(([name]) => name)).toEqual([
      "x-h",
      "trailer-x-a",
      "trailer-x-a",
      "trailer-x-bin",
      "trailer",
    ]);
    const parted = splitTrailers(mixed);
    expect(pairs(parted.headers)).toEqual([
      ["x-h", "v"],
      ["trailer", "v"],
    ]);
    expect(pairs(parted.trailers)).toEqual(pairs(trailers));
  });

  it("let no status or header of the connection through", () => {
    const { trailers } = splitTrailers([field("trailer-grpc-status", "0"), field("trailer-te"), field("trailer-")]);
    expect(trailers).toEqual([]);
  });
});

describe("encodeBinary()", () => {
  it("writes base64 without padding", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(encodeBinary(bytes)).toBe(Buffer.from(bytes).toString("base64").replace(/=+$/, ""));
      }),
    );
  });
});
