import { create, createRegistry, equals, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LegInfo } from "../../src/layout/layout.ts";
import { merge, mergeLayout, talosMerge } from "../../src/layout/merge.ts";
import { encodeStatus } from "../../src/wire/rpc-status.ts";
import { hex, joined, read, siderolabs, talos } from "./messages.ts";

const [Reply, Element] = [siderolabs("Reply"), siderolabs("Element")];
const leg = (backend: string): LegInfo => ({ backend, elapsedMs: 1.5 });
const status = (code: number, message: string) => ({ code, message, details: [] });

/** A field that no descriptor knows. */
const unknown = fc.record({
  no: fc.integer({ min: 101, max: 2 ** 20 }),
  wireType: fc.constant(2),
  data: fc.uint8Array({ maxLength: 200 }).map((bytes) => Uint8Array.from([bytes.length, ...bytes].slice(0, 128))),
});

/** Elements without metadata, of any size, also such that the annotation makes their length one byte longer. */
const element: fc.Arbitrary<Message> = fc
  .record({
    value: fc.string({ maxLength: 300 }),
    counter: fc.integer(),
    names: fc.array(fc.string(), { maxLength: 3 }),
    nested: fc.boolean(),
    unknown: fc.array(unknown, { maxLength: 2 }),
  })
  .map(({ value, counter, names, nested, unknown: fields }) => {
    const inner = nested ? { inner: create(Element, { value: "inside" }) } : {};
    const made = create(Element, { value, counter, names, ...inner });
    const $unknown = fields.filter(({ data }) => data[0] === data.length - 1);
    return $unknown.length > 0 ? Object.assign(made, { $unknown }) : made;
  });

const elements = fc.array(element, { maxLength: 4 });
const name = fc.stringMatching(/^[a-z0-9.:-]{1,20}$/);
const replyOf = (response: Message[], others: Message[]) => toBinary(Reply, create(Reply, { response, others }));

function expectElements(actual: readonly Message[], expected: readonly { backend: string; element: Message }[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [at, { backend, element: sent }] of expected.entries()) {
    const { metadata, ...rest } = actual[at] as Message & { metadata: unknown };
    expect(metadata).toMatchObject({ hostname: backend, upstreamError: "" });
    expect(equals(Element, rest as Message, sent, { registry: createRegistry(Element), unknown: true })).toBe(true);
  }
}

