/** Health checks over connections in memory: what is asked, and what each answer makes of an endpoint. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StreamListener } from "../../../src/http2/api.ts";
import type { Http2Connection } from "../../../src/http2/connection.ts";
import { ErrorCode } from "../../../src/http2/errors.ts";
import type { Field } from "../../../src/http2/field.ts";
import type { HealthOptions } from "../../../src/upstream/check/options.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../../../src/upstream/upstream.ts";
import { envelope } from "../../../src/wire/envelope.ts";
import { fieldsOf, MemoryStream, type Pairs, pairsOf } from "../../support/memory-stream.ts";
import { type FakeDial, FakeTransport, FakeWaiter, fakeCall } from "../fake-dial.ts";

/** A request of a check. */
class Asked extends MemoryStream {
  readonly fields: [string, string][];

  constructor(fields: readonly Field[], listener: StreamListener) {
    super();
    this.fields = pairsOf(fields);
    this.listener = listener;
  }

  get path(): string | undefined {
    return this.fields.find(([name]) => name === ":path")?.[1];
  }

  /** Answers with fields alone. */
  reply(fields: Pairs): void {
    this.listener.onHeaders(fieldsOf(fields), true);
  }

  /** A message of grpc.health.v1. */
  say(status: number): void {
    this.listener.onHeaders(fieldsOf(grpcHead), false);
    const message = envelope(0, Uint8Array.of(0x08, status));
    this.given += message.length;
    this.listener.onData(message, 0, message.length, false);
  }

  finish(status = "0"): void {
    this.listener.onTrailers(fieldsOf([["grpc-status", status]]));
  }

  /** What Check answers where all is well, or not. */
  check(status: number): void {
    this.say(status);
    this.finish();
  }
}

const grpcHead: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const serving = 1;
const notServing = 2;
const unimplemented: Pairs = [...grpcHead, ["grpc-status", "12"]];

/** A connection to an endpoint, and what was asked on it. */
class CheckConnection {
  readonly asked: Asked[] = [];
  destroyed = false;
  room = 100;
  readonly dial: FakeDial;

  constructor(dial: FakeDial) {
    this.dial = dial;
    dial.listener.onOpen(this as unknown as Http2Connection);
  }

  request(fields: readonly Field[], _end: boolean, listener: StreamListener): Asked {
    const asked = new Asked(fields, listener);
    this.asked.push(asked);
    return asked;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** The next that was asked. */
  next(): Asked {
    const asked = this.asked.shift();
    if (asked === undefined) throw new Error("nothing was asked");
    return asked;
  }
}

let transport: FakeTransport;
let silent: FakeTransport;
let upstream: Upstream | undefined;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5); // no jitter
  transport = new FakeTransport();
  silent = new FakeTransport();
});

