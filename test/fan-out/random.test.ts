/** Fan-outs of random legs: N calls in, N answers out, and what the caller decodes is what the legs sent. */
import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { parseGoError } from "../../src/layout/go-error.ts";
import type { Layout } from "../../src/layout/layout.ts";
import { merge } from "../../src/layout/merge.ts";
import { wrap } from "../../src/layout/wrap.ts";
import type { FanOutKind } from "../../src/route/director.ts";
import type { GatherPolicy } from "../../src/route/gather-policy.ts";
import type { StreamRecorder } from "../http2/recorder.ts";
import { fieldsOf, grpcRequest, grpcResponse, type Stage, send, settle, startStage } from "../in-memory.ts";
import { siderolabs, wrapped } from "../layout/messages.ts";
import { envelope, openEnvelopes } from "../support/grpc.ts";

const [Reply, Leg, FanOut] = [wrapped("Reply"), wrapped("Leg"), wrapped("FanOut")];
const [Merged, Element] = [siderolabs("Reply"), siderolabs("Element")];
const legs = 4;

/** What a leg does: its messages, in pieces of so many bytes, then a status. */
interface Plan {
  readonly messages: readonly Uint8Array[];
  readonly piece: number;
  readonly status: number;
  /** Ends with a reset in place of a status. */
  readonly cut: boolean;
}

/** One entry of a reply: of whom, and its bytes, or the code of its failure. */
type Entry = readonly [backend: string, content: string | number];

const $unknown = fc
  .array(fc.record({ no: fc.integer({ min: 200, max: 2 ** 20 }), bytes: fc.uint8Array({ maxLength: 100 }) }), {
    maxLength: 2,
  })
  .map((fields) => fields.map(({ no, bytes }) => ({ no, wireType: 2, data: Uint8Array.of(bytes.length, ...bytes) })));

function messageOf(type: DescMessage, fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Message> {
  return fc
    .record({ ...fields, $unknown })
    .map(({ $unknown, ...rest }) => Object.assign(create(type, rest), { $unknown }));
}

const replies = messageOf(Reply, {
  value: fc.string({ maxLength: 300 }),
  numbers: fc.array(fc.integer(), { maxLength: 4 }),
  inner: fc.option(
    fc.record({ value: fc.string() }).map((fields) => create(Reply, fields)),
    { nil: undefined },
  ),
});
const elements = messageOf(Element, {
  value: fc.string({ maxLength: 300 }),
  counter: fc.integer(),
  names: fc.array(fc.string(), { maxLength: 3 }),
});
const lists = fc
  .record({ response: fc.array(elements, { maxLength: 3 }), others: fc.array(elements, { maxLength: 3 }) })
  .map((fields) => create(Merged, fields));

/** Legs mostly do as they should. */
function plans(messages: fc.Arbitrary<Uint8Array>, least: number, most: number): fc.Arbitrary<Plan[]> {
  const plan = fc.record({
    messages: fc.oneof(
      { weight: 4, arbitrary: fc.array(messages, { minLength: least, maxLength: most }) },
      { weight: 1, arbitrary: fc.array(messages, { maxLength: 3 }) },
    ),
    piece: fc.constantFrom(1, 3, 7, 1_000, 100_000),
    status: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 16 }) },
    ),
    cut: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
  });
  return fc.array(plan, { minLength: legs, maxLength: legs });
}

let stage: Stage;
let destination: { layout: Layout; kind: FanOutKind; gather: GatherPolicy };

beforeAll(async () => {
  stage = await startStage({
    backends: legs,
    director: () => ({ mode: "one-to-many", endpoints: stage.upstream.endpoints, ...destination }),
  });
});

/** Carries a plan out, the legs' steps in the order of `turns`; returns the messages that the caller got. */
async function carryOut(all: readonly Plan[], turns: readonly number[]): Promise<Buffer[]> {
  const caller = stage.call(grpcRequest);
  send(caller, envelope(Buffer.from("ask")), true);
  await settle(4);
  const steps = all.map((plan, at) => stepsOf(plan, newestAt(at)));
  for (const turn of turns) {
    steps[turn % legs]!.shift()?.();
    await settle(1);
  }
  for (const rest of steps) for (const step of rest) step();
  await settle(12);
  expect(caller.events.at(-1)).toMatch(/^trailers grpc-status=0/);
  return openEnvelopes(caller.bytes)!.map(({ bytes }) => bytes);
}

function newestAt(backend: number): StreamRecorder {
  const { streams } = stage.upstream.backends[backend]!.owner;
  return [...streams.values()].at(-1)!;
}

/** What is done after the stream is over does nothing. */
function stepsOf({ messages, piece, status, cut }: Plan, { stream }: StreamRecorder): (() => void)[] {
  const trailers = fieldsOf([["grpc-status", `${status}`]]);
  if (messages.length === 0 && status !== 0 && !cut) {
    return [() => stream.sendHeaders(fieldsOf([...grpcResponse, ["grpc-status", `${status}`]]), true)];
  }
  const body = Buffer.concat(messages.map((message) => envelope(Buffer.from(message))));
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += piece) pieces.push(body.subarray(at, at + piece));
  const sends = pieces.map((bytes) => () => void (stream.closed || stream.sendData(bytes, 0, bytes.length, false)));
  const end = () => (stream.closed ? undefined : cut ? stream.reset(2) : stream.sendHeaders(trailers, true));
  return [() => stream.sendHeaders(fieldsOf(grpcResponse), false), ...sends, end];
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** INTERNAL_ERROR of HTTP/2. */
const cutStatus = 13;

