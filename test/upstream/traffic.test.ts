/** Who gets a call of an upstream: what is ready, tiers, subsets, ejection and limits together. */
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Call } from "../../src/call.ts";
import type { Endpoint } from "../../src/upstream/endpoint.ts";
import type { EndpointOptions } from "../../src/upstream/target.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../../src/upstream/upstream.ts";
import { FakeTransport, FakeWaiter, fakeCall } from "./fake-dial.ts";

let transport: FakeTransport;
let open: Upstream[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  transport = new FakeTransport();
  open = [];
});

afterEach(() => {
  for (const upstream of open) upstream.close();
  vi.useRealTimers();
});

function upstreamOf(endpoints: readonly EndpointOptions[], options: Partial<UpstreamOptions> = {}): Upstream {
  const lookup = () => Promise.reject(new Error("no lookup expected"));
  const upstream = createUpstream({ name: "users", endpoints, ...options }, { dial: transport.dial, lookup });
  open.push(upstream);
  return upstream;
}

const url = (at: number) => `http://10.0.0.${at + 1}:50051`;
const urls = (count: number) => Array.from({ length: count }, (_, at) => url(at));

/** Connects every endpoint, so that calls are given one at once. */
function connectAll(upstream: Upstream): void {
  for (const endpoint of upstream.endpoints) {
    endpoint.connect();
    transport.one().open(1_000);
  }
}

function acquire(upstream: Upstream, call: Call = fakeCall()): FakeWaiter {
  const waiter = new FakeWaiter();
  upstream.acquire(call, waiter);
  return waiter;
}

/** Which endpoints so many calls go to, by their place. */
function reached(upstream: Upstream, calls = 12, call?: Call): number[] {
  const found = new Set(Array.from({ length: calls }, () => acquire(upstream, call).endpoint));
  return upstream.endpoints.flatMap((endpoint, at) => (found.has(endpoint) ? [at] : []));
}

function fail(endpoint: Endpoint, times = 5): void {
  for (let at = 0; at < times; at++) {
    endpoint.begin();
    endpoint.report("failure");
  }
}

function expectRefused(waiter: FakeWaiter, detail: string): void {
  expect(waiter.told).toBe(1);
  expect(ConnectError.from(waiter.error).code).toBe(Code.Unavailable);
  expect(waiter.error?.cause).toMatchObject({ message: detail });
}

describe("an endpoint that is disabled", () => {
  it("gets no new calls, keeps its streams, and gets calls again", () => {
    const upstream = upstreamOf(urls(3));
    connectAll(upstream);
    const before = acquire(upstream);
    before.endpoint!.enabled = false;
    expect(reached(upstream)).toEqual([1, 2]);
    expect(before.connection!.streamCount).toBe(1);
    expect(before.connection!.shutdowns).toBe(0);
    before.endpoint!.enabled = true;
    expect(reached(upstream)).toEqual([0, 1, 2]);
  });

  it("hands the calls that wait there to others", () => {
    const upstream = upstreamOf(urls(2));
    const waiting = [acquire(upstream), acquire(upstream)];
    const [first, second] = transport.take();
    upstream.endpoints[0]!.enabled = false;
    second!.open();
    expect(waiting.map(({ endpoint }) => endpoint)).toEqual([upstream.endpoints[1], upstream.endpoints[1]]);
    first!.open();
    expect(waiting.map(({ told }) => told)).toEqual([1, 1]);
  });

  it("is connected to again when it is enabled, if it had failed", () => {
    const upstream = upstreamOf(urls(2));
    connectAll(upstream);
    const [first] = upstream.endpoints;
    first!.enabled = false;
    acquire(upstream).connection!.dial.listener.onClose(new Error("lost"));
    first!.enabled = true;
    expect(reached(upstream)).toEqual([0]);
  });

  it("gets no call that is meant for it alone, other than one that is ejected", () => {
    const upstream = upstreamOf(urls(3));
    connectAll(upstream);
    const [first, second] = upstream.endpoints;
    fail(second!);
    first!.enabled = false;
    const waiters = [new FakeWaiter(), new FakeWaiter()];
    upstream.acquireAt(first!, fakeCall(), waiters[0]!);
    upstream.acquireAt(second!, fakeCall(), waiters[1]!);
    expect(waiters.map(({ endpoint }) => endpoint)).toEqual([undefined, second]);
    expect(ConnectError.from(waiters[0]!.error).code).toBe(Code.Unavailable);
  });

  it("leaves nobody where all are", () => {
    const upstream = upstreamOf(urls(2));
    for (const endpoint of upstream.endpoints) endpoint.enabled = false;
    const waiter = acquire(upstream);
    expect(waiter.error?.message).toContain("no endpoint");
    expect(transport.dials).toEqual([]);
  });
});

