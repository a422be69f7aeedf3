/**
 * Proves that the tests of the table of faults can fail: each mutation is made in a copy of the command, with which the tests of its row
 * are run; all of them must fail. First they must pass with a copy that is as it was. On the runtime of MANIFOLD_RUNTIME (default: node).
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runtime } from "../runtimes/suite.ts";
import { run } from "../support/program.ts";
import { root } from "../support/runtimes.ts";
import { type Mutation, mutate, readMutations } from "./mutations.ts";

const mutations = readMutations();

/** Of one test: what waits for something that doesn't come any more waits so long. */
const testTimeoutMs = 40_000;

/** A test of a row says so in its name, or in its suite's. */
const ofRow = /(?:^|\) > )[A-G]\d+\b/;

interface Result {
  /** The file of `test/runtimes`, without its ending. */
  suite: string;
  fullName: string;
  status: "passed" | "failed" | "skipped" | "pending";
  failureMessages: string[];
}

describe("mutations", () => {
  let folder: string;
  let copy: string;

  beforeAll(() => {
    folder = mkdtempSync(join(root, "test/.cache/mutations-"));
    copy = join(folder, "copy/");
    for (const part of ["bin", "dist", "src", "proto", "package.json"]) {
      cpSync(join(root, part), join(copy, part), { recursive: true });
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What becomes of them with the copy. */
  async function results(tests: Mutation["tests"]): Promise<Result[]> {
    const files = new Set(tests.map(({ suite }) => `test/runtimes/${suite}.test.ts`));
    const names = tests.map((one) => one.names.source).join("|");
    const outputFile = join(folder, "results.json");
    const how = ["--reporter", "json", "--outputFile", outputFile, "--testTimeout", String(testTimeoutMs)];
    rmSync(outputFile, { force: true });
    await vitest(["run", ...files, ...how, "-t", names], { MANIFOLD_COPY: copy });
    const { testResults } = JSON.parse(readFileSync(outputFile, "utf8")) as {
      testResults: { name: string; assertionResults: Omit<Result, "suite">[] }[];
    };
    const seen = testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map((result) => ({ ...result, suite: basename(name, ".test.ts") })),
    );
    // the names of one file may be those of tests of another
    return seen.filter((one) => tests.some((test) => isOf(test, one)));
  }

  it("a copy as it was: the tests pass", { timeout: 1_800_000 }, async () => {
    const tests = mutations.flatMap((mutation) => mutation.tests);
    const seen = await results(tests);
    expect(seen.filter(({ status }) => status !== "passed").map(({ fullName }) => fullName)).toEqual([]);
    expect(tests.filter((test) => !seen.some((one) => isOf(test, one)))).toEqual([]);
  });

  it("every test of a row has one that it must notice", async () => {
    const listed = JSON.parse(await vitest(["list", "--json"])) as { name: string; file: string }[];
    const rows = listed.filter(({ name }) => ofRow.test(name));
    expect(rows.length).toBeGreaterThan(0);
    const tests = mutations.flatMap((mutation) => mutation.tests);
    const unnoticing = rows.filter(({ name, file }) => {
      const one = { suite: basename(file, ".test.ts"), fullName: name.replace(" > ", " ") };
      return !tests.some((test) => isOf(test, one));
    });
    expect(unnoticing.map(({ name }) => name)).toEqual([]);
  });

  for (const mutation of mutations) {
    const { what, tests } = mutation;
    const shown = tests.map(({ suite, names }) => `${suite}: ${names.source.slice(6, -7)}`);
    it(`${shown.join(", ")}: ${what}`, async () => {
      const restore = mutate(copy, mutation);
      try {
        const seen = await results(tests);
        expect(seen.length).toBeGreaterThan(0);
        for (const { fullName, status, failureMessages } of seen) {
          console.info(`${fullName}: ${failureMessages[0]?.split("\n")[0] ?? status}`);
          expect(failureMessages.join(), "the command must start").not.toContain(`manifold on ${runtime} ended`);
        }
        expect(seen.filter(({ status }) => status !== "failed").map(({ fullName }) => fullName)).toEqual([]);
      } finally {
        restore();
      }
    });
  }
});

function isOf({ suite, names }: Mutation["tests"][number], one: Pick<Result, "suite" | "fullName">): boolean {
  return suite === one.suite && names.test(one.fullName);
}

/** Runs vitest on the tests of the runtime. Returns what it prints. */
async function vitest([command = "", ...options]: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  const program = [process.execPath, join(root, "node_modules/vitest/vitest.mjs"), command];
  const argv = [...program, "--project", `runtimes:${runtime}`, ...options];
  const { stdout } = await run(argv, { cwd: root, env: { ...own, ...more }, timeoutMs: 1_800_000 });
  return stdout;
}
