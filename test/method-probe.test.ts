import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { MethodKinds } from "../src/protocol/method-kinds.ts";
import { envelope } from "../src/wire/envelope.ts";
import { MemoryProxy, request, type UpstreamStream } from "./support/memory-proxy.ts";
import { type MemoryStream, valueIn } from "./support/memory-stream.ts";

const hello = Buffer.from(envelope(0, Buffer.from("hello")));
const limit = 4 << 20;
const unary = "application/proto";
const stream = "application/connect+proto";

const typeOf = ({ fields }: UpstreamStream) => valueIn(fields, "content-type");
const statusOf = ({ heads }: MemoryStream) => valueIn(heads.at(-1)?.fields, "grpc-status");
const messageOf = ({ heads }: MemoryStream) => valueIn(heads.at(-1)?.fields, "grpc-message");

/** The upstream answers in the form in which it was called. */
function answer(upstream: UpstreamStream): void {
  const type = typeOf(upstream)!;
  upstream.head([
    [":status", "200"],
    ["content-type", type],
  ]);
  upstream.data(type === unary ? Buffer.from("reply") : Buffer.concat([hello, envelope(2, Buffer.from("{}"))]), true);
}

const wrong = (upstream: UpstreamStream) => upstream.head([[":status", "415"]]);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function proxyOf(): MemoryProxy {
  return new MemoryProxy({ protocols: ["connect"] });
}

/** A call of one message. */
function call(proxy: MemoryProxy): MemoryStream {
  const caller = proxy.call(request("application/grpc"));
  caller.data(hello, true);
  return caller;
}

