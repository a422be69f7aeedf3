/**
 * The suites. "unit" is in memory or over one socket, and "hosts", which mostly waits, runs beside it; the others start the built command,
 * each runtime its own project of the same files. Groups run one after another, so that no suite's measurements are made beside another suite's load.
 */
import { defineConfig, type TestProjectConfiguration } from "vitest/config";

const outer = ["hosts", "runtimes", "h2spec", "conformance", "clients", "browser", "soak", "mutations", "beside-envoy"];

function project(name: string, include: string[], more: object = {}): TestProjectConfiguration {
  return { extends: true, test: { name, include, ...more } };
}

function onRuntime(runtime: string, order: number): TestProjectConfiguration {
  return project(`runtimes:${runtime}`, ["test/runtimes/**/*.test.ts"], {
    env: { MANIFOLD_RUNTIME: runtime },
    sequence: { groupOrder: order },
  });
}

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      project("unit", ["test/**/*.test.ts"], {
        exclude: outer.map((folder) => `test/${folder}/**`),
        testTimeout: 60_000,
      }),
      project("hosts", ["test/hosts/**/*.test.ts"], { testTimeout: 60_000 }),
      onRuntime("node", 1),
      onRuntime("bun", 2),
      onRuntime("deno", 3),
      ...["node", "bun", "deno"].map((runtime, index) =>
        project(`soak:${runtime}`, ["test/soak/**/*.test.ts"], {
          env: { MANIFOLD_RUNTIME: runtime },
          sequence: { groupOrder: 20 + index },
          testTimeout: 900_000,
        }),
      ),
      project("h2spec", ["test/h2spec/**/*.test.ts"], { sequence: { groupOrder: 4 } }),
      project("conformance", ["test/conformance/**/*.test.ts"], {
        sequence: { groupOrder: 5 },
        testTimeout: 300_000,
      }),
      project("clients", ["test/clients/**/*.test.ts"], { sequence: { groupOrder: 6 } }),
      project("beside-envoy", ["test/beside-envoy/**/*.test.ts"], {
        sequence: { groupOrder: 30 },
        testTimeout: 600_000,
      }),
      project("mutations", ["test/mutations/**/*.test.ts"], { sequence: { groupOrder: 8 }, testTimeout: 600_000 }),
      project("browser", ["test/browser/**/*.test.ts"], { sequence: { groupOrder: 7 } }),
    ],
  },
});
