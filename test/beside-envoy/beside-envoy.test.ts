/**
 * Rows A and D of the table of faults, with Envoy and its defaults beside Manifold: the same bytes, and what they cost. No figure may
 * be worse than Envoy's. Prints a table, and writes it to test/.cache/beside-envoy.md.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findEnvoy } from "../support/stand-in.ts";
import { isExpected } from "./exceptions.ts";
import { floods } from "./floods.ts";
import { heads } from "./heads.ts";
import { type Figures, measure, type ProxyName } from "./measure.ts";
import { stalled } from "./stalled.ts";
import { heading, linesOf, worseThanEnvoy } from "./table.ts";

const absent = findEnvoy() === undefined && !skipAbsent("beside-envoy", "no envoy: bench/install, or ENVOY");
const proxies: ProxyName[] = ["envoy", ...runtimesUnderTest()];
/** In the order of the table of faults. */
const attacks = [...floods, ...heads, ...stalled].sort((a, b) => a.row.localeCompare(b.row, "en", { numeric: true }));

describe.skipIf(absent)("beside Envoy", () => {
  const table = heading(proxies);

  for (const attack of attacks) {
    it(`${attack.row} ${attack.what}: nothing is worse than with Envoy`, async () => {
      const beside = new Map<ProxyName, Figures>();
      if (attack.waits) {
        const all = await Promise.all(proxies.map((name) => measure(name, attack)));
        for (const [at, name] of proxies.entries()) beside.set(name, all[at]!);
      } else {
        for (const name of proxies) beside.set(name, await measure(name, attack));
      }
      const lines = linesOf(attack, beside);
      table.push(...lines);
      console.log(lines.join("\n"));
      const unexpected = worseThanEnvoy(beside).filter((worse) => !isExpected(attack, worse));
      expect(unexpected).toEqual([]);
    });
  }

  afterAll(() => {
    mkdirSync(`${root}test/.cache`, { recursive: true });
    writeFileSync(`${root}test/.cache/beside-envoy.md`, `${table.join("\n")}\n`);
    console.log(table.join("\n"));
  });
});