describe("a method of an unknown kind", () => {
  it("is called as unary with one message and its end, and known from the answer", () => {
    const proxy = proxyOf();
    const caller = call(proxy);
    expect(typeOf(proxy.upstream)).toBe(unary);
    expect(proxy.upstream.body.toString()).toBe("hello");
    answer(proxy.upstream);
    expect(statusOf(caller)).toBe("0");
    const slow = proxy.call(request("application/grpc"));
    slow.data(hello);
    vi.advanceTimersByTime(1_000);
    expect(proxy.requests).toHaveLength(1); // it is unary: there can't be more than the end
    slow.data(Buffer.alloc(0), true);
    expect(typeOf(proxy.upstream)).toBe(unary);
  });

  it("is called as a stream with two messages, with a part of one, or with none", () => {
    for (const body of [Buffer.concat([hello, hello]), hello.subarray(0, 7), hello.subarray(0, 3), Buffer.alloc(0)]) {
      const proxy = proxyOf();
      proxy.call(request("application/grpc")).data(body, true);
      expect(typeOf(proxy.upstream)).toBe(stream);
      expect(proxy.upstream.body).toEqual(body);
      expect(proxy.upstream.localEnded).toBe(true);
    }
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["a message", hello],
  ])("is called as a stream where %s comes, and no end soon", (_what, body) => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    if (body.length > 0) caller.data(body);
    expect(proxy.requests).toEqual([]);
    expect(caller.credited).toBe(body.length);
    vi.advanceTimersByTime(20);
    expect(typeOf(proxy.upstream)).toBe(stream);
    expect(proxy.upstream.body).toEqual(body);
    caller.data(hello, true);
    expect(proxy.upstream.body).toEqual(Buffer.concat([body, hello]));
    answer(proxy.upstream);
    proxy.call(request("application/grpc")); // now it is known
    expect(proxy.requests).toHaveLength(2);
  });

  it("waits for a message that is under way, with credit for it", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    const large = Buffer.from(envelope(0, Buffer.alloc(300_000)));
    caller.split(large.subarray(0, 200_000), [10_000]);
    vi.advanceTimersByTime(1_000);
    expect(proxy.requests).toEqual([]);
    expect(caller.credited).toBe(200_000);
    caller.split(large.subarray(200_000), [10_000], true);
    expect(typeOf(proxy.upstream)).toBe(unary);
    expect(proxy.upstream.body).toHaveLength(300_000);
    expect(caller.credited).toBe(large.length);
  });

  it("is called as a stream at the prefix of a message of more than 4 MiB, and refused if it is unary (fault B1)", () => {
    for (const sent of [4, limit + 1]) {
      const proxy = proxyOf();
      const caller = proxy.call(request("application/grpc"));
      const body = Buffer.from(envelope(0, Buffer.alloc(limit + 1)));
      caller.data(body.subarray(0, 4));
      expect(proxy.requests).toEqual([]);
      caller.data(body.subarray(4, 5 + sent));
      expect(typeOf(proxy.upstream)).toBe(stream);
      wrong(proxy.upstream);
      expect(statusOf(caller)).toBe("8");
      expect(proxy.requests).toHaveLength(1);
    }
  });

  it("isn't held for more than 4 MiB of messages", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    const half = Buffer.from(envelope(0, Buffer.alloc(limit / 2)));
    caller.data(half);
    caller.data(half.subarray(0, -6));
    expect(proxy.requests).toHaveLength(0);
    caller.data(half.subarray(-6));
    expect(typeOf(proxy.upstream)).toBe(stream);
  });

  it("is called in the other form where the upstream says so, and known from then on", () => {
    const proxy = proxyOf();
    const caller = call(proxy);
    const first = proxy.upstream;
    wrong(first);
    expect(first.resetWith).toBe(ErrorCode.cancel);
    expect(proxy.requests).toHaveLength(2);
    expect(typeOf(proxy.upstream)).toBe(stream);
    expect(proxy.upstream.body).toEqual(hello);
    answer(proxy.upstream);
    expect(statusOf(caller)).toBe("0");
    expect(caller.credited).toBe(hello.length);
    call(proxy);
    expect(proxy.requests).toHaveLength(3);
    expect(typeOf(proxy.upstream)).toBe(stream);
  });

  it("that turns out to be unary waits for the request's end, and loses nothing", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    caller.data(hello);
    vi.advanceTimersByTime(20);
    wrong(proxy.upstream);
    expect(proxy.requests).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    caller.data(Buffer.alloc(0), true);
    expect(proxy.requests).toHaveLength(2);
    expect(typeOf(proxy.upstream)).toBe(unary);
    expect(proxy.upstream.body.toString()).toBe("hello");
    answer(proxy.upstream);
    expect(statusOf(caller)).toBe("0");
  });

  it.each([
    ["two messages", Buffer.concat([hello, hello])],
    ["none", Buffer.alloc(0)],
  ])("that turns out to be unary refuses %s (fault B4)", (_what, body) => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    caller.data(body, true);
    wrong(proxy.upstream);
    expect(statusOf(caller)).toBe("12");
    expect(messageOf(caller)).toBe("a unary method takes one message");
    expect(proxy.requests).toHaveLength(1);
  });

  it("fails with what the upstream says where that takes neither form", () => {
    const proxy = proxyOf();
    const caller = call(proxy);
    wrong(proxy.upstream);
    wrong(proxy.upstream);
    expect(proxy.requests).toHaveLength(2);
    expect(statusOf(caller)).toBe("2");
    expect(messageOf(caller)).toContain("HTTP 415");
    call(proxy);
    expect(typeOf(proxy.upstream)).toBe(unary); // nothing was learned
  });

  it("isn't known from an error, which may be another server's", () => {
    const proxy = proxyOf();
    call(proxy);
    proxy.upstream.head([[":status", "503"]], true);
    const caller = proxy.call(request("application/grpc"));
    caller.data(hello);
    vi.advanceTimersByTime(20);
    expect(typeOf(proxy.upstream)).toBe(stream);
  });

  it("of which a large message was sent in the wrong form is sent anew", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    const large = Buffer.from(envelope(0, Buffer.alloc(300_000)));
    caller.split(large, [10_000], true);
    wrong(proxy.upstream);
    expect(proxy.upstream.body).toEqual(large);
    expect(caller.credited).toBe(large.length);
  });
});

