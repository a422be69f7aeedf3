import { describe, expect, it } from "vitest";
import type { ResetCause, StreamListener } from "../../src/http2/api.ts";
import { ErrorCode } from "../../src/http2/errors.ts";
import type { Field } from "../../src/http2/field.ts";
import type { UpstreamConnection } from "../../src/upstream/connection.ts";
import { LimitedConnection } from "../../src/upstream/limited-connection.ts";
import { createUpstream } from "../../src/upstream/upstream.ts";
import { envelope } from "../../src/wire/envelope.ts";
import type { MessageLimits } from "../../src/wire/message-limit.ts";
import { fieldsOf, MemoryStream } from "../support/memory-stream.ts";

const request = fieldsOf([
  [":path", "/a/b"],
  ["content-type", "application/grpc"],
]);
const response = fieldsOf([
  [":status", "200"],
  ["content-type", "application/grpc"],
]);

/** A stream on a limited connection: the wire below it, and what its listener was told. */
function open(limits: Partial<MessageLimits>) {
  const below = new MemoryStream();
  const inner = {
    room: 7,
    streamCount: 3,
    resetsSent: 2,
    closed: false,
    request: (_fields: readonly Field[], _end: boolean, listener: StreamListener) => {
      below.listener = listener;
      return below;
    },
  } as unknown as UpstreamConnection;
  const told: string[] = [];
  const listener: StreamListener = {
    onHeaders: (_fields, end) => told.push(`headers${end ? " end" : ""}`),
    onData: (_bytes, start, stop, end) => told.push(`data ${stop - start}${end ? " end" : ""}`),
    onTrailers: () => told.push("trailers"),
    onSent: (bytes) => told.push(`sent ${bytes}`),
    onReset: (code: ErrorCode, cause: ResetCause) => told.push(`reset ${code} ${cause}`),
  };
  const connection = new LimitedConnection(inner, { request: undefined, response: undefined, ...limits });
  return { connection, below, told, stream: connection.request(request, false, listener) };
}

describe("LimitedConnection", () => {
  it("is as open as the connection below", () => {
    const { room, streamCount, resetsSent, closed } = open({}).connection;
    expect({ room, streamCount, resetsSent, closed }).toEqual({
      room: 7,
      streamCount: 3,
      resetsSent: 2,
      closed: false,
    });
  });

  it("passes messages up to the limit, both ways", () => {
    const { below, told, stream } = open({ request: 100, response: 100 });
    const bytes = Buffer.concat([envelope(0, new Uint8Array(100)), envelope(0, new Uint8Array(1))]);
    expect(stream.sendData(bytes, 0, bytes.length, true)).toBe(true);
    expect(below.body.equals(bytes)).toBe(true);
    below.listener.onHeaders(response, false);
    below.listener.onData(bytes, 0, bytes.length, false);
    below.listener.onTrailers([]);
    expect(told).toEqual(["headers", `data ${bytes.length}`, "trailers"]);
  });

  it("ends both sides at the prefix of a request's message above it, after its caller has returned", async () => {
    const { below, told, stream } = open({ request: 99 });
    const prefix = envelope(0, new Uint8Array(100)).subarray(0, 5);
    expect(stream.sendData(prefix, 0, 5, false)).toBe(true);
    expect([below.resetWith, below.body.length, told.length]).toEqual([ErrorCode.cancel, 0, 0]);
    await Promise.resolve();
    expect(told).toEqual([`reset ${ErrorCode.enhanceYourCalm} request_too_large`]);
    expect(stream.sendData(prefix, 0, 5, true)).toBe(true);
    below.listener.onHeaders(response, false);
    expect(told).toHaveLength(1);
  });

  it("ends both sides at the prefix of a response's message above it, once those before have passed", () => {
    const { below, told } = open({ response: 99 });
    below.listener.onHeaders(fieldsOf([[":status", "103"]]), false);
    below.listener.onHeaders(response, false);
    const both = Buffer.concat([envelope(0, new Uint8Array(99)), envelope(0, new Uint8Array(100))]);
    below.given += 109;
    below.listener.onData(both, 0, 109, false);
    below.listener.onTrailers([]);
    expect(below.resetWith).toBe(ErrorCode.cancel);
    expect(told).toEqual(["headers", "headers", "data 104", `reset ${ErrorCode.enhanceYourCalm} response_too_large`]);
  });

  it.each([{ maxRequestMessage: 0 }, { maxResponseMessage: -1 }])("isn't made with %j", (limits) => {
    expect(() => createUpstream({ name: "a", endpoints: ["http://10.0.0.1:1"], ...limits })).toThrow(/more than 0/);
  });
});