afterEach(() => {
  upstream?.close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const lookup = () => Promise.reject(new Error("no lookup expected"));

function start(health: HealthOptions, more: Partial<UpstreamOptions> = {}) {
  upstream = createUpstream(
    { name: "users", endpoints: ["http://10.0.0.1:50051"], health, ...more },
    { dial: transport.dial, dialTcp: silent.dial, lookup },
  );
  vi.advanceTimersByTime(0);
  const endpoint = upstream.endpoints[0]!;
  return { endpoint, connect: () => new CheckConnection(transport.one()) };
}

describe("health by gRPC", () => {
  it("asks Check with the service, and Watch behind it", () => {
    const { connect } = start({ grpc: { service: "acme.v1.Users" } });
    const connection = connect();
    const check = connection.next();
    expect(Object.fromEntries(check.fields)).toEqual({
      ":method": "POST",
      ":scheme": "http",
      ":authority": "10.0.0.1:50051",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    expect(check.body.toString("latin1")).toBe("\0\0\0\0\x0f\x0a\x0dacme.v1.Users");
    expect(check.localEnded).toBe(true);
    expect(connection.asked).toHaveLength(0);
    check.check(serving);
    expect(connection.next().path).toBe("/grpc.health.v1.Health/Watch");
  });

  it("is healthy by the first answer, and not before", () => {
    const { endpoint, connect } = start({ grpc: {} });
    expect(endpoint.healthy).toBe(false);
    connect().next().check(serving);
    expect([endpoint.healthy, endpoint.ready]).toEqual([true, true]);
  });

  it.each([
    ["NOT_SERVING", (asked: Asked) => asked.check(notServing), false],
    ["UNKNOWN", (asked: Asked) => asked.check(0), false],
    ["an empty message, which is UNKNOWN", (asked: Asked) => sayBytes(asked, envelope(0, new Uint8Array(0))), false],
    ["NOT_FOUND", (asked: Asked) => asked.reply([...grpcHead, ["grpc-status", "5"]]), false],
    ["UNIMPLEMENTED", (asked: Asked) => asked.reply(unimplemented), true],
    ["HTTP 404, from a server without gRPC", (asked: Asked) => asked.reply([[":status", "404"]]), true],
    ["HTTP 503", (asked: Asked) => asked.reply([[":status", "503"]]), false],
    ["UNAVAILABLE", (asked: Asked) => asked.reply([...grpcHead, ["grpc-status", "14"]]), false],
    ["OK without a message", (asked: Asked) => asked.reply([...grpcHead, ["grpc-status", "0"]]), false],
    ["nonsense", (asked: Asked) => sayBytes(asked, envelope(0, Uint8Array.of(0xff, 0xff))), false],
    ["a message that is too long", (asked: Asked) => sayBytes(asked, envelope(0, new Uint8Array(2_000))), false],
    ["a compressed message", (asked: Asked) => sayBytes(asked, envelope(1, Uint8Array.of(8, 1))), false],
    ["a reset", (asked: Asked) => asked.listener.onReset(ErrorCode.internalError, "peer"), false],
  ])("takes %s as the first answer", (_what, answer, healthy) => {
    const { endpoint, connect } = start({ grpc: {} });
    answer(connect().next());
    expect(endpoint.healthy).toBe(healthy);
  });

  it("believes Watch at once, and Check only that the server answers", () => {
    const { endpoint, connect } = start({ grpc: {} });
    const connection = connect();
    connection.next().check(serving);
    const watch = connection.next();
    watch.say(serving);
    watch.say(notServing);
    expect(endpoint.healthy).toBe(false);
    vi.advanceTimersByTime(10_000);
    connection.next().check(serving); // an older word than that of Watch
    expect(endpoint.healthy).toBe(false);
    watch.say(serving);
    expect(endpoint.healthy).toBe(false); // two in a row
    vi.advanceTimersByTime(10_000);
    connection.next().check(serving);
    expect(endpoint.healthy).toBe(true);
    expect(connection.asked).toHaveLength(0); // one Watch is enough
  });

  it("believes Watch of a server whose Check is unimplemented", () => {
    const { endpoint, connect } = start({ grpc: {} });
    const connection = connect();
    connection.next().reply(unimplemented);
    connection.next().say(notServing);
    vi.advanceTimersByTime(10_000);
    connection.next().reply(unimplemented);
    expect(endpoint.healthy).toBe(false);
  });

  it("asks Check alone of a server without Watch", () => {
    const { endpoint, connect } = start({ grpc: {} });
    const connection = connect();
    connection.next().check(serving);
    connection.next().reply(unimplemented);
    vi.advanceTimersByTime(10_000);
    connection.next().check(notServing);
    expect(endpoint.healthy).toBe(false);
    expect(connection.asked).toHaveLength(0);
  });

  it("opens Watch anew after it ended otherwise, and forgets what it said", () => {
    const { endpoint, connect } = start({ grpc: {}, healthyThreshold: 1 });
    const connection = connect();
    connection.next().check(serving);
    const watch = connection.next();
    watch.say(notServing);
    watch.finish("14");
    vi.advanceTimersByTime(10_000);
    connection.next().check(serving);
    expect(endpoint.healthy).toBe(true);
    expect(connection.next().path).toBe("/grpc.health.v1.Health/Watch");
  });

  it("goes by Watch alone where there is no stream left for Check", () => {
    const { endpoint, connect } = start({ grpc: {} });
    const connection = connect();
    connection.next().check(serving);
    const watch = connection.next();
    connection.room = 0;
    watch.say(serving);
    vi.advanceTimersByTime(50_000);
    expect(connection.asked).toHaveLength(0);
    expect(endpoint.healthy).toBe(true);
  });

  it("fails a check that has no answer in time, and connects anew", () => {
    const { endpoint, connect } = start({ grpc: {} });
    const first = connect();
    first.next().check(serving);
    for (let at = 0; at < 3; at++) {
      expect(endpoint.healthy).toBe(true);
      vi.advanceTimersByTime(10_000);
      const connection = at === 0 ? first : connect();
      expect(connection.destroyed).toBe(false);
      vi.advanceTimersByTime(2_000);
      expect(connection.destroyed).toBe(true);
    }
    expect(endpoint.healthy).toBe(false);
  });

  it("checks again soon after its connection was lost", () => {
    const { endpoint, connect } = start({ grpc: {}, unhealthyThreshold: 1 });
    const connection = connect();
    connection.next().check(serving);
    connection.dial.listener.onClose(new Error("reset"));
    expect(endpoint.healthy).toBe(true);
    vi.advanceTimersByTime(1_000);
    transport.one().fail();
    expect(endpoint.healthy).toBe(false);
  });

  it("uses connections of its own, without an idle time for streams", () => {
    const { connect } = start({ grpc: {} });
    const connection = connect();
    expect(connection.dial.options.http2).toEqual({ streamIdleTimeoutMs: 0 });
    const waiter = new FakeWaiter();
    connection.next().check(serving);
    upstream!.acquire(fakeCall(), waiter);
    expect(transport.take()).toHaveLength(1);
  });
});

function sayBytes(asked: Asked, bytes: Uint8Array): void {
  asked.listener.onHeaders(fieldsOf(grpcHead), false);
  asked.given += bytes.length;
  asked.listener.onData(bytes, 0, bytes.length, false);
  if (!asked.closed) asked.finish();
}

describe("health by HTTP", () => {
  it.each([
    [200, undefined, true],
    [204, undefined, false],
    [204, [200, 204], true],
    [503, undefined, false],
  ])("takes status %s, where %j is expected, as %s", (status, expected, healthy) => {
    const http = { path: "/healthz?full=1", ...(expected === undefined ? {} : { expect: expected }) };
    const { endpoint, connect } = start({ http });
    const asked = connect().next();
    expect(asked.fields.slice(0, 4)).toEqual([
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", "10.0.0.1:50051"],
      [":path", "/healthz?full=1"],
    ]);
    asked.listener.onHeaders(fieldsOf([[":status", "103"]]), false);
    asked.reply([[":status", String(status)]]);
    expect(endpoint.healthy).toBe(healthy);
  });

  it("takes 503 for the server's own word, and other answers for failures", () => {
    const { endpoint, connect } = start({ http: { path: "/" } });
    const connection = connect();
    connection.next().reply([[":status", "200"]]);
    vi.advanceTimersByTime(10_000);
    connection.next().reply([[":status", "500"]]);
    expect(endpoint.healthy).toBe(true);
    vi.advanceTimersByTime(10_000);
    connection.next().reply([[":status", "503"]]);
    expect(endpoint.healthy).toBe(false);
  });

  it("takes no notice of the end of a connection between two checks", () => {
    const { connect } = start({ http: { path: "/" } });
    const connection = connect();
    connection.next().reply([[":status", "200"]]);
    connection.dial.listener.onGoaway(0);
    vi.advanceTimersByTime(9_999);
    expect(transport.dials).toHaveLength(0);
    vi.advanceTimersByTime(1);
    connect().next();
  });

  it("doesn't read a body without end", () => {
    const { connect } = start({ http: { path: "/" } });
    const asked = connect().next();
    asked.listener.onHeaders(fieldsOf([[":status", "200"]]), false);
    const part = new Uint8Array(20_000);
    for (let at = 0; at < 4; at++) {
      asked.given += part.length;
      asked.listener.onData(part, 0, part.length, false);
    }
    expect(asked.resetWith).toBe(ErrorCode.cancel);
  });
});

describe("health by TCP", () => {
  it("is healthy while it can be connected to", () => {
    const { endpoint } = start({ tcp: true, unhealthyThreshold: 2 });
    const connection = new CheckConnection(silent.one());
    expect([endpoint.healthy, connection.destroyed]).toEqual([true, true]);
    for (let at = 0; at < 2; at++) {
      expect(endpoint.healthy).toBe(true);
      vi.advanceTimersByTime(10_000);
      silent.one().fail();
    }
    expect(endpoint.healthy).toBe(false);
    expect(transport.dials).toEqual([]);
  });
});

describe("health of an upstream's endpoints", () => {
  it("keeps calls from those that are unhealthy", () => {
    start({ tcp: true }, { endpoints: ["http://10.0.0.1:1", "http://10.0.0.2:1", "http://10.0.0.3:1"] });
    const [first, ...others] = silent.take();
    first!.fail();
    for (const dial of others) new CheckConnection(dial);
    const waiters = Array.from({ length: 6 }, () => new FakeWaiter());
    for (const waiter of waiters) upstream!.acquire(fakeCall(), waiter);
    for (const dial of transport.take()) dial.open();
    expect(new Set(waiters.map(({ endpoint }) => endpoint))).toEqual(new Set(upstream!.endpoints.slice(1)));
  });

  it("is a panic before any is known: calls go everywhere", () => {
    start({ tcp: true }, { endpoints: ["http://10.0.0.1:1", "http://10.0.0.2:1"] });
    const waiters = [new FakeWaiter(), new FakeWaiter()];
    for (const waiter of waiters) upstream!.acquire(fakeCall(), waiter);
    for (const dial of transport.take()) dial.open();
    expect(new Set(waiters.map(({ endpoint }) => endpoint)).size).toBe(2);
    expect(upstream!.stats.panic).toBe(true);
    for (const dial of silent.take()) new CheckConnection(dial);
    expect(upstream!.stats.panic).toBe(false);
  });

  it("follows the addresses of a name, which is resolved without a call, and ends with them", async () => {
    let addresses = ["10.0.0.1", "10.0.0.2"];
    upstream = createUpstream(
      { name: "users", endpoints: ["http://users.example:50051"], health: { tcp: true } },
      { dial: transport.dial, dialTcp: silent.dial, lookup: () => Promise.resolve(addresses) },
    );
    await vi.advanceTimersByTimeAsync(0);
    expect(silent.take().map(({ options }) => options.addresses)).toEqual([["10.0.0.1"], ["10.0.0.2"]]);
    addresses = ["10.0.0.2", "10.0.0.3"];
    await vi.advanceTimersByTimeAsync(31_000);
    const dialled = silent.take();
    expect(dialled.map(({ options }) => options.addresses[0])).toContain("10.0.0.3");
    await vi.advanceTimersByTimeAsync(60_000);
    const later = new Set(silent.take().map(({ options }) => options.addresses[0]));
    expect(later).toEqual(new Set(["10.0.0.2", "10.0.0.3"]));
    upstream.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(silent.dials).toEqual([]);
  });
});
