import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";
import { root } from "../support/runtimes.ts";

const examples = readdirSync(join(root, "examples"))
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => readFileSync(join(root, "examples", name), "utf8"));

/** Pieces that mean something to YAML or to the schema. */
const piece = fc.constantFrom(
  ..."[]{}:,-&*!|>'\"#%@\n\t ".split(""),
  "<<: ",
  "__proto__: ",
  "*a",
  "&a ",
  "- ",
  "null",
  "1e999",
  "\r\n",
  "é",
  "😀",
);

const edit = fc.record({ at: fc.nat(), remove: fc.nat(12), insert: fc.oneof(piece, fc.string({ maxLength: 6 })) });

it("loadConfig() takes any text or reports problems whose places are in it", async () => {
  const mutated = fc
    .tuple(fc.constantFrom(...examples), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) =>
      edits.reduce((before, { at, remove, insert }) => {
        const start = at % (before.length + 1);
        return before.slice(0, start) + insert + before.slice(start + remove);
      }, text),
    );
  await fc.assert(
    fc.asyncProperty(mutated, async (text) => {
      let problems: ConfigError["problems"] = [];
      try {
        await loadConfig("manifold.yaml", (path) => {
          if (path === "manifold.yaml") return Buffer.from(text);
          throw Object.assign(new Error("not found"), { code: "ENOENT" });
        });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems = error.problems;
        expect(problems.length).toBeGreaterThan(0);
      }
      const lines = text.split(/\r?\n/);
      for (const { line, column, length } of problems) {
        expect(line).toBeGreaterThan(0);
        expect(column).toBeGreaterThan(0);
        expect(length).toBeGreaterThan(0);
        expect(line).toBeLessThanOrEqual(lines.length);
        expect(column - 1).toBeLessThanOrEqual(lines[line - 1]!.length);
      }
    }),
    { numRuns: 400 },
  );
});
