import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Log } from "../../src/observe/log.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../../src/upstream/upstream.ts";
import { FakeTransport, FakeWaiter, fakeCall } from "./fake-dial.ts";

const call = fakeCall();
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

function upstreamOf(endpoints: number | string[], options: Partial<UpstreamOptions> = {}, lookup = noLookup): Upstream {
  const urls =
    typeof endpoints === "number"
      ? Array.from({ length: endpoints }, (_, at) => `http://10.0.0.${at + 1}:50051`)
      : endpoints;
  const upstream = createUpstream({ name: "users", endpoints: urls, ...options }, { dial: transport.dial, lookup });
  open.push(upstream);
  return upstream;
}

const noLookup = (host: string): Promise<string[]> => Promise.reject(new Error(`no lookup of ${host} expected`));

function acquire(upstream: Upstream, count = 1): FakeWaiter[] {
  return Array.from({ length: count }, () => {
    const waiter = new FakeWaiter();
    upstream.acquire(call, waiter);
    return waiter;
  });
}

/** One call, and the only attempt to connect that it causes succeeds. */
function connect(upstream: Upstream, limit?: number) {
  acquire(upstream);
  return transport.one().open(limit);
}

function expectUnavailable(waiter: FakeWaiter | undefined): void {
  expect(waiter?.told).toBe(1);
  expect(ConnectError.from(waiter?.error).code).toBe(Code.Unavailable);
}

describe("acquire()", () => {
  it("spreads 1,000 calls over 5 endpoints, 200 each", () => {
    const upstream = upstreamOf(5);
    const waiters = acquire(upstream, 1_000);
    while (transport.dials.length > 0) for (const dial of transport.take()) dial.open();
    const counts = new Map<string, number>();
    for (const { endpoint } of waiters) counts.set(endpoint!.address, (counts.get(endpoint!.address) ?? 0) + 1);
    expect([...counts.values()]).toEqual([200, 200, 200, 200, 200]);
  });

  it("calls back before it returns where a connection has room", () => {
    const upstream = upstreamOf(1);
    connect(upstream);
    const waiter = new FakeWaiter();
    expect(upstream.acquire(call, waiter)).toBeUndefined();
    expect(waiter.told).toBe(1);
  });

  it("connects to nobody before the first call", () => {
    upstreamOf(3);
    expect(transport.dials).toHaveLength(0);
  });

  it("never tells a waiter that was taken out", () => {
    const upstream = upstreamOf(1);
    const waiter = new FakeWaiter();
    const cancel = upstream.acquire(call, waiter);
    cancel!();
    cancel!();
    transport.one().open();
    expect(waiter.told).toBe(0);
    expect(upstream.endpoints[0]?.pendingCount).toBe(0);
  });

  it("avoids the endpoint that has just turned the call away, unless there is no other", () => {
    const two = upstreamOf(2);
    acquire(two, 2);
    for (const dial of transport.take()) dial.open();
    for (let round = 0; round < 4; round++) {
      const waiter = new FakeWaiter();
      two.acquire(call, waiter, two.endpoints[0]);
      expect(waiter.endpoint).toBe(two.endpoints[1]);
    }
    const one = upstreamOf(1);
    connect(one);
    const waiter = new FakeWaiter();
    one.acquire(call, waiter, one.endpoints[0]);
    expect(waiter.endpoint).toBe(one.endpoints[0]);
  });

  it("is unavailable after close(), and tells those that wait", () => {
    const upstream = upstreamOf(2);
    const before = acquire(upstream, 4);
    const dials = transport.take();
    upstream.close();
    for (const waiter of before) expectUnavailable(waiter);
    expect(dials.map(({ cancelled }) => cancelled)).toEqual([true, true]);
    expectUnavailable(acquire(upstream)[0]);
    expect(transport.dials).toHaveLength(0);
  });
});

