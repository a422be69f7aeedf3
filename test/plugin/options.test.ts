import { describe, expect, it } from "vitest";
import { parseOptions } from "../../src/plugin/options.ts";

const parse = (text: string) =>
  parseOptions(
    text.split(",").flatMap((one) => {
      const [key = "", value = ""] = one.split("=");
      return key === "" ? [] : [{ key, value }];
    }),
  );

describe("parseOptions()", () => {
  it.each([
    ["", { all: false, layout: "wrap", to: [], emit: ["proto", "es", "routes"] }],
    ["all", { all: true }],
    ["all=false", { all: false }],
    ["layout=talos", { layout: "talos" }],
    ["to=a,to=b+c", { to: ["a", "b", "c"] }],
    ["emit=proto+routes", { emit: ["proto", "routes"] }],
    ["emit=es", { emit: ["es"] }],
  ])("reads %j", (text, expected) => {
    expect(parse(text)).toMatchObject(expected);
  });

  it.each([
    ["fanout=1", 'unknown option "fanout"'],
    ["all=yes", 'option "all" can\'t be "yes": true, false'],
    ["layout=heap", 'option "layout" can\'t be "heap": wrap, merge, talos'],
    ["emit=proto+go", 'option "emit" can\'t be "go": proto, es, routes'],
    ["to=a++b", 'option "to" has an empty value in "a++b"'],
    ["to", 'option "to" has an empty value in ""'],
  ])("refuses %s", (text, expected) => {
    expect(() => parse(text)).toThrow(expected);
  });
});
