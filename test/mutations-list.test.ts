/** The list of mutations, which is only run at times, is kept true to the source by every run of the unit tests. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { placeOf, readMutations } from "./mutations/mutations.ts";
import { root } from "./support/runtimes.ts";

describe("mutations.txt", () => {
  it.each(readMutations())("$what: has its places, and tests", ({ changes, tests }) => {
    for (const { file, find } of changes) {
      const source = readFileSync(join(root, `src/${file}.ts`), "utf8");
      expect(source.match(placeOf(find)) ?? [], find).toHaveLength(1);
    }
    for (const { suite } of tests) expect(existsSync(join(root, `test/runtimes/${suite}.test.ts`)), suite).toBe(true);
  });
});