describe("merge", () => {
  it.each([
    [
      "a reply",
      () => merge.annotate(leg("server0"), hex("0a100a03666f6f102a1a0773657276657230"), false),
      "0a1d0a03666f6f102a1a07736572766572309a060a9a060773657276657230",
    ],
    [
      "a message of a stream",
      () => merge.annotate(leg("server0"), hex("0a03666f6f102a1a0773657276657230"), true),
      "0a03666f6f102a1a07736572766572309a060a9a060773657276657230",
    ],
    [
      "an error",
      () => merge.fail(leg("server0"), status(Code.FailedPrecondition, "Userspace error."), false),
      "0a4c9a06499a060773657276657230a2063c727063206572726f723a20636f6465203d204661696c6564507265636f6e646974696f6e2064657363203d20557365727370616365206572726f722e",
    ],
    [
      "an error in a stream",
      () => merge.fail(leg("server0"), status(Code.FailedPrecondition, "Userspace error."), true),
      "9a06499a060773657276657230a2063c727063206572726f723a20636f6465203d204661696c6564507265636f6e646974696f6e2064657363203d20557365727370616365206572726f722e",
    ],
  ])("writes %s as the test backend of grpc-proxy v0.5.2 does", (_what, write, expected) => {
    expect(Buffer.from(write()!).toString("hex")).toBe(expected);
  });

  it("tells a client what every leg sent, for any number of elements in several fields", () => {
    const legs = fc.array(fc.record({ backend: name, response: elements, others: elements }), { maxLength: 4 });
    fc.assert(
      fc.property(legs, (all) => {
        const parts = all.map(({ backend, response, others }) =>
          merge.annotate(leg(backend), replyOf(response, others), false),
        );
        const reply = read(Reply, joined(parts));
        const expected = (key: "response" | "others") =>
          all.flatMap((one) => {
            const sent = one[key].map((element) => ({ backend: one.backend, element }));
            const silent = one.response.length + one.others.length === 0 && key === "response";
            return silent ? [{ backend: one.backend, element: create(Element) }] : sent;
          });
        expectElements(reply.response, expected("response"));
        expectElements(reply.others, expected("others"));
      }),
    );
  });

  it("tells a client of a stream what every leg sent", () => {
    fc.assert(
      fc.property(name, element, (backend, sent) => {
        const part = merge.annotate(leg(backend), toBinary(Element, sent), true);
        expectElements([read(Element, part)], [{ backend, element: sent }]);
      }),
    );
  });

  it("keeps the innermost names, so that a tree's reply is that of its leaves", () => {
    const leaf = fc.record({ backend: name, response: fc.array(element, { maxLength: 3 }), fails: fc.boolean() });
    const tree = fc.array(fc.array(leaf, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(tree, (branches) => {
        const leaves = (of: typeof branches) =>
          of.flat().map(({ backend, response, fails }) => {
            if (fails) return merge.fail(leg(backend), status(Code.Unavailable, "gone"), false)!;
            return merge.annotate(leg(backend), replyOf(response, []), false);
          });
        const outer = branches.map((branch) => merge.annotate(leg("middle"), joined(leaves([branch])), false));
        expect(joined(outer)).toEqual(joined(leaves(branches)));
      }),
    );
  });

  it.each([true, false])("keeps the innermost names in streams (failed: %s)", (failed) => {
    const inner = failed
      ? merge.fail(leg("leaf"), status(Code.Unavailable, "gone"), true)!
      : merge.annotate(leg("leaf"), hex("0a0178"), true);
    expect(merge.annotate(leg("middle"), inner, true)).toEqual(inner);
  });

  it("names an element whose metadata has something else, or an empty name", () => {
    for (const metadata of [{ upstreamError: "x" }, { hostname: "" }]) {
      const sent = replyOf([create(Element, { value: "v", metadata })], []);
      expect(read(Reply, merge.annotate(leg("a"), sent, false)).response).toMatchObject([
        { value: "v", metadata: { hostname: "a", upstreamError: metadata.upstreamError ?? "" } },
      ]);
    }
    // The name is emptied again by a second metadata field: for every decoder there is none.
    const emptied = hex("0a 0d 9a06 04 9a06 01 62 9a06 03 9a06 00");
    expect(read(Reply, emptied).response).toMatchObject([{ metadata: { hostname: "" } }]);
    expect(read(Reply, merge.annotate(leg("a"), emptied, false)).response).toMatchObject([
      { metadata: { hostname: "a" } },
    ]);
  });

  it("puts the endpoint's name in place of others where it must not keep them", () => {
    const strict = mergeLayout({ keepNames: false });
    const sent = replyOf([create(Element, { metadata: { hostname: "root" } })], []);
    expect(read(Reply, strict.annotate(leg("a"), sent, false)).response).toMatchObject([
      { metadata: { hostname: "a" } },
    ]);
  });

  it("reads lengths that are longer than they need be", () => {
    // The annotation adds as many bytes as the rewritten length saves.
    const annotation = 3 + 3 + 1;
    const sent = Uint8Array.from([0x0a, ...new Array(annotation).fill(0x80), 0x00]);
    expect(read(Reply, merge.annotate(leg("a"), sent, false)).response).toMatchObject([
      { metadata: { hostname: "a" } },
    ]);
  });

  it("handles large elements and very many", () => {
    const large = create(Element, { value: "x".repeat(3 << 20) });
    const many = Array.from({ length: 20_000 }, (_, counter) => create(Element, { counter }));
    const reply = read(Reply, merge.annotate(leg("a"), replyOf([large, ...many], [large]), false));
    expect(reply.response).toHaveLength(20_001);
    expect(reply.response.every((one: { metadata: { hostname: string } }) => one.metadata.hostname === "a")).toBe(true);
    expect(reply.others[0].value).toHaveLength(3 << 20);
  });

  it.each([
    ["a varint at its top", "1005", "field 2 is a varint"],
    ["a varint behind an element", "0a00 1005", "field 2 is a varint"],
    ["64 bits at its top", "19 0000000000000000", "field 3 is 64 bits"],
    ["32 bits at its top", "1d 00000000", "field 3 is 32 bits"],
    ["a group at its top", "0b 0c", "field 1 is a group"],
    ["a string at its top", "0a 03 666f6f", "field 1 is not a message"],
    ["an element that is cut off", "0a 05 0a", "cut off: 5 bytes wanted at byte 2"],
    ["a tag that is cut off", "80", "cut off within a varint at byte 1"],
    ["field 0", "02 00", "invalid tag 2"],
    ["wire type 6", "0e 00", "invalid tag 14"],
    ["a tag that never ends", "ff".repeat(11), "varint of more than 10 bytes"],
    ["a length of 2^63", "0a ffffffffffffffff7f", "cut off"],
    ["an element with a group that has no end", "0a 01 0b", "field 1 is not a message"],
    ["an element with the end of another group", "0a 02 0b 14", "end of another group"],
    ["an element with an end of nothing", "0a 01 0c", "end of a group that didn't begin"],
    ["metadata that is no message", "0a 04 9a06 01 ff", "field 1 is not a message"],
  ])("refuses a reply with %s", (_what, bytes, why) => {
    const annotate = () => merge.annotate(leg("a"), hex(bytes), false);
    expect(annotate).toThrow(ConnectError);
    expect(annotate).toThrow(why);
    expect(annotate).toThrow('[internal] the reply is not of the layout "merge"');
  });

  it("passes groups within elements", () => {
    const sent = hex("0a 06 0b 10 05 13 14 0c");
    expect(Buffer.from(merge.annotate(leg("a"), sent, false)).toString("hex")).toBe("0a0d0b100513140c9a06049a060161");
  });

  it("refuses groups that are too deep", () => {
    const deep = Uint8Array.from([...new Array(1000).fill(0x0b), ...new Array(1000).fill(0x0c)]);
    expect(() => merge.annotate(leg("a"), deep, true)).toThrow("groups more than 100 deep");
  });

  it("takes any bytes apart as protobuf-es does, or refuses them", () => {
    // Mutations of real replies get further than noise.
    const sent = fc.tuple(elements, elements).map(([response, others]) => replyOf(response, others));
    const mutated = fc
      .tuple(sent, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([bytes, changes]) => {
        const copy = Uint8Array.from(bytes);
        for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 50 })), fc.boolean(), (bytes, stream) => {
        let part: Uint8Array;
        try {
          part = merge.annotate(leg("a"), bytes, stream);
        } catch (error) {
          expect(error).toBeInstanceOf(ConnectError);
          return;
        }
        const type = stream ? Element : Reply;
        const before = tryRead(type, bytes);
        // protobuf-es reads over the end of a message that is cut off, and overlong numbers: not what this is about.
        if (before === undefined || toBinary(type, before).length !== bytes.length) return;
        // An element in a list that this client's schema doesn't know is annotated all the same, and not seen here.
        if (!stream && before.$unknown !== undefined) return;
        const after = read(type, part);
        const [sent, got] = stream ? [[before], [after]] : [all(before), all(after)];
        expect(got).toHaveLength(Math.max(sent.length, 1));
        for (const [at, one] of got.entries()) {
          expect(one.metadata.hostname).toBe(sent[at]?.metadata?.hostname || "a");
          expect(one.value).toBe(sent[at]?.value ?? "");
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    [{ metadata: 0 }, 'invalid field number 0 for "metadata"'],
    [{ element: 2 ** 29 }, 'for "element"'],
    [{ error: 19_500 }, 'invalid field number 19500 for "error"'],
    [{ hostname: 1.5 }, 'invalid field number 1.5 for "hostname"'],
    [{ hostname: 100 }, "hostname, error and status need numbers of their own"],
  ])("can't be made with %j", (fields, why) => {
    expect(() => mergeLayout({ fields })).toThrow(why);
  });

  it("takes other numbers", () => {
    const layout = mergeLayout({ name: "mine", fields: { element: 7, metadata: 5, hostname: 9, error: 2, status: 4 } });
    expect(layout.name).toBe("mine");
    const failed = layout.fail(leg("a"), status(5, "x"), false)!;
    const text = Buffer.from("rpc error: code = NotFound desc = x");
    const details = Buffer.from(encodeStatus(status(5, "x")));
    const metadata = Buffer.concat([
      Buffer.of(0x12, text.length),
      text,
      Buffer.of(0x22, details.length),
      details,
      hex("4a0161"),
    ]);
    const expected = Buffer.concat([Buffer.of(0x3a, metadata.length + 2, 0x2a, metadata.length), metadata]);
    expect(Buffer.from(failed)).toEqual(expected);
  });
});

describe("talosMerge", () => {
  it("writes metadata, error and status where Talos reads them", () => {
    const sent = toBinary(talos("Reply"), create(talos("Reply"), { messages: [{ value: "v1" }, { value: "v2" }] }));
    const details = [{ type: "google.rpc.RetryInfo", value: Uint8Array.of(10, 0) }];
    const failed = { code: 14, message: "gone", details };
    const reply = read(
      talos("Reply"),
      joined([talosMerge.annotate(leg("n1"), sent, false), talosMerge.fail(leg("n2"), failed, false)!]),
    );
    expect(reply.messages).toMatchObject([
      { value: "v1", metadata: { hostname: "n1", error: "" } },
      { value: "v2", metadata: { hostname: "n1" } },
      {
        value: "",
        metadata: {
          hostname: "n2",
          error: "rpc error: code = Unavailable desc = gone",
          status: {
            code: 14,
            message: "gone",
            details: [{ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value: Uint8Array.of(10, 0) }],
          },
        },
      },
    ]);
    expect(reply.messages[0].metadata.status).toBeUndefined();
  });
});

/** The elements of a reply. */
function all({ response, others }: ReturnType<typeof read>): ReturnType<typeof read>[] {
  return [...response, ...others];
}

function tryRead(type: typeof Reply, bytes: Uint8Array) {
  try {
    return read(type, bytes);
  } catch {
    return undefined;
  }
}
