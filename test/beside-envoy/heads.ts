/** Rows A4 and A9, header blocks that attack their reader, and D1, those that never end. */
import { protocolFields } from "../support/callers.ts";
import { envelope, outcome, requestFields, untilBytes } from "../support/grpc.ts";
import {
  bombs,
  openWithField,
  refusal,
  sendBomb,
  sendEndless,
  sendIndexed,
  sendInEight,
} from "../support/header-bombs.ts";
import { Http1Call, http1Request } from "../support/http1-call.ts";
import { sendSlowHead, slowHeads } from "../support/slow-heads.ts";
import { sleep } from "../support/until.ts";
import { type Attack, type Figures, fateOf } from "./measure.ts";

const path = "/manifold.test.Beside/Method";

const continuations: Attack = {
  row: "A4",
  what: "a header block of 8 CONTINUATION frames, and one of 100",
  async run({ upstream, connect }) {
    const good = await connect();
    const stream = sendInEight(good, path);
    stream.sendData(envelope(Buffer.from("whole")), { end: true });
    await stream.finished;
    const peer = await connect();
    await peer.ping(); // else an ack of its SETTINGS may come in the midst of the block
    sendEndless(peer, path, 100);
    const connection = await fateOf(peer);
    return {
      "status of that with 8": outcome(stream).status ?? "none",
      "connection of that with 100": connection,
      "calls upstream": upstream.calls.length,
    };
  },
};

/** Each on a connection of its own, on which a call was open before. */
const headerBombs = bombs(path).map(
  ([what, block]): Attack => ({
    row: "A9",
    what,
    async run({ upstream, connect }) {
      const peer = await connect();
      const sibling = openWithField(peer, path);
      sibling.sendData(envelope(Buffer.from("before")));
      await untilBytes(sibling, 11);
      const stream = sendBomb(peer, block);
      const connection = await fateOf(peer);
      const calls = upstream.calls.length - 1;
      sibling.sendData(envelope(Buffer.from("after")), { end: true });
      await Promise.race([sibling.finished, sleep(2_000)]);
      return {
        connection,
        stream: refusal(stream) || (stream.cut ? "cut" : `status ${outcome(stream).status}`),
        "siblings lost": outcome(sibling).status === 0 ? 0 : 1,
        "calls upstream": calls,
      };
    },
  }),
);

/** The first bomb's field by its index, behind it on the same connection. */
const tableAfter: Attack = {
  row: "A9",
  what: "a field by its index behind the first bomb",
  async run({ upstream, connect }) {
    const peer = await connect();
    const [, block] = bombs(path)[0]!;
    await sendBomb(peer, block).finished;
    const { stream, field } = sendIndexed(peer, path);
    await Promise.race([stream.finished, sleep(2_000)]);
    const right = upstream.calls.at(-1)?.field(field[0]) === field[1];
    return { "the field upstream": right ? "right" : stream.cut ? "connection cut" : "absent" };
  },
};

/** Seconds that slow ones are watched for, and between two of their bytes. */
const watched = 65;
const everyMs = 2_500;
const half = envelope(Buffer.alloc(1_000)).subarray(0, 500);

const slow: Attack = {
  row: "D1",
  what: `slow senders, watched for ${watched} s: closed after, s`,
  upstream: { record: false },
  waits: true,
  async run({ port, connect }) {
    const figures: Figures = {};
    const startedAt = performance.now();
    const watch = (what: string, over: () => boolean) => {
      figures[what] = Number.POSITIVE_INFINITY;
      const timer = setInterval(() => {
        if (!over()) return;
        clearInterval(timer);
        figures[what] = (performance.now() - startedAt) / 1_000;
      }, 50);
      return timer;
    };
    const timers = slowHeads(path).map((head) => {
      const call = sendSlowHead(port, head, everyMs);
      return watch(head.what, () => call.closed);
    });
    const request = http1Request(`POST ${path}`, [...protocolFields("connect unary", {}), ["Content-Length", "1000"]]);
    const body = new Http1Call(port, Buffer.concat([request, half]));
    timers.push(watch("half a body over HTTP/1.1", () => body.closed));
    const stream = (await connect()).open(requestFields(path));
    stream.sendData(half);
    timers.push(watch("half a body over HTTP/2 (its stream)", () => stream.done));
    await sleep(watched * 1_000);
    for (const timer of timers) clearInterval(timer);
    return figures;
  },
};

export const heads: readonly Attack[] = [continuations, ...headerBombs, tableAfter, slow];