describe("ejection", () => {
  it("follows 5 failures in a row, and ends after 30 s", () => {
    const upstream = upstreamOf(urls(3));
    connectAll(upstream);
    fail(upstream.endpoints[1]!, 4);
    expect(reached(upstream)).toEqual([0, 1, 2]);
    fail(upstream.endpoints[1]!, 1);
    expect(reached(upstream)).toEqual([0, 2]);
    expect(upstream.endpoints[1]).toMatchObject({ ejected: true, ready: false, available: true });
    expect([upstream.stats.ejections, upstream.endpoints[1]!.stats.ejections]).toEqual([1, 1]);
    vi.advanceTimersByTime(29_999);
    expect(reached(upstream)).toEqual([0, 2]);
    vi.advanceTimersByTime(1);
    expect(reached(upstream)).toEqual([0, 1, 2]);
  });

  it("isn't the lot of one that succeeds in between, nor of one whose callers go away", () => {
    const upstream = upstreamOf(urls(3));
    connectAll(upstream);
    const [first, second] = upstream.endpoints;
    for (let at = 0; at < 20; at++) {
      fail(first!, 4);
      first!.begin();
      first!.report("success");
      second!.begin();
      second!.report("neutral");
    }
    expect(reached(upstream)).toEqual([0, 1, 2]);
    expect(upstream.stats).toMatchObject({ active: 0, attempts: 120, failures: 80 });
  });

  it("takes half of the endpoints at most, but always one", () => {
    const four = upstreamOf(urls(4));
    connectAll(four);
    for (const endpoint of four.endpoints) fail(endpoint);
    expect(four.endpoints.map(({ ejected }) => ejected)).toEqual([true, true, false, false]);
    vi.advanceTimersByTime(30_000);
    fail(four.endpoints[3]!, 1); // its failures have gone on
    expect(four.endpoints.map(({ ejected }) => ejected)).toEqual([false, false, false, true]);
    const one = upstreamOf(urls(1));
    connectAll(one);
    fail(one.endpoints[0]!);
    expect(one.endpoints[0]!.ejected).toBe(true);
    expect(reached(one)).toEqual([0]); // a panic: there is no other
    expect(one.stats.panic).toBe(true);
  });

  it("is no reason to fail a call where the others can't be reached", () => {
    const upstream = upstreamOf(urls(2));
    connectAll(upstream);
    fail(upstream.endpoints[0]!);
    acquire(upstream).connection!.lose();
    expect(upstream.endpoints[1]!.available).toBe(false);
    expect(acquire(upstream).endpoint).toBe(upstream.endpoints[0]);
  });

  it("can be turned off, and set", () => {
    const never = upstreamOf(urls(2), { outlier: false });
    connectAll(never);
    fail(never.endpoints[0]!, 50);
    expect(reached(never)).toEqual([0, 1]);
    const soon = upstreamOf(urls(2), { outlier: { consecutive: 1, ejectionMs: 1_000 } });
    connectAll(soon);
    fail(soon.endpoints[0]!, 1);
    expect(reached(soon)).toEqual([1]);
    vi.advanceTimersByTime(1_000);
    expect(reached(soon)).toEqual([0, 1]);
  });
});

