/** What an endpoint is told of each attempt: the true status decides, and only what speaks of the endpoint. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { MemoryProxy, request, type UpstreamStream } from "./support/memory-proxy.ts";
import { fieldsOf } from "./support/memory-stream.ts";

const grpcHead = [
  [":status", "200"],
  ["content-type", "application/grpc"],
] as const;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function trailersOnly(status: string) {
  return (upstream: UpstreamStream) =>
    upstream.listener.onHeaders(fieldsOf([...grpcHead, ["grpc-status", status]]), true);
}

function trailersAfter(messages: number, status: string) {
  return (upstream: UpstreamStream) => {
    upstream.listener.onHeaders(fieldsOf(grpcHead), false);
    for (let at = 0; at < messages; at++) {
      upstream.given += 5;
      upstream.listener.onData(new Uint8Array(5), 0, 5, false);
    }
    upstream.listener.onTrailers(fieldsOf([["grpc-status", status]]));
  };
}

const reset = (code: ErrorCode, cause: "peer" | "connection" | "malformed" | "idle") => (upstream: UpstreamStream) =>
  upstream.listener.onReset(code, cause);
const http = (status: string) => (upstream: UpstreamStream) =>
  upstream.listener.onHeaders(fieldsOf([[":status", status]]), true);
const { internalError, cancel, enhanceYourCalm } = ErrorCode;

describe("the outcome of an attempt", () => {
  it.each([
    ["OK", trailersAfter(1, "0"), "success"],
    ["an application's error", trailersOnly("5"), "success"],
    ["an application's internal error", trailersOnly("13"), "success"],
    ["resource exhausted", trailersOnly("8"), "success"],
    ["unavailable", trailersOnly("14"), "failure"],
    ["unavailable behind messages", trailersAfter(2, "14"), "failure"],
    ["a deadline without a message", trailersAfter(0, "4"), "failure"],
    ["a deadline behind messages, as a watch ends", trailersAfter(1, "4"), "success"],
    ["trailers without a status", (upstream: UpstreamStream) => upstream.listener.onTrailers([]), "failure"],
    ["a lost connection", reset(internalError, "connection"), "failure"],
    ["a malformed answer", reset(internalError, "malformed"), "failure"],
    ["RST_STREAM INTERNAL_ERROR", reset(internalError, "peer"), "failure"],
    ["RST_STREAM CANCEL", reset(cancel, "peer"), "neutral"],
    ["RST_STREAM ENHANCE_YOUR_CALM", reset(enhanceYourCalm, "peer"), "neutral"],
    ["silence until the idle time", reset(cancel, "idle"), "failure"],
    ["HTTP 503", http("503"), "failure"],
    ["HTTP 500", http("500"), "success"],
    ["HTTP 429", http("429"), "success"],
  ] as const)("is, of %s, as expected", (_what, answer, outcome) => {
    const proxy = new MemoryProxy();
    proxy.call(request("application/grpc"), true);
    answer(proxy.upstream);
    expect([proxy.begun, ...proxy.outcomes]).toEqual([1, outcome]);
  });

  it("is nothing where the endpoint refused the stream, for each try", () => {
    const proxy = new MemoryProxy();
    proxy.call(request("application/grpc"), true);
    for (let at = 0; at < 3; at++) proxy.upstream.listener.onReset(ErrorCode.refusedStream, "unprocessed");
    expect([proxy.begun, ...proxy.outcomes]).toEqual([3, "neutral", "neutral", "neutral"]);
  });

  it("is nothing where the caller goes away", () => {
    const proxy = new MemoryProxy();
    const caller = proxy.call(request("application/grpc"), true);
    caller.listener.onReset(cancel, "peer");
    expect(proxy.outcomes).toEqual(["neutral"]);
  });

  it.each([
    ["200m", "failure"],
    ["20m", "neutral"], // too short to say anything of the endpoint
  ] as const)("is, of an endpoint that is silent until a deadline of %s, %s", (timeout, outcome) => {
    const proxy = new MemoryProxy();
    proxy.call(request("application/grpc", [["grpc-timeout", timeout]]), true);
    vi.advanceTimersByTime(1_000);
    expect(proxy.outcomes).toEqual([outcome]);
  });

  it("is nothing where a deadline ends a stream that was being answered", () => {
    const proxy = new MemoryProxy();
    proxy.call(request("application/grpc", [["grpc-timeout", "200m"]]), true);
    proxy.upstream.listener.onHeaders(fieldsOf(grpcHead), false);
    vi.advanceTimersByTime(1_000);
    expect(proxy.outcomes).toEqual(["neutral"]);
  });

  it.each([
    ["200", "success"],
    ["404", "success"],
    ["500", "success"],
    ["503", "failure"],
  ] as const)("is, of a Connect response with HTTP %s that passes, %s", (status, outcome) => {
    const proxy = new MemoryProxy({ protocols: ["connect"] });
    proxy.call(request("application/proto"), true);
    proxy.upstream.listener.onHeaders(fieldsOf([[":status", status]]), false);
    proxy.upstream.listener.onData(new Uint8Array(0), 0, 0, true);
    expect(proxy.outcomes).toEqual([outcome]);
  });
});
