/** What an install of the package is made of: the built code asks for nothing that package.json doesn't name. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAst } from "rolldown/parseAst";
import { describe, expect, it } from "vitest";
import { root } from "../support/runtimes.ts";

const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The packages that built files import. */
function packagesOf(folder: string): Set<string> {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  const specifiers = files
    .filter((file) => file.endsWith(".js"))
    .flatMap((file) => parseAst(readFileSync(join(root, folder, file), "utf8")).body)
    .flatMap((statement) => ("source" in statement && statement.source ? [statement.source.value] : []));
  const bare = specifiers.filter((specifier) => !/^(?:node:|\.)/.test(specifier));
  return new Set(bare.map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)![0]));
}

describe("the package", () => {
  it("has a proxy that needs its dependencies only", () => {
    expect([...packagesOf("dist")].sort()).toEqual(Object.keys(dependencies).sort());
  });

  it("has a generator that needs no compiler: in one file, with protobuf-es alone beside it", () => {
    expect(readdirSync(join(root, "dist/plugin"))).toEqual(["main.js"]);
    expect([...packagesOf("dist/plugin")]).toEqual(["@bufbuild/protobuf"]);
  });
});