describe("tiers", () => {
  const tiers = [url(0), url(1), { url: url(2), priority: 1 }, { url: url(3), priority: 1 }];

  it("fail over when fewer than half of the first can be reached, and back", () => {
    const upstream = upstreamOf(tiers);
    connectAll(upstream);
    expect(reached(upstream)).toEqual([0, 1]);
    acquire(upstream).connection!.lose();
    expect(reached(upstream)).toHaveLength(1); // the other half of the first
    acquire(upstream).connection!.lose();
    expect(reached(upstream)).toEqual([2, 3]);
    const again = transport.take(); // calls have had both connected to anew
    expect(again).toHaveLength(2);
    again[0]!.open();
    expect(reached(upstream)).toHaveLength(1);
    again[1]!.open();
    expect(reached(upstream)).toEqual([0, 1]);
  });

  it("give a call whose endpoint failed to another of its tier first", () => {
    const upstream = upstreamOf([url(0), { url: url(1), priority: 2 }, { url: url(2), priority: 1 }]);
    const waiter = acquire(upstream);
    transport.one().fail();
    transport.one().fail();
    transport.one().open();
    expect(waiter.endpoint).toBe(upstream.endpoints[1]);
    expect(transport.dials).toEqual([]);
  });
});

describe("subsets", () => {
  const versions = [
    { url: url(0), labels: { version: "v1" } },
    { url: url(1), labels: { version: "v2" } },
    { url: url(2), labels: { version: "v2" } },
    url(3),
  ];
  const of = (version: string) => fakeCall({ headers: { "x-version": [version] } });

  it("get the calls that name them, all endpoints those that name none", () => {
    const upstream = upstreamOf(versions, { subset: { header: "X-Version", label: "version" } });
    connectAll(upstream);
    expect(reached(upstream)).toEqual([0, 1, 2, 3]);
    expect(reached(upstream, 12, of("v1"))).toEqual([0]);
    expect(reached(upstream, 12, of("v2"))).toEqual([1, 2]);
  });

  it("are spread over for themselves: calls of one don't push on the turn of another", () => {
    const upstream = upstreamOf(versions, { subset: { header: "x-version", label: "version" } });
    connectAll(upstream);
    const found = new Set<Endpoint | undefined>();
    for (let at = 0; at < 4; at++) {
      acquire(upstream, of("v1"));
      found.add(acquire(upstream, of("v2")).endpoint);
    }
    expect(found.size).toBe(2);
  });

  it("refuse a value that no endpoint has, unless any will do", () => {
    const strict = upstreamOf(versions, { subset: { header: "x-version", label: "version" } });
    connectAll(strict);
    const waiter = acquire(strict, of("v3"));
    expect(ConnectError.from(waiter.error).code).toBe(Code.Unavailable);
    const lenient = upstreamOf(versions, { subset: { header: "x-version", label: "version", fallback: "any" } });
    connectAll(lenient);
    expect(reached(lenient, 12, of("v3"))).toEqual([0, 1, 2, 3]);
  });

  it("refuse it at once also when their endpoints come of a name, whose answer is the same again", async () => {
    const lookup = () => Promise.resolve(["10.1.0.1"]);
    const endpoints = [{ url: "http://users.example:1", labels: { version: "v1" } }];
    const subset = { header: "x-version", label: "version" };
    const upstream = createUpstream({ name: "users", endpoints, subset }, { dial: transport.dial, lookup });
    open.push(upstream);
    acquire(upstream, of("v1"));
    await vi.advanceTimersByTimeAsync(2_000);
    const waiter = acquire(upstream, of("v3"));
    await vi.advanceTimersByTimeAsync(0);
    expect(ConnectError.from(waiter.error).code).toBe(Code.Unavailable);
    expect(upstream.stats.pending).toBe(1); // the first, which waits for a connection
  });

  it("keep to themselves when one of theirs fails", () => {
    const upstream = upstreamOf(versions, { subset: { header: "x-version", label: "version" } });
    const waiter = acquire(upstream, of("v1"));
    transport.one().fail();
    expect(waiter.told).toBe(1);
    expect(waiter.error?.message).toContain("connection failed");
    expect(transport.dials).toEqual([]);
  });
});