/** Why a unary leg has no reply; undefined where it has one. */
function failureOf({ messages, status, cut }: Plan): number | undefined {
  if (messages.length > 1) return 12;
  if (cut) return cutStatus;
  if (status !== 0) return status;
  return messages.length === 0 ? 12 : undefined;
}

/** A stream's entries, leg by leg. */
function streamed({ messages, status, cut }: Plan, backend: string): Entry[] {
  const entries: Entry[] = messages.map((message) => [backend, hex(message)]);
  if (cut || status !== 0) entries.push([backend, cut ? cutStatus : status]);
  return entries;
}

// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
type Any = any;

function wrappedEntry({ info, reply }: Any): Entry {
  expect(info.elapsed).toBeDefined();
  return [info.backend, info.status === undefined ? hex(toBinary(Reply, reply)) : info.status.code];
}

function mergedEntry({ metadata, ...element }: Any): Entry {
  const { hostname, upstreamError } = metadata;
  if (upstreamError !== "") {
    expect(hex(toBinary(Element, element))).toBe("");
    return [hostname, parseGoError(upstreamError)!.code];
  }
  return [hostname, hex(toBinary(Element, element))];
}

/** By leg, in each leg's order: legs go their own ways. */
function byLeg(entries: readonly Entry[]): Entry[] {
  return [...entries].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
}

const turns = fc.array(fc.nat({ max: legs - 1 }), { maxLength: 40 });
const orders = fc.constantFrom<GatherPolicy["order"] & string>("endpoint", "arrival");
const runs = { numRuns: 150 };
const name = (at: number) => `node-${at}`;

describe("a fan-out of random legs", () => {
  it("wraps what each has replied, or how it failed", async () => {
    const messages = replies.map((message) => toBinary(Reply, message));
    const property = fc.asyncProperty(plans(messages, 1, 1), turns, orders, async (all, order, inOrderOf) => {
      destination = { layout: wrap, kind: "unary", gather: { order: inOrderOf } };
      const [reply, ...more] = await carryOut(all, order);
      expect(more).toEqual([]);
      const entries: Entry[] = (fromBinary(FanOut, reply!) as Any).legs.map(wrappedEntry);
      const expected = all.map((plan, at): Entry => [name(at), failureOf(plan) ?? hex(plan.messages[0]!)]);
      expect(inOrderOf === "endpoint" ? entries : byLeg(entries)).toEqual(expected);
    });
    await fc.assert(property, runs);
  });

  it("merges what each has replied, or how it failed, in lists of any length", async () => {
    const messages = lists.map((message) => toBinary(Merged, message));
    const property = fc.asyncProperty(plans(messages, 1, 1), turns, async (all, order) => {
      destination = { layout: merge, kind: "unary", gather: {} };
      const [reply] = await carryOut(all, order);
      const { response, others } = fromBinary(Merged, reply!) as Any;
      const sent = (list: "response" | "others") =>
        all.flatMap((plan, at): Entry[] => {
          const failure = failureOf(plan);
          if (failure !== undefined) return list === "response" ? [[name(at), failure]] : [];
          const message = fromBinary(Merged, plan.messages[0]!) as Any;
          const own = message[list].map((element: Message): Entry => [name(at), hex(toBinary(Element, element))]);
          // a reply without an element has one that says so
          return plan.messages[0]!.length === 0 && list === "response" ? [[name(at), ""]] : own;
        });
      expect(response.map(mergedEntry)).toEqual(sent("response"));
      expect(others.map(mergedEntry)).toEqual(sent("others"));
    });
    await fc.assert(property, runs);
  });

  it.each([
    ["wraps", wrap, replies, Reply],
    ["merges", merge, elements, Element],
  ] as const)("%s the messages of streams, each leg's in its order", async (_what, layout, arbitrary, type) => {
    const messages = arbitrary.map((message) => toBinary(type, message));
    const property = fc.asyncProperty(plans(messages, 0, 5), turns, async (all, order) => {
      destination = { layout, kind: "stream", gather: {} };
      const entries = (await carryOut(all, order)).map((bytes) =>
        layout === wrap ? wrappedEntry(fromBinary(Leg, bytes)) : mergedEntry(fromBinary(Element, bytes)),
      );
      expect(byLeg(entries)).toEqual(all.flatMap((plan, at) => streamed(plan, name(at))));
    });
    await fc.assert(property, runs);
  });

  it("tells the replies of unary calls one by one, if it is progressive", async () => {
    const messages = replies.map((message) => toBinary(Reply, message));
    const property = fc.asyncProperty(plans(messages, 1, 1), turns, async (all, order) => {
      destination = { layout: wrap, kind: "progressive", gather: {} };
      const parts = await carryOut(all, order);
      expect(parts).toHaveLength(legs);
      const entries: Entry[] = parts.flatMap((bytes) => (fromBinary(FanOut, bytes) as Any).legs.map(wrappedEntry));
      expect(byLeg(entries)).toEqual(
        all.map((plan, at): Entry => [name(at), failureOf(plan) ?? hex(plan.messages[0]!)]),
      );
    });
    await fc.assert(property, runs);
  });
});