describe("stream limits (E9)", () => {
  it("serves 100 calls over a limit of 1 with 4 connections, none lost, the limit kept", () => {
    const upstream = upstreamOf(1);
    const waiters = acquire(upstream, 100);
    const connections = [transport.one().open(1)];
    for (const dial of transport.take()) connections.push(dial.open(1));
    expect(connections).toHaveLength(4);
    while (waiters.some(({ told }) => told === 0)) {
      for (const connection of connections) if (connection.streamCount > 0) connection.endStream();
    }
    expect(waiters.every(({ told, error }) => told === 1 && error === undefined)).toBe(true);
    expect(connections.map(({ peak }) => peak)).toEqual([1, 1, 1, 1]);
    expect(transport.dials).toHaveLength(0);
  });

  it("counts on the connections being opened before it opens more", () => {
    const upstream = upstreamOf(1);
    acquire(upstream, 100);
    expect(transport.take()).toHaveLength(1);
    acquire(upstream, 1);
    expect(transport.take()).toHaveLength(1);
  });

  it("serves those who wait in order, before those who come later", () => {
    const upstream = upstreamOf(1, { maxConnections: 1 });
    const connection = connect(upstream, 1);
    const [first, second] = acquire(upstream, 2);
    connection.endStream();
    expect([first?.told, second?.told]).toEqual([1, 0]);
    const third = acquire(upstream)[0];
    connection.endStream();
    expect([second?.told, third?.told]).toEqual([1, 0]);
  });

  it("answers unavailable when too many wait", () => {
    const upstream = upstreamOf(1, { maxPending: 3 });
    const waiters = acquire(upstream, 4);
    expect(waiters.map(({ told }) => told)).toEqual([0, 0, 0, 1]);
    expectUnavailable(waiters[3]);
  });

  it("lets those who wait go on waiting where only an extra connection fails", () => {
    const upstream = upstreamOf(1);
    const connection = connect(upstream, 1);
    const waiter = acquire(upstream)[0];
    transport.one().fail();
    expect(waiter?.told).toBe(0);
    connection.endStream();
    expect(waiter?.connection).toBe(connection);
  });
});

describe("an endpoint that can't be reached (E1, E2)", () => {
  it("is replaced by another for the same call", () => {
    const upstream = upstreamOf(2);
    const waiter = acquire(upstream)[0];
    transport.one().fail();
    expect(waiter?.told).toBe(0);
    transport.one().open();
    expect(waiter?.endpoint).toBe(upstream.endpoints[1]);
  });

  it("is tried once for each call; then the call is unavailable, and told no address", () => {
    const upstream = upstreamOf(3);
    const waiter = acquire(upstream)[0];
    for (let at = 0; at < 3; at++) transport.one().fail();
    expectUnavailable(waiter);
    expect(transport.dials).toHaveLength(0);
    expect(waiter?.error?.message).not.toMatch(/\d+\.\d+\.\d+|users/);
    expect(String(waiter?.error?.cause)).toContain("ECONNREFUSED");
  });

  it("gets no calls until it has been connected to again", () => {
    const upstream = upstreamOf(2);
    acquire(upstream, 2);
    const [first, second] = transport.take();
    first!.fail();
    second!.open();
    for (const { endpoint } of acquire(upstream, 6)) expect(endpoint).toBe(upstream.endpoints[1]);
    vi.advanceTimersByTime(1_300);
    expect(transport.dials).toHaveLength(0); // nobody needs it
    for (const { endpoint } of acquire(upstream, 3)) expect(endpoint).toBe(upstream.endpoints[1]);
    transport.one().open();
    expect(acquire(upstream, 4).filter(({ endpoint }) => endpoint === upstream.endpoints[0])).toHaveLength(2);
  });

  it("is waited for longer after each failure, and afresh after a success", () => {
    const upstream = upstreamOf(2);
    acquire(upstream, 2);
    const [first, second] = transport.take();
    second!.open(10_000);
    first!.fail();
    const delays: number[] = [];
    for (let round = 0; round < 4; round++) {
      let waited = 0;
      while (transport.dials.length === 0) {
        vi.advanceTimersByTime(50);
        waited += 50;
        acquire(upstream);
      }
      delays.push(waited);
      if (round < 3) transport.one().fail();
    }
    for (const [round, base] of [1_000, 1_600, 2_560, 4_096].entries()) {
      expect(delays[round]).toBeGreaterThanOrEqual(base * 0.8);
      expect(delays[round]).toBeLessThanOrEqual(base * 1.2 + 50);
    }
    transport.one().open().lose();
    acquire(upstream);
    transport.one().fail();
    vi.advanceTimersByTime(1_250);
    acquire(upstream);
    expect(transport.take()).toHaveLength(1);
  });

  it("gets one attempt at once, shared by all calls, where all are in backoff", () => {
    const upstream = upstreamOf(1);
    acquire(upstream);
    transport.one().fail();
    const waiters = acquire(upstream, 20);
    transport.one().fail();
    for (const waiter of waiters) expectUnavailable(waiter);
    const again = acquire(upstream, 2);
    transport.one().open();
    expect(again.every(({ connection }) => connection !== undefined)).toBe(true);
  });

  it("isn't left alone for longer by attempts that calls made before their time", () => {
    const upstream = upstreamOf(1);
    for (let round = 0; round < 50; round++) {
      acquire(upstream);
      transport.one().fail();
    }
    expect(upstream.endpoints[0]?.inBackoff).toBe(true);
    vi.advanceTimersByTime(1_250);
    expect(upstream.endpoints[0]?.inBackoff).toBe(false);
  });

  it("loses its calls to others when its last connection is lost, and comes back", () => {
    const upstream = upstreamOf(2);
    acquire(upstream, 2);
    const [first] = transport.take().map((dial) => dial.open());
    first!.lose();
    for (const { endpoint } of acquire(upstream, 3)) expect(endpoint).toBe(upstream.endpoints[1]);
    transport.one().open();
    expect(upstream.endpoints.every(({ available }) => available)).toBe(true);
  });

  it("logs the first failure and the return, with the address", () => {
    const lines: [string, object, string][] = [];
    const log = Object.fromEntries(
      ["debug", "info", "warn", "error"].map((level) => [
        level,
        (fields: object, message: string) => lines.push([level, fields, message]),
      ]),
    ) as unknown as Log;
    const upstream = upstreamOf(["http://10.0.0.1:50051"], { log });
    acquire(upstream);
    transport.one().fail();
    acquire(upstream);
    transport.one().fail();
    acquire(upstream);
    transport.one().open();
    expect(lines.map(([level]) => level)).toEqual(["warn", "debug", "info"]);
    for (const [, fields] of lines) expect(fields).toMatchObject({ upstream: "users", address: "10.0.0.1:50051" });
  });
});

