/**
 * Row D2 of the table of faults on every way through: who doesn't read blocks the one who sends to him, and nobody else. Where a layer
 * gives credit on receipt, Manifold takes hundreds of megabytes.
 */
import { afterAll, beforeAll, expect } from "vitest";
import {
  type Caller,
  callAs,
  callers,
  type Protocol,
  type Started,
  startCaller,
  streamingCallers,
} from "../support/callers.ts";
import { envelope } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { chunk, type Http1Call } from "../support/http1-call.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { type Pusher, pushSocket, pushStream, socketCapacity, untilBlocked } from "../support/push.ts";
import { until } from "../support/until.ts";
import type { UpstreamCall } from "../support/upstream-calls.ts";
import { type Bridges, methodOf, pathTo, setBridges, upstreamProtocols } from "./bridges.ts";
import { check, onRuntime, runtime } from "./suite.ts";

/** Every caller that can have many messages, to every upstream: 105. */
const ways: readonly { protocol: Protocol; caller: Caller }[] = upstreamProtocols.flatMap((protocol) =>
  streamingCallers.map((caller) => ({ protocol, caller })),
);
const waysStalled = Array.from({ length: 5 }, () => ways).flat();
/** What the table allows for each stream beside windows. */
const allowance = 256 << 10;
const window = 65_535;
/**
 * Bun reads half a megabyte of a socket at once, before it can be told to pause; and its collector, and Deno's, leave much for later.
 * Neither is more with more that is pushed.
 */
const runtimesOwn = { node: 0, bun: 1 << 20, deno: 512 << 10 }[runtime];
const perStream = allowance + runtimesOwn;
const growthMb = (100 * perStream) / 2 ** 20 + 32;
/** Of a length at which base64 needs no padding. */
const message = envelope(Buffer.alloc((64 << 10) - 4 - 5, 1));
const noCredit = { settings: [[4, window]], credit: "connection" } as const;
const warmUpMessages = 64;

interface Way {
  protocol: Protocol;
  caller: Caller;
  started: Started;
}

