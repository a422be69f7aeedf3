/** Row A10 of the table of faults: 10,000 mutations of a connection that was recorded. */
import { afterAll, beforeAll, expect } from "vitest";
import { type Played, playMutations } from "../support/mutations.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

/** MANIFOLD_MUTATIONS for more, and MANIFOLD_SEED for others. */
const mutations = Number(process.env.MANIFOLD_MUTATIONS ?? 10_000);
/** What a connection ends in where something was thrown that is no fault of the peer's. */
const internalError = 2;
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
    const ownFaults: number[] = [];
    let slowestMs = 0;
    const onPlayed = (number: number, { tookMs, goaway }: Played) => {
      slowestMs = Math.max(slowestMs, tookMs);
      if (tookMs > 10_000) late.push(number);
      if (goaway === internalError) ownFaults.push(number);
    };
    const playAll = (from: number, to: number) => playMutations(stage.manifold.port, { from, to, seed, onPlayed });
    // the first growth of a heap by thousands of connections is no leak: on Deno it ends at 4,500, whatever comes then
    const warmUp = Math.floor(mutations * 0.45);
    await playAll(0, warmUp);
    await stage.survive(() => playAll(warmUp, mutations));
    figure(`the slowest ended after ${slowestMs.toFixed(0)} ms`);
    expect(late, `numbers that took too long, of seed ${seed}`).toEqual([]);
    expect(ownFaults, `numbers that ended in an error of our own, of seed ${seed}`).toEqual([]);
    const { stdout, stderr } = stage.manifold.program;
    expect(stderr()).toBe("");
    expect(
      stdout()
        .split("\n")
        .filter((line) => line.includes('"level":50')),
    ).toEqual([]);
  });
});
