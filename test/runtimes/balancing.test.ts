/** Who gets a call: balances, weights, subsets, tiers, shares of a route, limits; and who gets none after it failed too often. */
import { afterEach, expect } from "vitest";
import { type CallResult, call, callMany, connectPeer, startCall } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { type Program, start } from "../support/program.ts";
import { root } from "../support/runtimes.ts";
import { sleep, until } from "../support/until.ts";
import {
  echo,
  type StreamHandler,
  startUpstream,
  trailersOnly,
  type Upstream,
  type UpstreamOptions,
} from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Balancing/Get";

onRuntime("balancing", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function upstreams(count: number, options: UpstreamOptions = {}): Promise<Upstream[]> {
    const some = await Promise.all(Array.from({ length: count }, () => startUpstream(options)));
    cleanups.push(() => Promise.all(some.map((upstream) => upstream.close())));
    return some;
  }

  /** Manifold with these upstreams, and a connection to it. */
  async function stageFor(
    groups: Record<string, object>,
    routes: readonly object[] = [{ to: "main" }],
    args: readonly string[] = [],
  ): Promise<{ manifold: Manifold; peer: H2Peer }> {
    const config = { listeners: [{ address: "127.0.0.1:0" }], upstreams: groups, routes };
    const manifold = await startManifold({ runtime, config, args });
    cleanups.push(() => manifold.stop());
    const peer = await connectPeer(manifold.port);
    cleanups.push(() => peer.socket.destroy());
    return { manifold, peer };
  }

  const countsOf = (some: readonly Upstream[]) => some.map(({ calls }) => calls.length);

  async function callsAs(peer: H2Peer, header: string, value: string, times: number): Promise<CallResult[]> {
    return Promise.all(Array.from({ length: times }, () => call(peer, path, { headers: [[header, value]] })));
  }

  check("weights of round robin are kept exactly", async () => {
    const three = await upstreams(3);
    const [a, b, c] = three.map(({ url }) => url);
    const { peer } = await stageFor({ main: { endpoints: [{ url: a, weight: 3 }, { url: b, weight: 2 }, c] } });
    expect(await callMany([peer], path, { calls: 600, concurrency: 8 })).toEqual([]);
    expect(countsOf(three)).toEqual([300, 200, 100]);
  });

  check("least request keeps calls away from a slow endpoint", async () => {
    const slow: StreamHandler = async (stream) => {
      await sleep(100);
      echo(stream);
    };
    const [lame] = await upstreams(1, { handlers: { [path]: slow } });
    const quick = await upstreams(2);
    const all = [lame!, ...quick];
    const { peer } = await stageFor({ main: { endpoints: all.map(({ url }) => url), balance: "least_request" } });
    expect(await callMany([peer], path, { calls: 600, concurrency: 8 })).toEqual([]);
    expect(countsOf(all).reduce((sum, count) => sum + count)).toBe(600);
    expect(lame!.calls.length).toBeLessThan(120); // round robin would give it 200
  });

  check("ring hash sends a header's value to one endpoint, and only those of a lost one elsewhere", async () => {
    const three = await upstreams(3);
    const { peer } = await stageFor({
      main: { endpoints: three.map(({ url }) => url), balance: { ring_hash: { header: "x-user" } } },
    });
    const users = Array.from({ length: 60 }, (_, at) => `user-${at}`);
    const homesOf = async () => {
      const homes = new Map<string, Upstream>();
      for (const user of users) {
        const before = countsOf(three);
        const results = await callsAs(peer, "x-user", user, 3);
        expect(results.map(({ status }) => status)).toEqual([0, 0, 0]);
        const reached = three.filter(({ calls }, at) => calls.length > before[at]!);
        expect(reached).toHaveLength(1);
        homes.set(user, reached[0]!);
      }
      return homes;
    };
    const before = await homesOf();
    expect(new Set(before.values()).size).toBe(3);
    await three[0]!.close();
    await sleep(100);
    const after = await homesOf();
    for (const user of users) {
      if (before.get(user) === three[0]) expect(after.get(user)).not.toBe(three[0]);
      else expect(after.get(user)).toBe(before.get(user));
    }
  });

  check("pick first uses the first, and the next when that is gone", async () => {
    const two = await upstreams(2);
    const { peer } = await stageFor({ main: { endpoints: two.map(({ url }) => url), balance: "pick_first" } });
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(countsOf(two)).toEqual([20, 0]);
    await two[0]!.close();
    await sleep(100);
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(countsOf(two)).toEqual([20, 20]);
  });

  check("a subset gets the calls that name it, and a value that nobody has is unavailable", async () => {
    const three = await upstreams(3);
    const endpoints = three.map(({ url }, at) => ({ url, labels: { version: at === 0 ? "v1" : "v2" } }));
    const { peer } = await stageFor({ main: { endpoints, subset: { header: "x-version", label: "version" } } });
    await callsAs(peer, "x-version", "v1", 10);
    expect(countsOf(three)).toEqual([10, 0, 0]);
    await callsAs(peer, "x-version", "v2", 10);
    expect(countsOf(three)).toEqual([10, 5, 5]);
    expect(await callMany([peer], path, { calls: 9, concurrency: 3 })).toEqual([]);
    expect(countsOf(three)).toEqual([13, 8, 8]);
    const [refused] = await callsAs(peer, "x-version", "v3", 1);
    expect(refused!.status).toBe(14);
  });

  check("a canary of 5 in 100 gets its share, within five standard deviations", async () => {
    const [stable, canary] = await upstreams(2);
    const { peer } = await stageFor({ stable: { endpoints: [stable!.url] }, canary: { endpoints: [canary!.url] } }, [
      {
        to: [
          { upstream: "stable", weight: 95 },
          { upstream: "canary", weight: 5 },
        ],
      },
    ]);
    const calls = 4_000;
    expect(await callMany([peer], path, { calls, concurrency: 16 })).toEqual([]);
    const deviation = Math.sqrt(calls * 0.05 * 0.95);
    expect(Math.abs(canary!.calls.length - calls * 0.05)).toBeLessThan(5 * deviation);
    expect(stable!.calls.length + canary!.calls.length).toBe(calls);
  });

  check("a tier that is gone is replaced by the next, and gets calls again when it is back", async () => {
    const [first] = await upstreams(1);
    const [spare] = await upstreams(1);
    const { port } = first!;
    const { peer } = await stageFor({
      main: { endpoints: [{ url: first!.url }, { url: spare!.url, priority: 1 }] },
    });
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(countsOf([first!, spare!])).toEqual([20, 0]);
    await first!.close();
    await sleep(100);
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(spare!.calls).toHaveLength(20);
    const [back] = await upstreams(1, { port });
    for (let at = 0; at < 200 && back!.calls.length === 0; at++) {
      expect((await call(peer, path)).status).toBe(0);
      await sleep(50);
    }
    const before = spare!.calls.length;
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(back!.calls.length).toBeGreaterThanOrEqual(20);
    expect(spare!.calls.length).toBe(before);
  });

  check("an endpoint that answers unavailable is ejected, and no call fails after that", async () => {
    const [bad] = await upstreams(1, { handlers: { [path]: trailersOnly(14) } });
    const good = await upstreams(2);
    const { peer } = await stageFor({ main: { endpoints: [bad!, ...good].map(({ url }) => url) } });
    const statuses: (number | undefined)[] = [];
    for (let at = 0; at < 30; at++) statuses.push((await call(peer, path)).status);
    expect(statuses.filter((status) => status === 14)).toHaveLength(5);
    expect(statuses.slice(15)).toEqual(new Array(15).fill(0));
    expect(await callMany([peer], path, { calls: 300, concurrency: 8 })).toEqual([]);
    expect(bad!.calls).toHaveLength(5);
  });

  check("an endpoint whose errors are the application's is not ejected", async () => {
    const some = await upstreams(3, { handlers: { [path]: trailersOnly(13) } });
    const { peer } = await stageFor({ main: { endpoints: some.map(({ url }) => url) } });
    for (let at = 0; at < 30; at++) expect((await call(peer, path)).status).toBe(13);
    expect(countsOf(some)).toEqual([10, 10, 10]);
  });

  check("one of three endpoints is killed under load: the calls on it fail, no other", async () => {
    const program: Program = start([process.execPath, `${root}test/support/victim.mjs`, "answers"]);
    cleanups.push(() => program.stop("SIGKILL"));
    const port = Number(await until("the victim's port", () => program.stdout().trim() || undefined));
    const others = await upstreams(2, { record: false });
    const { peer } = await stageFor({
      main: { endpoints: [`http://127.0.0.1:${port}`, ...others.map(({ url }) => url)] },
    });
    const concurrency = 16;
    const failures: CallResult[] = [];
    let killedAt = Number.POSITIVE_INFINITY;
    let over = false;
    let after = 0;
    const load = Array.from({ length: concurrency }, async () => {
      while (!over) {
        const begunAt = performance.now();
        const result = await call(peer, path);
        if (result.status !== 0) failures.push(result);
        // half a second: what is known of a killed process takes its way through the kernel
        if (begunAt > killedAt + 500) {
          after++;
          expect(result.status).toBe(0);
        }
      }
    });
    await sleep(300);
    program.process.kill("SIGKILL");
    killedAt = performance.now();
    await sleep(2_500);
    over = true;
    await Promise.all(load);
    expect(failures.length).toBeLessThanOrEqual(concurrency);
    expect(after).toBeGreaterThan(100);
  });

  check("calls above the limit of an upstream are unavailable, and the log names the limit", async () => {
    const held: Parameters<StreamHandler>[0][] = [];
    const [upstream] = await upstreams(1, { handlers: { [path]: (stream) => held.push(stream) } });
    const main = { endpoints: [upstream!.url], limits: { requests: 5 } };
    const { manifold, peer } = await stageFor({ main }, undefined, ["--access-log", "json"]);
    const running = Array.from({ length: 5 }, () => startCall(peer, path));
    await until("5 calls upstream", () => held.length === 5);
    const refused = await Promise.all([call(peer, path), call(peer, path)]);
    expect(refused.map(({ status, message }) => [status, message])).toEqual(
      new Array(2).fill([14, "upstream unavailable: too many calls"]),
    );
    const detail = 'limit requests of upstream \\"main\\" is reached: 5';
    await until("the log", () => manifold.program.stdout().split(detail).length === 3);
    for (const stream of held) echo(stream);
    await Promise.all(running.map(({ finished }) => finished));
    expect(running.map((stream) => stream.field("grpc-status", "trailers"))).toEqual(new Array(5).fill("0"));
    upstream!.handle(path, echo);
    expect((await call(peer, path)).status).toBe(0);
  });

  check("calls above the limit of those that may wait are unavailable, none of the others is lost", async () => {
    const held: Parameters<StreamHandler>[0][] = [];
    const handlers = { [path]: (stream: Parameters<StreamHandler>[0]) => void held.push(stream) };
    const [upstream] = await upstreams(1, { settings: [[3, 1]], handlers });
    const main = { endpoints: [upstream!.url], limits: { connections: 1, pending: 3 } };
    const { manifold, peer } = await stageFor({ main }, undefined, ["--access-log", "json"]);
    const first = startCall(peer, path);
    await until("a call upstream", () => held.length === 1);
    const others = Array.from({ length: 5 }, () => call(peer, path));
    await until("the log", () => manifold.program.stdout().split("limit pending of").length === 3);
    upstream!.handle(path, echo);
    echo(held[0]!);
    await first.finished;
    const statuses = (await Promise.all(others)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([0, 0, 0, 14, 14]);
    expect(upstream!.connections).toHaveLength(1);
  });

  check("messages above the limits of an upstream are resource_exhausted, known from their prefix", async () => {
    const large = Buffer.from([0, 4, 0, 0, 0]); // 64 MiB will follow, it says
    const pushing: StreamHandler = (stream) => {
      stream.sendHeaders([
        [":status", "200"],
        ["content-type", "application/grpc"],
      ]);
      stream.sendData(Buffer.concat([Buffer.from([0, 0, 0, 0, 1, 7]), large]));
    };
    const [upstream] = await upstreams(1, { handlers: { [`${path}Large`]: pushing } });
    const limits = { max_request_message: "1KiB", max_response_message: "1KiB" };
    const { peer } = await stageFor({ main: { endpoints: [upstream!.url], limits } });
    expect((await call(peer, path, { messages: [Buffer.alloc(1_024), Buffer.alloc(1_024)] })).status).toBe(0);
    expect((await call(peer, path, { body: large })).status).toBe(8);
    const reply = await call(peer, `${path}Large`);
    expect([reply.status, reply.messages?.length]).toEqual([8, 1]);
    await until("both calls to be reset", () => upstream!.calls.filter(({ reset }) => reset === 8).length === 2);
    expect((await call(peer, path)).status).toBe(0);
  });
});