onRuntime("stalled on bridges", () => {
  let bridges: Bridges;
  let peer: H2Peer;
  /** Bytes that a connection's sockets hold. */
  let capacity: number;

  beforeAll(async () => {
    capacity = await socketCapacity();
    bridges = await setBridges({ http2: noCredit });
    for (let round = 0; round < 3; round++) await warmUp();
  });
  afterAll(() => bridges?.close());

  /** Streams that are read: the first growth of a heap is no leak. */
  async function warmUp(): Promise<void> {
    const body = Buffer.concat(Array.from({ length: warmUpMessages }, () => message));
    answerStreams((call) => call.whenEnded(() => call.reply({ body })));
    await Promise.all(
      ways.map(async ({ protocol, caller }) => {
        const { status, messages } = await callAs(caller, bridges.stage, { path: pathTo(protocol, "Stream") });
        expect([protocol, caller.name, status, messages.length]).toEqual([protocol, caller.name, 0, warmUpMessages]);
      }),
    );
  }

  /** What becomes of the calls of a stream; others get a message. */
  function answerStreams(answer: (call: UpstreamCall, protocol: Protocol) => void): void {
    bridges.reset();
    for (const protocol of upstreamProtocols) {
      bridges.upstreams[protocol].answer = (call) => {
        if (!call.path.endsWith("/Stream")) call.whenEnded(() => call.reply({}));
        else if (call.field("content-type") !== "application/proto") answer(call, protocol);
        else call.whenEnded(() => call.plain(415, "text/plain", "a stream"));
      };
    }
  }

  async function startAll(end: boolean): Promise<Way[]> {
    peer = await bridges.stage.connect(noCredit);
    return Promise.all(
      waysStalled.map(async ({ protocol, caller }) => {
        const own = caller.http === "2" ? { peer } : {};
        const path = pathTo(protocol, "Stream");
        const started = await startCaller(caller, bridges.stage, { path, end, body: Buffer.alloc(0), ...own });
        if (caller.http === "1.1") started.pause();
        return { protocol, caller, started };
      }),
    );
  }

  /** How much they have sent, and what that costs the process. */
  async function expectBound(
    pushers: readonly Pusher[],
    isExact: (at: number) => boolean,
    before: number | undefined,
  ): Promise<void> {
    pushers.forEach((pusher, at) => {
      // a sender over HTTP/1.1 fills sockets of the system's first, whose size the system changes as it likes
      const sockets = isExact(at) ? 2 * capacity : 256 << 20;
      expect(pusher.sent(), `bytes of sender ${at}`).toBeLessThan(window + allowance + sockets);
    });
    const { rss } = bridges.stage.manifold;
    if (rss() === undefined || before === undefined) return console.warn("memory is not measured: no /proc");
    const grownMb = () => (rss()! - before) / 2 ** 20;
    await bridges.stage.collected(() => grownMb() < growthMb);
    expect(grownMb(), "MB more than before").toBeLessThan(growthMb);
  }

  /** On the connections that have stalled streams, and on others. */
  async function expectOthersGoOn(): Promise<void> {
    for (const protocol of upstreamProtocols) {
      for (const caller of callers) {
        const own = caller.http === "2" && caller.form !== "grpc-web-text" ? { peer } : {};
        const { status } = await callAs(caller, bridges.stage, {
          path: pathTo(protocol, `${methodOf(caller)}Sibling`),
          ...own,
        });
        expect([protocol, caller.name, status]).toEqual([protocol, caller.name, 0]);
      }
    }
  }

  check(
    "D2 callers of all forms that don't read block 105 upstream calls of all protocols that push, others go on",
    async () => {
      const work = async () => {
        const before = bridges.stage.manifold.rss();
        const pushers: Pusher[] = [];
        const fromStreams: boolean[] = [];
        answerStreams((call) => {
          fromStreams.push(call.stream !== undefined);
          pushers.push(push(call));
        });
        const started = await startAll(true);
        await until("all calls upstream", () => pushers.length >= waysStalled.length);
        await untilBlocked(pushers);
        await expectBound(pushers, (at) => fromStreams[at]!, before);
        await expectOthersGoOn();
        for (const way of started) way.started.cancel();
      };
      await bridges.stage.survive(work, { growthMb });
    },
  );

  check(
    "D2 upstreams of all protocols that don't read block 105 callers of all forms that push, others go on",
    async () => {
      const work = async () => {
        const before = bridges.stage.manifold.rss();
        const seen: UpstreamCall[] = [];
        answerStreams((call) => {
          seen.push(call);
          call.request?.socket.pause();
        });
        const started = await startAll(false);
        const pushers = started.map(({ caller, started: { response } }) => {
          const text = caller.form === "grpc-web-text" ? Buffer.from(message.toString("base64")) : message;
          if (caller.http === "2") return pushStream(response as PeerStream, text);
          return pushSocket((response as Http1Call).socket, chunk(text));
        });
        await until("all calls upstream", () => seen.length >= waysStalled.length);
        await untilBlocked(pushers);
        await expectBound(pushers, (at) => waysStalled[at]!.caller.http === "2", before);
        await expectOthersGoOn();
        // of a caller over HTTP/1.1 who isn't read it can't be seen that it is gone
        for (const call of seen) {
          if (call.stream === undefined) call.cut();
          else call.stream.sendReset(8);
        }
        for (const way of started) way.started.cancel();
      };
      await bridges.stage.survive(work, { growthMb });
    },
  );
});

/** A reply of 1 GiB. */
function push(call: UpstreamCall): Pusher {
  call.begin();
  if (call.stream !== undefined) return pushStream(call.stream, message);
  return pushSocket(call.request!.socket, chunk(message));
}
