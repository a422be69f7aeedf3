import { describe, expect, it } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { MemoryProxy, request } from "./support/memory-proxy.ts";
import { valueIn } from "./support/memory-stream.ts";
import { sleep } from "./support/until.ts";

const error = [
  [":status", "200"],
  ["content-type", "application/grpc"],
  ["grpc-status", "8"],
] as const;

describe("a call that is answered before its request has ended", () => {
  it("gives the caller credit for what it has sent, so that it can go on to its end", () => {
    const proxy = new MemoryProxy({ window: 10 });
    const caller = proxy.call(request("application/grpc"));
    caller.data(Buffer.alloc(60_000));
    expect(caller.credited).toBe(0);
    proxy.upstream.head(error, true);
    expect(caller.credited).toBe(60_000);
    caller.data(Buffer.alloc(20_000));
    expect(caller.credited).toBe(80_000);
    caller.data(Buffer.alloc(10_000), true);
    expect(caller.closed).toBe(false);
  });

  it("tells a caller that sends on and on to stop", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc"));
    proxy.upstream.head(error, true);
    caller.data(Buffer.alloc(32 << 10));
    expect(caller.closed).toBe(false);
    caller.data(Buffer.alloc(1));
    expect(caller.resetWith).toBe(ErrorCode.noError);
  });
});

describe("a deadline", () => {
  it("is what an upstream's CANCEL means once it is over: the upstream has a clock of its own", async () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc", [["grpc-timeout", "3m"]]), true);
    while (performance.now() - proxy.startedAt < 3) await sleep(0);
    proxy.upstream.cut(ErrorCode.cancel, "peer");
    expect(valueIn(caller.heads[0]?.fields, "grpc-status")).toBe("4");
  });

  it("isn't before", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc", [["grpc-timeout", "3S"]]), true);
    proxy.upstream.cut(ErrorCode.cancel, "peer");
    expect(valueIn(caller.heads[0]?.fields, "grpc-status")).toBe("1");
  });
});