describe("GOAWAY (E4)", () => {
  it("is followed by a new connection at the next call, without a pause", () => {
    const upstream = upstreamOf(1);
    const old = connect(upstream);
    old.goaway();
    const waiter = acquire(upstream)[0];
    const next = transport.one().open();
    expect(waiter?.connection).toBe(next);
    old.lose(); // its streams have ended
    expect(acquire(upstream)[0]?.connection).toBe(next);
    expect(transport.dials).toHaveLength(0);
  });

  it("makes those who wait wait for a new connection", () => {
    const upstream = upstreamOf(1, { maxConnections: 1 });
    const old = connect(upstream, 1);
    const waiter = acquire(upstream)[0];
    old.goaway();
    expect(transport.one().open(1)).toBe(waiter?.connection);
  });
});

describe("reset limits of a peer (A3)", () => {
  it("keeps every connection far below nghttp2's 1,000, without a call that waits", () => {
    const upstream = upstreamOf(1);
    const connections = [connect(upstream)];
    connections[0]!.endStream();
    for (let round = 0; round < 5_000; round++) {
      const [waiter] = acquire(upstream);
      expect(waiter?.told).toBe(1);
      waiter!.connection!.endStream(true);
      for (const dial of transport.take()) connections.push(dial.open());
    }
    expect(Math.max(...connections.map(({ resetsSent }) => resetsSent))).toBeLessThanOrEqual(510);
    expect(connections.filter(({ shutdowns }) => shutdowns === 0)).toHaveLength(1);
    expect(connections.every(({ shutdowns }) => shutdowns <= 1)).toBe(true);
  });

  it("lets calls wait where no other connection comes", () => {
    const upstream = upstreamOf(1);
    const connection = connect(upstream);
    connection.resetsSent = 500;
    expect(acquire(upstream)[0]?.connection).toBe(connection);
    const dial = transport.one();
    connection.resetsSent = 750;
    const waiter = acquire(upstream)[0];
    expect(waiter?.told).toBe(0);
    expect(connection.shutdowns).toBe(1);
    expect(dial.open()).toBe(waiter?.connection);
  });
});

