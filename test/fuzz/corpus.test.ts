/** Every input that is kept, once more: what the targets begin with, and what has broken one of them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../support/runtimes.ts";
import type { Target } from "./loop.ts";

const folder = join(root, "test/fuzz");
const targets = readdirSync(join(folder, "targets")).map((name) => name.slice(0, -3));

describe.each(targets)("the target %s", (name) => {
  it("holds for its corpus and for what was found", async () => {
    const { fuzz } = (await import(`./targets/${name}.ts`)) as Target;
    const inputs = ["corpus", "findings"].flatMap((kind) => filesOf(join(folder, kind, name)));
    expect(inputs.length).toBeGreaterThan(0);
    for (const file of inputs) {
      try {
        await fuzz(readFileSync(file));
      } catch (cause) {
        throw new Error(`broken by ${file}`, { cause });
      }
    }
  });
});

function filesOf(path: string): string[] {
  return existsSync(path) ? readdirSync(path).map((file) => join(path, file)) : [];
}
