/** Attacks on a connection: rows A1, A4 and A9 of the table of faults. Envoy with default options fails A9's siblings. */
import { afterAll, beforeAll, expect } from "vitest";
import { openMany, rapidReset } from "../support/attacks.ts";
import { envelope, outcome, requestFields, untilBytes } from "../support/grpc.ts";
import { bombs, refusal, sendBomb, sendEndless, sendIndexed, sendInEight } from "../support/header-bombs.ts";
import { until } from "../support/until.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, figure, onRuntime } from "./suite.ts";

const hangPath = "/manifold.test.Attack/Hang";
const echoPath = "/manifold.test.Attack/Echo";
const enhanceYourCalm = 11;

onRuntime("attacks", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ handlers: { [hangPath]: () => {} } });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("A1 5,000 pairs of HEADERS and RST_STREAM end in ENHANCE_YOUR_CALM by about 300", async () => {
    await stage.survive(async () => {
      const peer = await stage.connect();
      await openMany(peer, hangPath, { streams: 5_000, behind: rapidReset });
      await until("the connection to be closed", () => peer.closed);
      expect(peer.goaways.at(-1)?.code).toBe(enhanceYourCalm);
      figure(`${upstream.calls.length} calls upstream`);
      expect(upstream.calls.length).toBeLessThanOrEqual(400);
      await until("every upstream stream to be reset", () => upstream.calls.every((seen) => seen.done));
      expect(upstream.calls.filter((seen) => seen.reset === undefined)).toEqual([]);
    });
  });

  check("A4 a header block of 8 CONTINUATION frames is taken, one of 9 or of 100 closes the connection", async () => {
    await stage.survive(async () => {
      const good = await stage.connect();
      const stream = sendInEight(good, echoPath);
      stream.sendData(envelope(Buffer.from("whole")), { end: true });
      await stream.finished;
      expect(outcome(stream).status).toBe(0);

      const calls = upstream.calls.length;
      for (const count of [9, 100]) {
        const peer = await stage.connect();
        await peer.ping(); // else an ack of its SETTINGS may come in the midst of the block, which is a fault by itself
        sendEndless(peer, echoPath, count);
        await until(`the connection to be closed at ${count}`, () => peer.closed);
        expect(peer.goaways.at(-1)?.code).toBeOneOf([1, enhanceYourCalm]);
      }
      expect(upstream.calls.length).toBe(calls);
    });
  });

  check("A9 header lists over the limits end that stream only, and the decoder's state stays right", async () => {
    const calls = upstream.calls.length;
    await stage.survive(async () => {
      const peer = await stage.connect();
      const sibling = peer.open(requestFields(echoPath));
      sibling.sendData(envelope(Buffer.from("before")));
      await untilBytes(sibling, 11);
      expect(sibling.bytes).toBe(11);
      for (const [name, block] of bombs(echoPath)) {
        const stream = sendBomb(peer, block);
        await stream.finished;
        expect(refusal(stream), name).not.toBe("");
        expect(peer.closed, `the connection after ${name}`).toBe(false);
      }
      const { stream: after, field } = sendIndexed(peer, echoPath);
      await after.finished;
      expect(outcome(after).status).toBe(0);
      expect(upstream.calls.at(-1)?.field(field[0])).toBe(field[1]);

      sibling.sendData(envelope(Buffer.from("after")), { end: true });
      await sibling.finished;
      expect(outcome(sibling)).toMatchObject({ status: 0, messages: [{ flags: 0 }, { flags: 0 }] });
    });
    expect(upstream.calls.length).toBe(calls + 2);
  });
});