describe("names", () => {
  const answers = (list: (string[] | Error)[]) => {
    const asked: string[] = [];
    const lookup = (host: string) => {
      asked.push(host);
      const answer = list.length > 1 ? list.shift()! : list[0]!;
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    };
    return { asked, lookup };
  };
  const settled = () => vi.advanceTimersByTimeAsync(0);

  it("make one endpoint of every address", async () => {
    const { lookup } = answers([["10.1.0.1", "10.1.0.2", "fd00::1"]]);
    const upstream = upstreamOf(["http://users.example:50051"], {}, lookup);
    expect(upstream.endpoints).toHaveLength(0);
    const waiters = acquire(upstream, 6);
    await settled();
    for (const dial of transport.take()) dial.open();
    expect(upstream.endpoints.map(({ address }) => address)).toEqual([
      "10.1.0.1:50051",
      "10.1.0.2:50051",
      "[fd00::1]:50051",
    ]);
    expect(upstream.endpoints.map(({ name }) => name)).toEqual(Array(3).fill("users.example:50051"));
    for (const endpoint of upstream.endpoints) expect(endpoint.streamCount).toBe(2);
    expect(waiters.every(({ told }) => told === 1)).toBe(true);
  });

  it("are resolved again every 30 s while calls come, and not otherwise", async () => {
    const { lookup, asked } = answers([["10.1.0.1"]]);
    const upstream = upstreamOf(["http://users.example:50051"], {}, lookup);
    acquire(upstream);
    await settled();
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toHaveLength(2);
    acquire(upstream);
    expect(asked).toHaveLength(3);
  });

  it("follow a change: old endpoints finish their streams, new ones get the calls (E8)", async () => {
    const { lookup } = answers([["10.1.0.1", "10.1.0.2"], ["10.1.0.2", "10.1.0.3"], new Error("NXDOMAIN")]);
    const upstream = upstreamOf(["http://users.example:50051"], {}, lookup);
    acquire(upstream, 2);
    await settled();
    const [first, second] = transport.take().map((dial) => dial.open());
    const kept = upstream.endpoints[1];
    await vi.advanceTimersByTimeAsync(30_000);
    expect([first?.shutdowns, second?.shutdowns]).toEqual([1, 0]);
    expect(upstream.endpoints[0]).toBe(kept);
    const addresses = () => upstream.endpoints.map(({ address }) => address);
    expect(addresses()).toEqual(["10.1.0.2:50051", "10.1.0.3:50051"]);
    acquire(upstream, 2);
    expect(transport.one().options.addresses).toEqual(["10.1.0.3"]);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(addresses()).toEqual(["10.1.0.2:50051", "10.1.0.3:50051"]);
  });

  it("are resolved again when a connection fails", async () => {
    const { lookup, asked } = answers([["10.1.0.1"], ["10.1.0.9"]]);
    const upstream = upstreamOf(["http://users.example:50051"], {}, lookup);
    acquire(upstream);
    await settled();
    await vi.advanceTimersByTimeAsync(2_000);
    transport.one().fail();
    expect(asked).toHaveLength(2);
    await settled();
    expect(upstream.endpoints.map(({ address }) => address)).toEqual(["10.1.0.9:50051"]);
  });

  it("that don't resolve make calls unavailable, and are asked for again a second later", async () => {
    const { lookup, asked } = answers([new Error("ENOTFOUND users.example"), ["10.1.0.1"]]);
    const upstream = upstreamOf(["http://users.example:50051"], {}, lookup);
    const [waiter] = acquire(upstream);
    await settled();
    expectUnavailable(waiter);
    expect(waiter?.error?.message).not.toContain("users.example");
    expectUnavailable(acquire(upstream)[0]);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_000);
    const [later] = acquire(upstream);
    await settled();
    transport.one().open();
    expect(later?.connection).toBeDefined();
  });

  it("that get no answer make calls unavailable at the connect timeout", async () => {
    const lookup = () => new Promise<string[]>(() => {});
    const upstream = upstreamOf(["http://users.example:50051"], { connectTimeoutMs: 700 }, lookup);
    const [waiter] = acquire(upstream);
    await vi.advanceTimersByTimeAsync(699);
    expect(waiter?.told).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expectUnavailable(waiter);
  });

  it("such as localhost are one endpoint with two addresses, and addresses aren't resolved", () => {
    const upstream = upstreamOf(["http://localhost:50051", "http://[::1]:50052"]);
    acquire(upstream, 2);
    expect(transport.take().map(({ options }) => options.addresses)).toEqual([["127.0.0.1", "::1"], ["::1"]]);
  });
});

describe("createUpstream()", () => {
  const create = (options: Partial<UpstreamOptions>) => () =>
    createUpstream({ name: "users", endpoints: ["http://a"], ...options }, { dial: transport.dial });

  it.each([
    ["an upstream without endpoints", { endpoints: [] }, '"users" has no endpoints'],
    ["no URL", { endpoints: ["10.0.0.1:50051"] }, '"10.0.0.1:50051": write "http://10.0.0.1:50051"'],
    ["limits of 0", { maxConnections: 0 }, "maxConnections must be more than 0, not 0"],
    [
      "settings of HTTP/2 that no peer takes",
      { http2: { initialWindowSize: 1_000 } },
      'upstream "users": http2: initialWindowSize must be a number from 65535 to 2147483647, not 1000',
    ],
    ["TLS without https", { tls: { ca: "x" } }, "none of its endpoints is https"],
    ["a certificate without key", { endpoints: ["https://a"], tls: { cert: "x" } }, "belong together"],
    ["what isn't PEM", { endpoints: ["https://a"], tls: { ca: "secret" } }, 'tls.ca has no PEM block "CERTIFICATE"'],
  ])("refuses %s", (_what, options, message) => {
    expect(create(options)).toThrow(message);
  });

  it("gives SNI the endpoint's server name, else the upstream's, else the host", () => {
    const endpoints = [{ url: "https://10.0.0.1", serverName: "own.example" }, "https://10.0.0.2"];
    const tlsOf = (options: Partial<UpstreamOptions>) => {
      acquire(upstreamOf(endpoints as string[], options), 2);
      return transport.take().map(({ options: { tls } }) => tls?.serverName);
    };
    expect(tlsOf({ tls: { serverName: "all.example" } })).toEqual(["own.example", "all.example"]);
    expect(tlsOf({})).toEqual(["own.example", "10.0.0.2"]);
  });
});
