/**
 * Row F5 of the table of faults: once bytes of a request have been sent, only who says that it did no work for them is asked again. With a
 * policy that names no status the same is so.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { callAs, callers } from "../support/callers.ts";
import { freePort } from "../support/free-port.ts";
import { call, requestFields } from "../support/grpc.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { until } from "../support/until.ts";
import {
  echo,
  okHeaders,
  type StreamHandler,
  startUpstream,
  trailersOnly,
  type Upstream,
} from "../support/upstream.ts";
import { type Bridges, methodOf, pathTo, setBridges } from "./bridges.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, onRuntime } from "./suite.ts";

const plain = "manifold.test.Plain";
const withPolicy = "manifold.test.Policy";
const half = "manifold.test.Half";
const unavailable = 14;

/** What becomes of a call whose message has come, and whether that says that nothing was done for it. */
const failures: [what: string, fail: StreamHandler, undone: boolean][] = [
  ["RST_STREAM REFUSED_STREAM", (stream) => stream.sendReset(7), true],
  ["a GOAWAY whose last id is below", (stream, { peer }) => peer.goaway(stream.id - 2), true],
  ...[0, 1, 2, 3, 5, 8, 11, 13].map((code): [string, StreamHandler, boolean] => [
    `RST_STREAM ${code}`,
    (stream) => stream.sendReset(code),
    false,
  ]),
  ["a connection that is cut", (_stream, { peer }) => peer.socket.destroy(), false],
  [
    "a GOAWAY with its id, and a cut",
    (stream, { peer }) => {
      peer.goaway(stream.id);
      peer.socket.end();
    },
    false,
  ],
  [
    "REFUSED_STREAM behind headers",
    (stream) => {
      stream.sendHeaders(okHeaders);
      stream.sendReset(7);
    },
    false,
  ],
  ["status unavailable", trailersOnly(unavailable), false],
  ["HTTP 503", (stream) => stream.sendHeaders([[":status", "503"]], { end: true }), false],
];

onRuntime("retries", () => {
  let upstream: Upstream;
  let stage: Stage;
  let dead: string;

  beforeAll(async () => {
    upstream = await startUpstream();
    dead = `http://127.0.0.1:${await freePort()}`;
    stage = await setStage([upstream.url], {
      upstreams: { half: { endpoints: [dead, upstream.url] } },
      routes: [
        { match: { service: withPolicy }, to: "main", retry: { attempts: 3 } },
        { match: { service: half }, to: "half" },
      ],
    });
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  /** Calls whose first try fails like this once its message has come. Returns how many tries there were, and the status. */
  async function callsFailing(
    path: string,
    fail: StreamHandler,
    body: Buffer,
  ): Promise<[tries: number, status: number]> {
    const before = upstream.calls.length;
    upstream.handle(path, (stream, connection) => {
      if (upstream.calls.length > before + 1) return echo(stream);
      stream.onMore = () => {
        if (stream.bytes < body.length) return;
        stream.onMore = undefined;
        fail(stream, connection);
      };
      return undefined;
    });
    const { status } = await call(await stage.connect(), path, { body });
    return [upstream.calls.length - before, status ?? -1];
  }

  for (const [service, how] of [
    [plain, "without a policy"],
    [withPolicy, "with one that names no status"],
  ] as const) {
    for (const [what, fail, undone] of failures) {
      check(`F5 ${what}, ${how}, is ${undone ? "tried again" : "the end of the call"}`, async () => {
        await stage.survive(async () => {
          const [tries, status] = await callsFailing(`/${service}/Fail`, fail, Buffer.alloc(1_000));
          expect(tries).toBe(undone ? 2 : 1);
          if (undone) expect(status).toBe(0);
          else expect(status).toBeGreaterThan(0);
        });
      });
    }

    check(`F5 a refused request of which more was sent than is kept, ${how}, is the end of the call`, async () => {
      const [tries, status] = await callsFailing(`/${service}/Long`, failures[0]![1], Buffer.alloc(300_000));
      expect([tries, status]).toEqual([1, unavailable]);
    });

    check(`F5 a stream that is refused behind its first message, ${how}, is tried again with all of it`, async () => {
      const path = `/${service}/Stream`;
      const seen: PeerStream[] = [];
      upstream.handle(path, (one) => {
        seen.push(one);
        if (seen.length > 1) echo(one);
      });
      const stream = (await stage.connect()).open(requestFields(path));
      stream.sendData(Buffer.from("first"));
      await until("the first message upstream", () => seen[0]?.bytes === 5);
      seen[0]!.sendReset(7);
      await until("the first message again", () => seen[1]?.bytes === 5);
      stream.sendData(Buffer.from("second"), { end: true });
      await stream.finished;
      expect([Buffer.concat(stream.chunks).toString(), stream.field("grpc-status", "trailers"), seen.length]).toEqual([
        "firstsecond",
        "0",
        2,
      ]);
    });
  }

  check("F5 a call that can't connect goes to another endpoint, and each comes once", async () => {
    await stage.survive(async () => {
      const before = upstream.calls.length;
      const peer = await stage.connect();
      for (let at = 0; at < 20; at++) expect((await call(peer, `/${half}/Get`)).status).toBe(0);
      expect(upstream.calls.length).toBe(before + 20);
    });
  });
});

onRuntime("retries over HTTP/1.1", () => {
  let bridges: Bridges;
  beforeAll(async () => {
    bridges = await setBridges();
  });
  afterAll(() => bridges?.close());

  for (const protocol of ["connect", "grpc_web"] as const) {
    check(
      `F5 a connection to ${protocol} that is cut once the request has come ends the call, for every caller`,
      async () => {
        const { calls } = bridges.upstreams[protocol];
        await bridges.stage.survive(async () => {
          for (const caller of callers) {
            // one that is kept alive: its loss is no proof that the request didn't come
            bridges.reset();
            const path = pathTo(protocol, methodOf(caller));
            expect((await callAs(caller, bridges.stage, { path })).status).toBe(0);
            const before = calls.length;
            bridges.upstreams[protocol].answer = (one) => one.whenEnded(() => one.cut());
            const { status } = await callAs(caller, bridges.stage, { path });
            expect([caller.name, calls.length - before]).toEqual([caller.name, 1]);
            expect(status).not.toBe(0);
          }
        });
      },
    );
  }
});
