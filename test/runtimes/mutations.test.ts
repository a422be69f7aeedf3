/** Row A10 of the table of faults: 10,000 mutations of a connection that was recorded. */
import { afterAll, beforeAll, expect } from "vitest";
import { playMutations } from "../support/mutations.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, onRuntime } from "./suite.ts";

/** MANIFOLD_MUTATIONS for more, and MANIFOLD_SEED for others. */
const mutations = Number(process.env.MANIFOLD_MUTATIONS ?? 10_000);
const seed = Number(process.env.MANIFOLD_SEED ?? 20_260_719);

onRuntime("mutations", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ record: false });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("A10 10,000 mutations of a recorded connection: no crash, and each ends within 10 s of its FIN", async () => {
    const late: number[] = [];
    const onPlayed = (number: number, tookMs: number) => {
      if (tookMs > 10_000) late.push(number);
    };
    const playAll = (from: number, to: number) => playMutations(stage.manifold.port, { from, to, seed, onPlayed });
    // the first growth of a heap by thousands of connections is no leak: on Deno it ends at 4,500, whatever comes then
    const warmUp = Math.floor(mutations * 0.45);
    await playAll(0, warmUp);
    await stage.survive(() => playAll(warmUp, mutations));
    expect(late, `numbers that took too long, of seed ${seed}`).toEqual([]);
    const { stdout, stderr } = stage.manifold.program;
    expect(stderr()).toBe("");
    expect(
      stdout()
        .split("\n")
        .filter((line) => line.includes('"level":50')),
    ).toEqual([]);
  });
});