describe("a method of a known kind", () => {
  it("refuses a message of more than 4 MiB at its prefix where that is unary (fault B1)", () => {
    const proxy = proxyOf();
    call(proxy);
    answer(proxy.upstream);
    const caller = proxy.call(request("application/grpc"));
    caller.data(Buffer.from(envelope(0, Buffer.alloc(limit + 1))).subarray(0, 5));
    expect(statusOf(caller)).toBe("8");
    expect(messageOf(caller)).toContain("4194305 bytes");
    expect(proxy.requests).toHaveLength(1);
  });

  it("is called so at once where that is a stream", () => {
    const proxy = proxyOf();
    call(proxy);
    wrong(proxy.upstream);
    answer(proxy.upstream);
    proxy.call(request("application/grpc"));
    expect(proxy.requests).toHaveLength(3);
    expect(typeOf(proxy.upstream)).toBe(stream);
  });

  it("may have changed", () => {
    const proxy = proxyOf();
    call(proxy);
    answer(proxy.upstream);
    call(proxy);
    wrong(proxy.upstream);
    expect(typeOf(proxy.upstream)).toBe(stream);
    answer(proxy.upstream);
    call(proxy);
    expect(typeOf(proxy.upstream)).toBe(stream);
  });

  it("isn't asked about where a schema tells", () => {
    const kinds: Record<string, "unary" | "server_streaming"> = { "/acme.Users/Get": "server_streaming" };
    const schema = { method: (path: string) => ({ kind: kinds[path] }) as never };
    const proxy = new MemoryProxy({ protocols: ["connect"], schema });
    call(proxy);
    expect(typeOf(proxy.upstream)).toBe(stream);
  });
});

describe("a unary message", () => {
  it.each([
    ["of unknown flags", envelope(0x7e, Buffer.from("x"))],
    ["compressed, in no encoding", envelope(1, Buffer.from("x"))],
  ])("%s is refused (fault B4)", (_what, message) => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    caller.data(message, true);
    expect(statusOf(caller)).toBe("13");
    expect(proxy.requests).toEqual([]);
  });
});

describe("a call that is held", () => {
  it("goes nowhere once its caller has gone", () => {
    const proxy = proxyOf();
    const caller = proxy.call(request("application/grpc"));
    caller.data(hello);
    caller.cut(ErrorCode.cancel, "peer");
    vi.advanceTimersByTime(100);
    expect(proxy.requests).toEqual([]);
    expect(proxy.records).toMatchObject([{ status: 1 }]);
  });

  it("is held in whatever protocol it came", () => {
    for (const type of ["application/grpc-web+proto", "application/grpc-web-text"]) {
      const proxy = proxyOf();
      const caller = proxy.call(request(type));
      const body = type.endsWith("text") ? Buffer.from(hello.toString("base64")) : hello;
      caller.split(body, [3]);
      expect(proxy.requests).toEqual([]);
      caller.data(Buffer.alloc(0), true);
      expect(typeOf(proxy.upstream)).toBe(unary);
      expect(caller.credited).toBe(caller.given);
    }
  });
});

describe("MethodKinds", () => {
  it("keeps methods of upstreams apart, and forgets rather than grow without end", () => {
    const kinds = new MethodKinds();
    kinds.set("a", "/x.Y/Z", "unary");
    expect(kinds.get("b", "/x.Y/Z")).toBeUndefined();
    expect(kinds.get("a", "/x.Y/Z")).toBe("unary");
    for (let i = 0; i < 10_000; i++) kinds.set("a", `/x.Y/${i}`, "stream");
    expect(kinds.get("a", "/x.Y/Z")).toBeUndefined();
    expect(kinds.get("a", "/x.Y/9999")).toBe("stream");
  });
});
