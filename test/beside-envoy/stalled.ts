/** Row D2: 100 streams of 1 GiB that nobody reads. D3 and D4 are of fan-outs, which Envoy doesn't have. */
import type { H2Peer } from "../support/h2-peer.ts";
import { type Pusher, untilBlocked } from "../support/push.ts";
import {
  callSiblings,
  excess,
  noStreamCredit,
  openOnBoth,
  pushReply,
  pushRequest,
  stalledStreams,
} from "../support/stalled.ts";
import { until } from "../support/until.ts";
import { okHeaders } from "../support/upstream.ts";
import type { Arena, Attack, Figures } from "./measure.ts";

const path = "/manifold.test.Beside/Method";
const siblingPath = "/manifold.test.Beside/Sibling";

/** What was taken of each stream beyond the reader's window, and whether others on these connections go on. */
async function figures(pushers: readonly Pusher[], siblings: readonly H2Peer[]): Promise<Figures> {
  await untilBlocked(pushers);
  const taken = {
    "KiB taken of one stream at most": Math.round(excess(pushers) / 1_024),
    "MiB taken of all": Math.round(pushers.reduce((sum, pusher) => sum + pusher.sent(), 0) / 2 ** 20),
  };
  const failure = await callSiblings(siblings, siblingPath).catch(String);
  return { ...taken, "siblings lost": failure === undefined ? 0 : 1 };
}

function twoClients({ connect }: Arena): Promise<H2Peer[]> {
  return Promise.all([connect(noStreamCredit), connect(noStreamCredit)]);
}

function replies(what: string, reads: boolean): Attack {
  return {
    row: "D2",
    what,
    upstream: { ...noStreamCredit, record: false },
    async run(arena) {
      const pushers: Pusher[] = [];
      arena.upstream.handle(path, pushReply(pushers));
      const peers = await twoClients(arena);
      if (!reads) for (const peer of peers) peer.socket.pause();
      openOnBoth(peers, path);
      await until("100 streams upstream", () => pushers.length >= stalledStreams);
      return figures(pushers, reads ? peers : [await arena.connect()]);
    },
  };
}

const requests: Attack = {
  row: "D2",
  what: "an upstream that gives no credit to 100 streams that push",
  upstream: { ...noStreamCredit, record: false },
  async run(arena) {
    arena.upstream.handle(path, (stream) => stream.sendHeaders(okHeaders));
    const peers = await twoClients(arena);
    return figures(openOnBoth(peers, path).map(pushRequest), peers);
  },
};

export const stalled: readonly Attack[] = [
  replies("clients that give no credit to 100 streams that push", true),
  replies("clients that never read their socket, 100 streams push", false),
  requests,
];
