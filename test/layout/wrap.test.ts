import { create, equals, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { wrap } from "../../src/layout/wrap.ts";
import { hex, joined, read, wrapped } from "./messages.ts";

const [Reply, Leg, FanOut] = [wrapped("Reply"), wrapped("Leg"), wrapped("FanOut")];

const name = fc.stringMatching(/^[a-z0-9.:ü-]{1,200}$/);
const reply: fc.Arbitrary<Message> = fc
  .record({ value: fc.string({ maxLength: 300 }), numbers: fc.array(fc.integer()) })
  .map((init) => create(Reply, init));
const status = fc.record({
  code: fc.integer({ min: 1, max: 99 }),
  message: fc.string({ unit: "grapheme" }),
  details: fc.array(fc.record({ type: fc.constant("google.rpc.Help"), value: fc.uint8Array() }), { maxLength: 2 }),
});
const result = fc.oneof(
  reply.map((sent) => ({ sent })),
  status.map((failed) => ({ failed })),
);
const leg = fc.record({ backend: name, micros: fc.nat(1e10), result });

type SampleLeg = typeof leg extends fc.Arbitrary<infer T> ? T : never;

function partOf({ backend, micros, result: got }: SampleLeg, stream: boolean): Uint8Array {
  const info = { backend, elapsedMs: micros / 1000 };
  if ("sent" in got) return wrap.annotate(info, toBinary(Reply, got.sent), stream);
  return wrap.fail(info, got.failed, stream)!;
}

// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
function expectLeg(actual: any, { backend, micros, result: got }: SampleLeg): void {
  expect(actual.info.backend).toBe(backend);
  const { seconds, nanos } = actual.info.elapsed;
  expect(Number(seconds) * 1e6 + nanos / 1000).toBe(micros);
  if ("sent" in got) {
    expect(equals(Reply, actual.reply, got.sent)).toBe(true);
    expect(actual.info.status).toBeUndefined();
  } else {
    expect(actual.reply).toBeUndefined();
    const { code, message, details } = got.failed;
    expect(actual.info.status).toMatchObject({
      code,
      message,
      details: details.map(({ type, value }) => ({ typeUrl: `type.googleapis.com/${type}`, value })),
    });
  }
}

describe("wrap", () => {
  it("tells a client what every leg sent, or how it failed", () => {
    fc.assert(
      fc.property(fc.array(leg, { maxLength: 5 }), (legs) => {
        const { legs: read_ } = read(FanOut, joined(legs.map((one) => partOf(one, false))));
        expect(read_).toHaveLength(legs.length);
        for (const [at, one] of legs.entries()) expectLeg(read_[at], one);
      }),
    );
  });

  it("makes a leg of each message of a stream", () => {
    fc.assert(fc.property(leg, (one) => expectLeg(read(Leg, partOf(one, true)), one)));
  });

  it("writes the shortest there is", () => {
    const part = wrap.annotate({ backend: "a", elapsedMs: 0 }, new Uint8Array(0), false);
    // legs { info { backend: "a", elapsed {} }, reply {} }
    expect(Buffer.from(part).toString("hex")).toBe("0a09" + "0a05" + "0a0161" + "1a00" + "1200");
  });

  it.each([-1, Number.NaN, -0])("takes %s ms for no time", (elapsedMs) => {
    expect(wrap.annotate({ backend: "a", elapsedMs }, new Uint8Array(0), false)).toHaveLength(11);
  });

  it.each([100, 10_000, 3 << 20])("carries a reply of %i bytes that it can't read", (length) => {
    const sent = new Uint8Array(length).fill(0xff);
    const part = wrap.annotate({ backend: "a", elapsedMs: 0 }, sent, false);
    expect(Buffer.compare(part.subarray(-length), sent)).toBe(0);
  });

  it.each([false, true])("passes what is joined already (stream: %s)", (stream) => {
    fc.assert(
      fc.property(fc.array(leg, { minLength: 1, maxLength: stream ? 1 : 4 }), (legs) => {
        const inner = joined(legs.map((one) => partOf(one, stream)));
        expect(wrap.annotate({ backend: "middle", elapsedMs: 1, nested: true }, inner, stream)).toEqual(inner);
      }),
    );
  });

  it("doesn't take a reply for joined that only looks like it", () => {
    const inner = wrap.annotate({ backend: "leaf", elapsedMs: 0 }, new Uint8Array(0), false);
    const { legs } = read(FanOut, wrap.annotate({ backend: "a", elapsedMs: 0 }, inner, false));
    expect(legs).toMatchObject([{ info: { backend: "a" } }]);
  });

  it.each([
    ["nothing", "", "it has no legs"],
    ["another field", "1200", "field 2 is where a leg must be"],
    ["a leg without info", "0a00", "cut off"],
    ["a leg that begins with a reply", "0a021200", "field 2 is where the info of a leg must be"],
    ["a leg without a name", "0a 04 0a 02 0a 00", "a leg has no name"],
    ["a leg that is cut off", "0a7f0a", "cut off"],
    ["a second leg that is none", "0a050a030a0161 08", "field 1 is where a leg must be"],
  ])("refuses %s in place of a joined reply", (_what, bytes, why) => {
    const annotate = () => wrap.annotate({ backend: "a", elapsedMs: 0, nested: true }, hex(bytes), false);
    expect(annotate).toThrow(why);
    expect(annotate).toThrow(expect.objectContaining({ code: Code.Internal }) as ConnectError);
  });
});
