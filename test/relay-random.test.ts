/** Calls to which anything may happen at any time: each ends once, and leaves nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../src/http2/errors.ts";
import { unavailable } from "../src/upstream/waiter.ts";
import type { StreamRecorder } from "./http2/recorder.ts";
import {
  fieldsOf,
  grpcRequest,
  grpcResponse,
  okTrailers,
  type Stage,
  send,
  settle,
  startBackend,
  startStage,
} from "./in-memory.ts";

type Event = (stage: Stage, index: number, size: number) => void | Promise<void>;

const { cancel, refusedStream, internalError } = ErrorCode;

/** Streams of all servers, also of connections that are gone, where nothing happens any more. */
function serverStream({ upstream }: Stage, index: number): StreamRecorder | undefined {
  const streams = upstream.backends.flatMap(({ owner }) => [...owner.streams.values()]);
  return streams[index % Math.max(streams.length, 1)];
}

const callers = new WeakMap<Stage, StreamRecorder[]>();

function caller(stage: Stage, index: number): StreamRecorder | undefined {
  const own = callers.get(stage)!;
  return own[index % Math.max(own.length, 1)];
}

const events: Record<string, Event> = {
  call: (stage, index) => {
    if (stage.caller.room > 0) callers.get(stage)!.push(stage.call(grpcRequest, index % 5 === 0));
  },
  "request data": (stage, index, size) => ask(caller(stage, index), (to) => send(to, Buffer.alloc(size))),
  "request end": (stage, index) => ask(caller(stage, index), (to) => to.stream.end()),
  "request trailers": (stage, index) =>
    ask(caller(stage, index), (to) => to.stream.sendHeaders(fieldsOf([["x-t", "1"]]), true)),
  cancel: (stage, index) => ask(caller(stage, index), (to) => to.stream.reset(cancel)),
  headers: (stage, index) => ask(serverStream(stage, index), (to) => head(to)),
  "response data": (stage, index, size) =>
    ask(serverStream(stage, index), (to) => head(to) && send(to, Buffer.alloc(size))),
  trailers: (stage, index) =>
    ask(serverStream(stage, index), (to) => head(to) && to.stream.sendHeaders(fieldsOf(okTrailers), true)),
  "end without a status": (stage, index) => ask(serverStream(stage, index), (to) => head(to) && to.stream.end()),
  refuse: (stage, index) => ask(serverStream(stage, index), (to) => to.stream.reset(refusedStream)),
  reset: (stage, index) => ask(serverStream(stage, index), (to) => to.stream.reset(internalError)),
  hold: ({ upstream }) => {
    upstream.holds = true;
  },
  release: ({ upstream }) => upstream.release(),
  fail: ({ upstream }) => upstream.fail(unavailable("none")),
  "lose a connection": async ({ upstream }, index) => {
    const at = index % upstream.backends.length;
    const fresh = await startBackend(`node-${at}`);
    upstream.backends[at]!.socket.destroy();
    upstream.backends.splice(at, 1, fresh);
  },
  wait: () => settle(1),
};

function ask(recorder: StreamRecorder | undefined, what: (recorder: StreamRecorder) => unknown): void {
  if (recorder !== undefined && !recorder.stream.closed) what(recorder);
}

/** Sends the headers of an answer, unless they were sent. */
function head(recorder: StreamRecorder): true {
  if (!recorder.events.includes("answered")) recorder.stream.sendHeaders(fieldsOf(grpcResponse), false);
  recorder.events.push("answered");
  return true;
}

const step = fc.tuple(
  fc.constantFrom(...Object.keys(events), "call", "call", "wait", "wait", "wait"),
  fc.nat(50),
  fc.constantFrom(1, 100, 5_000, 70_000),
);

describe("calls to which anything may happen", () => {
  it("end once each, and leave no stream and no waiter", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 150 }), fc.boolean(), async (steps, later) => {
        const stage: Stage = await startStage({
          backends: 2,
          director: () => {
            const destination = { mode: "one-to-one", upstream: stage.upstream } as const;
            return later ? settle(1).then(() => destination) : destination;
          },
        });
        callers.set(stage, []);
        const connections = [...stage.upstream.backends];
        for (const [name, index, size] of steps) await events[name]!(stage, index, size);
        connections.push(...stage.upstream.backends);
        stage.upstream.release();
        await settle(6);
        for (const recorder of callers.get(stage)!) recorder.stream.reset(cancel);
        await settle(20);
        const opened = callers.get(stage)!;
        expect(stage.records).toHaveLength(opened.length);
        expect(stage.upstream.waiting.size).toBe(0);
        expect([stage.caller.streamCount, stage.front.streamCount]).toEqual([0, 0]);
        for (const { connection, server, attempts } of connections) {
          expect([connection.streamCount, server.streamCount]).toEqual([0, 0]);
          expect(attempts.outcomes).toHaveLength(attempts.begun);
        }
        for (const recorder of opened) {
          // after its answer a caller may be told to stop sending
          const ends = recorder.events.filter((event) => / end$|^trailers|^reset (?!0 )/.test(event));
          expect(ends.length).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 150 },
    );
  });
});
