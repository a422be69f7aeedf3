import { describe, expect, it } from "vitest";
import { splitNames } from "../../src/serve/certificate.ts";

describe("splitNames()", () => {
  it.each([
    ["", []],
    ["DNS:a.example", ["DNS:a.example"]],
    [
      "DNS:a.example, IP Address:10.0.0.1, URI:spiffe://a/b",
      ["DNS:a.example", "IP Address:10.0.0.1", "URI:spiffe://a/b"],
    ],
    ['URI:"http://a, DNS:evil.example, b", DNS:c', ['URI:"http://a, DNS:evil.example, b"', "DNS:c"]],
    ['URI:"a\\", DNS:evil.example", DNS:c', ['URI:"a\\", DNS:evil.example"', "DNS:c"]],
    ["URI:a,b, DNS:c", ["URI:a,b", "DNS:c"]],
  ])("splits %s", (line, names) => {
    expect(splitNames(line)).toEqual(names);
  });
});