describe("limits", () => {
  it("refuses the call above requests, and takes one when another is over", () => {
    const upstream = upstreamOf(urls(2), { limits: { requests: 3 } });
    connectAll(upstream);
    const running = [0, 1, 2].map(() => acquire(upstream).endpoint!);
    for (const endpoint of running) endpoint.begin();
    expectRefused(acquire(upstream), 'limit requests of upstream "users" is reached: 3');
    expect(upstream.stats.rejected.requests).toBe(1);
    running[0]!.report("success");
    expect(acquire(upstream).endpoint).toBeDefined();
  });

  it("holds for calls that have waited, too, when there is room for all of them", () => {
    const upstream = upstreamOf(urls(1), { limits: { requests: 3 } });
    const waiters = Array.from({ length: 5 }, () => new FakeWaiter());
    for (const waiter of waiters) {
      const { onConnection } = waiter;
      waiter.onConnection = (connection, endpoint) => {
        endpoint.begin();
        onConnection.call(waiter, connection, endpoint);
      };
      upstream.acquire(fakeCall(), waiter);
    }
    expect(upstream.stats.pending).toBe(5);
    transport.one().open();
    expect(waiters.filter(({ connection }) => connection !== undefined)).toHaveLength(3);
    for (const waiter of waiters.slice(3)) expectRefused(waiter, 'limit requests of upstream "users" is reached: 3');
    expect(upstream.stats).toMatchObject({ active: 3, pending: 0, rejected: { requests: 2 } });
  });

  it("counts calls that are meant for one endpoint there alone: a fan-out has as many as there are endpoints", () => {
    const upstream = upstreamOf(urls(5), { limits: { requests: 3, pending: 2 } });
    const acquireAt = (endpoint: Endpoint) => {
      const waiter = new FakeWaiter();
      upstream.acquireAt(endpoint, fakeCall(), waiter);
      return waiter;
    };
    const waiting = upstream.endpoints.map(acquireAt);
    expect(upstream.stats.pending).toBe(5);
    const balanced = [acquire(upstream), acquire(upstream)];
    expectRefused(acquire(upstream), 'limit pending of upstream "users" is reached: 2');
    for (const dial of transport.take()) dial.open();
    expect([...waiting, ...balanced].every(({ endpoint }) => endpoint !== undefined)).toBe(true);
    expect(upstream.stats.pending).toBe(0);
    for (const { endpoint } of waiting) endpoint!.alone.begin();
    expect(upstream.stats.active).toBe(5);
    expect(acquire(upstream).endpoint).toBeDefined();
    const [first] = upstream.endpoints;
    for (let at = 0; at < 2; at++) first!.alone.begin();
    expectRefused(acquireAt(first!), 'limit requests of upstream "users" is reached: 3');
    expect(acquireAt(upstream.endpoints[1]!).endpoint).toBeDefined();
    first!.alone.report("success");
    expect(acquireAt(first!).endpoint).toBe(first);
    expect(upstream.stats.active).toBe(6);
  });

  it("refuses the call that would be one too many to wait, over all endpoints", () => {
    const upstream = upstreamOf(urls(2), { limits: { pending: 3 } });
    const waiting = [0, 1, 2].map(() => acquire(upstream));
    expect(upstream.stats.pending).toBe(3);
    expectRefused(acquire(upstream), 'limit pending of upstream "users" is reached: 3');
    for (const dial of transport.take()) dial.open();
    expect(waiting.every(({ endpoint }) => endpoint !== undefined)).toBe(true);
    expect(upstream.stats).toMatchObject({ pending: 0, rejected: { pending: 1 } });
  });

  it("counts calls that wait for a resolver, and those that stop waiting", async () => {
    let resolve = (_addresses: string[]) => {};
    const lookup = () => new Promise<string[]>((done) => (resolve = done));
    const upstream = createUpstream(
      { name: "users", endpoints: ["http://users.example:1"], limits: { pending: 1 } },
      { dial: transport.dial, lookup },
    );
    open.push(upstream);
    const waiter = new FakeWaiter();
    const cancel = upstream.acquire(fakeCall(), waiter);
    expectRefused(acquire(upstream), 'limit pending of upstream "users" is reached: 1');
    cancel!();
    expect(upstream.stats.pending).toBe(0);
    const other = acquire(upstream);
    resolve(["10.0.0.9"]);
    for (let turns = 0; turns < 10; turns++) await Promise.resolve();
    expect(upstream.stats.pending).toBe(1); // in the endpoint's queue now
    transport.one().open();
    expect(other.endpoint).toBeDefined();
    expect([upstream.stats.pending, waiter.told]).toEqual([0, 0]);
  });

  it("opens no more connections than it may, but one to each endpoint", () => {
    const upstream = upstreamOf(urls(3), { limits: { connections: 1 } });
    for (let at = 0; at < 6; at++) acquire(upstream);
    const dials = transport.take();
    expect(dials).toHaveLength(3);
    for (const dial of dials) dial.open(1);
    expect(transport.dials).toHaveLength(0); // each has a call waiting, and would open another
    expect(upstream.stats).toMatchObject({ connections: 3, pending: 3 });
    expect(upstream.stats.rejected.connections).toBeGreaterThan(0);
    dials[0]!.connection!.lose();
    expect(upstream.stats.connections).toBe(3); // lost one, and opens one for the call that waits
    upstream.close();
    for (const dial of dials.slice(1)) dial.connection!.lose();
    expect(upstream.stats.connections).toBe(0);
  });

  it("allows retries up to the limit, or a fifth of the calls in flight", () => {
    const { breaker, endpoints, stats } = upstreamOf(urls(1));
    expect([1, 2, 3, 4].map(() => breaker.beginRetry())).toEqual([true, true, true, false]);
    expect(stats).toMatchObject({ retries: 3, rejected: { retries: 1 } });
    for (let at = 0; at < 25; at++) endpoints[0]!.begin();
    expect([4, 5, 6].map(() => breaker.beginRetry())).toEqual([true, true, false]);
    for (let at = 0; at < 5; at++) breaker.endRetry();
    expect(stats.retries).toBe(0);
  });

  it.each([
    [{ limits: { requests: 0 } }, "limits.requests must be more than 0, not 0"],
    [{ outlier: { consecutive: -1 } }, "outlier.consecutive must be more than 0, not -1"],
    [{ panicPercent: 101 }, "panicPercent must be from 0 to 100, not 101"],
    [{ health: {} }, "health needs one of grpc, http and tcp"],
    [{ health: { tcp: true, grpc: {} } }, "health needs one of grpc, http and tcp"],
    [{ health: { http: { path: "healthz" } } }, 'health.http.path must begin with "/", not "healthz"'],
    [{ health: { tcp: true, intervalMs: 0 } }, "health.intervalMs must be more than 0, not 0"],
  ] as const)("refuses %j", (options, message) => {
    expect(() => upstreamOf(urls(1), options)).toThrow(message);
  });

  it.each([{ weight: 0 }, { weight: 1.5 }, { priority: -1 }])("refuses an endpoint of %j", (more) => {
    expect(() => upstreamOf([{ url: url(0), ...more }])).toThrow(/must be a whole number/);
  });
});
