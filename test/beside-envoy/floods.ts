/** Rows A1 to A8 and A10: floods on connections over HTTP/2. */
import {
  acknowledged,
  cancelInCrowd,
  dribble,
  floodUnread,
  manySettings,
  maxInt31,
  noWindow,
  openMany,
  provocations,
  ResetLimit,
  rapidReset,
  sendUseless,
  useless,
} from "../support/attacks.ts";
import { startCanary } from "../support/canary.ts";
import { Flag, FrameType, frame, Setting, settingsFrame, windowUpdateFrame } from "../support/frames.ts";
import { envelope, outcome, requestFields, startCall, untilBytes } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { encodeBlock } from "../support/hpack.ts";
import { type Played, playMutations } from "../support/mutations.ts";
import { sleep, until } from "../support/until.ts";
import { okHeaders } from "../support/upstream.ts";
import { type Arena, type Attack, type Figures, fateOf } from "./measure.ts";

const path = "/manifold.test.Beside/Method";
const siblingPath = "/manifold.test.Beside/Sibling";

/** What became of the connection, and when. */
async function endOf(peer: H2Peer, startedAt: number): Promise<Figures> {
  const connection = await fateOf(peer);
  const seconds = (performance.now() - startedAt) / 1_000;
  return { connection, "closed after, s": peer.closed ? seconds : Number.POSITIVE_INFINITY };
}

function resets(row: string, what: string, streams: number, behind: (id: number) => Buffer[]): Attack {
  return {
    row,
    what,
    async run({ upstream, connect }) {
      upstream.handle(path, () => {});
      const lost = await siblingsLost(await connect(), behind);
      const before = upstream.calls.length;
      const peer = await connect();
      const startedAt = performance.now();
      await openMany(peer, path, { streams, behind });
      const end = await endOf(peer, startedAt);
      await sleep(1_000);
      const calls = upstream.calls.slice(before);
      const left = calls.filter(({ reset, cut }) => reset === undefined && !cut).length;
      return {
        ...end,
        "calls upstream": calls.length,
        "of these not reset": left,
        "siblings lost by the first such stream": lost,
      };
    },
  };
}

/** Whether a call that is open on the same connection gets to its end: 0 or 1. */
async function siblingsLost(peer: H2Peer, behind: (id: number) => Buffer[]): Promise<number> {
  const sibling = peer.open(requestFields(siblingPath));
  const { id } = peer.adopt();
  peer.send(frame(FrameType.headers, Flag.endHeaders, id, encodeBlock(requestFields(path))), ...behind(id));
  await fateOf(peer);
  sibling.sendData(envelope(Buffer.alloc(5)), { end: true });
  await Promise.race([sibling.finished, sleep(2_000)]);
  return outcome(sibling).status === 0 ? 0 : 1;
}

const crowd: Attack = {
  row: "A3",
  what: "50 clients cancel 6,000 calls",
  upstream: { record: false },
  async run({ port, upstream, connect }) {
    const limit = new ResetLimit();
    upstream.handle(path, limit.handler);
    const sibling = await startCanary(port, siblingPath);
    await cancelInCrowd(connect, path);
    const { failures } = await sibling.stop();
    const beyond = [...limit.tripped.values()].reduce((sum, more) => sum + more, 0);
    return { "resets upstream beyond its limit": beyond, "failed calls of a sibling": failures.length };
  },
};

const unread = acknowledged.map(
  ([what, one]): Attack => ({
    row: "A5",
    what: `${what} on and on for 10 s, never reads`,
    async run({ port }) {
      const { end, bytes } = await floodUnread(port, one);
      return { connection: end, "MB taken": Math.round(bytes / 1e6) };
    },
  }),
);

async function onOpenStream(arena: Arena, attack: (peer: H2Peer, id: number) => Promise<number>): Promise<Figures> {
  const peer = await arena.connect();
  const stream = peer.open(requestFields(path));
  stream.sendData(envelope(Buffer.from("before")));
  await untilBytes(stream, 11);
  const startedAt = performance.now();
  await attack(peer, stream.id);
  return endOf(peer, startedAt);
}

const idle: Attack[] = [
  {
    row: "A6",
    what: "2,730 settings in a frame",
    async run({ connect }) {
      const peer = await connect();
      const startedAt = performance.now();
      peer.send(manySettings);
      return endOf(peer, startedAt);
    },
  },
  ...useless.map(
    ([what, make]): Attack => ({
      row: "A6",
      what: `200,000 frames: ${what}`,
      run: (arena) => onOpenStream(arena, (peer, id) => sendUseless(peer, make(id))),
    }),
  ),
];

const overflows: [what: string, frames: (id: number) => Buffer[]][] = [
  ["window of a stream beyond 2^31-1", (id) => [windowUpdateFrame(id, maxInt31)]],
  ["window of the connection beyond 2^31-1", () => [windowUpdateFrame(0, maxInt31)]],
  [
    "windows beyond 2^31-1 by SETTINGS",
    (id) => [windowUpdateFrame(id, maxInt31 - (1 << 20)), settingsFrame([[Setting.initialWindowSize, maxInt31]])],
  ],
];

const windows = overflows.map(
  ([what, frames]): Attack => ({
    row: "A7",
    what,
    async run({ upstream, connect }) {
      upstream.handle(path, () => {});
      const peer = await connect();
      const stream = startCall(peer, path);
      peer.send(...frames(stream.id));
      const connection = await fateOf(peer);
      return { connection, stream: stream.reset === undefined ? "no RST_STREAM" : `RST_STREAM ${stream.reset}` };
    },
  }),
);

const drip: Attack = {
  row: "A8",
  what: "50,000 WINDOW_UPDATE of 1 for 100 streams that could send",
  async run({ upstream, connect }) {
    upstream.handle(path, (stream) => {
      stream.sendHeaders(okHeaders);
      stream.sendData(envelope(Buffer.alloc(60_000, 1)));
    });
    const peer = await connect(noWindow);
    const streams = Array.from({ length: 100 }, () => startCall(peer, path));
    await until("the heads of all replies", () => streams.every(({ headers }) => headers.length > 0));
    const startedAt = performance.now();
    await dribble(peer, streams);
    return endOf(peer, startedAt);
  },
};

const seed = 20_260_719;

/** As in test/runtimes: connections by the thousand make a heap grow at first. */
const mutations: Attack = {
  row: "A10",
  what: "10,000 mutations of a recorded connection, behind 5,000 others",
  upstream: { record: false },
  warmUp: ({ port }) => playMutations(port, { from: 0, to: 5_000, seed, onPlayed() {} }),
  async run({ port }) {
    const took: number[] = [];
    const onPlayed = (_: number, { tookMs }: Played) => took.push(tookMs / 1_000);
    await playMutations(port, { from: 5_000, to: 15_000, seed, onPlayed });
    return {
      "open 10 s after FIN": took.filter((seconds) => seconds > 10).length,
      "slowest close after FIN, s": Math.max(...took),
    };
  },
};

export const floods: readonly Attack[] = [
  resets("A1", "5,000 pairs of HEADERS and RST_STREAM", 5_000, rapidReset),
  ...provocations.map(([what, provoke]) => resets("A2", `3,000 streams, each with ${what}`, 3_000, provoke)),
  crowd,
  ...unread,
  ...idle,
  ...windows,
  drip,
  mutations,
];
