/** What clients make of joined replies, with the code that protoc-gen-manifold wrote and the bytes that the layouts write. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, expectTypeOf, it } from "vitest";
import { legOf, legsOf, mergedByBackend, originOf } from "../../src/fan-out-client/fan-out-client.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import type { Layout } from "../../src/layout/layout.ts";
import { merge, mergeLayout, talosMerge } from "../../src/layout/merge.ts";
import { wrap } from "../../src/layout/wrap.ts";
import type { RpcStatus } from "../../src/wire/rpc-status.ts";
import { TextFanOutSchema } from "../plugin/golden/acme/google/v1/names_fanout_pb.ts";
import { byBackend, GetVersionFanOutSchema, WatchLegSchema } from "../plugin/golden/acme/v1/node_fanout_pb.ts";
import {
  type GetVersionResponse,
  GetVersionResponseSchema,
  WatchResponseSchema,
} from "../plugin/golden/acme/v1/node_pb.ts";
import { byBackend as byBackendOfPing, WrappedFanOutSchema } from "../plugin/golden/acme/v1/ping_fanout_pb.ts";
import {
  AskResponseSchema,
  PingOnResponseSchema,
  type PingResponse,
  PingResponseSchema,
  TellResponseSchema,
} from "../plugin/golden/acme/v1/ping_pb.ts";

const detail = create(StatusSchema, { code: 7, message: "a detail" });
const gone: RpcStatus = {
  code: Code.Unavailable,
  message: "gone: 50% ü",
  details: [{ type: "google.rpc.Status", value: toBinary(StatusSchema, detail) }],
};

/** The joined reply of legs that answered with bytes, or failed. */
function join(layout: Layout, legs: readonly (readonly [backend: string, Uint8Array | RpcStatus])[], stream = false) {
  const parts = legs.map(([backend, got]) =>
    got instanceof Uint8Array
      ? layout.annotate({ backend, elapsedMs: 1234.567 }, got, stream)
      : layout.fail({ backend, elapsedMs: 1234.567 }, got, stream)!,
  );
  return Uint8Array.from(Buffer.concat(parts));
}

const version = (text: string) =>
  toBinary(GetVersionResponseSchema, create(GetVersionResponseSchema, { version: text }));

describe("byBackend()", () => {
  it("has a reply or an error of each backend, in their order", () => {
    const bytes = join(wrap, [
      ["node-2", version("v2")],
      ["node-1", gone],
      ["node-3", version("")],
    ]);
    const answers = byBackend(fromBinary(GetVersionFanOutSchema, bytes));
    expectTypeOf(answers).toEqualTypeOf<Map<string, GetVersionResponse | ConnectError>>();
    expect([...answers.keys()]).toEqual(["node-2", "node-1", "node-3"]);
    expect(answers.get("node-2")).toMatchObject({ version: "v2" });
    expect(answers.get("node-3")).toMatchObject({ version: "" });
    const error = answers.get("node-1") as ConnectError;
    expect(error).toBeInstanceOf(ConnectError);
    expect([error.code, error.rawMessage]).toEqual([Code.Unavailable, "gone: 50% ü"]);
    expect(error.findDetails(StatusSchema)).toMatchObject([{ code: 7, message: "a detail" }]);
  });

  it("leaves nothing out where backends have one name", () => {
    const legs = [["a", version("1")] as const, ["a", gone] as const, ["a", version("3")] as const];
    const answers = byBackend(fromBinary(GetVersionFanOutSchema, join(wrap, legs)));
    expect([...answers.keys()]).toEqual(["a", "a (2)", "a (3)"]);
    expect(answers.get("a (2)")).toBeInstanceOf(ConnectError);
  });

  it.each([0, 17, 99, -1])("takes the code %i of a failed leg for unknown", (code) => {
    const bytes = join(wrap, [["a", { ...gone, code }]]);
    expect(byBackend(fromBinary(GetVersionFanOutSchema, bytes)).get("a")).toMatchObject({ code: Code.Unknown });
  });

  it("has an error for a leg that has nothing", () => {
    expect(byBackend(create(GetVersionFanOutSchema, { legs: [{ info: { backend: "a" } }] })).get("a")).toMatchObject({
      code: Code.Internal,
    });
    expect([...byBackend(create(GetVersionFanOutSchema, { legs: [{}] })).keys()]).toEqual([""]);
  });

  it("has replies that protobuf-es unwraps", () => {
    const sent = toBinary(StringValueSchema, create(StringValueSchema));
    const answers = byBackend(fromBinary(TextFanOutSchema, join(wrap, [["a", sent]])));
    expectTypeOf(answers).toEqualTypeOf<Map<string, string | ConnectError>>();
    expect(answers.get("a")).toBe("");
  });
});

const ping = (init: MessageInitShape<typeof PingResponseSchema>) =>
  toBinary(PingResponseSchema, create(PingResponseSchema, init));

describe("byBackend() of merged replies", () => {
  it("has a reply with its own elements, or an error, of each backend", () => {
    const bytes = join(merge, [
      ["a", ping({ response: [{ value: "1" }, { value: "2" }], others: [{ value: "3" }] })],
      ["b", gone],
      ["c", ping({})],
      ["d", ping({ others: [{ value: "4" }] })],
    ]);
    const answers = byBackendOfPing(fromBinary(PingResponseSchema, bytes));
    expectTypeOf(answers).toEqualTypeOf<Map<string, PingResponse | ConnectError>>();
    expect([...answers.keys()].sort()).toEqual(["a", "b", "c", "d"]);
    const metadata = { hostname: "a", upstreamError: "" };
    expect(answers.get("a")).toMatchObject({
      $typeName: "acme.v1.PingResponse",
      response: [
        { value: "1", metadata },
        { value: "2", metadata },
      ],
      others: [{ value: "3", metadata }],
    });
    expect(answers.get("b")).toMatchObject({ code: Code.Unavailable, rawMessage: "gone: 50% ü" });
    expect(answers.get("c")).toMatchObject({ response: [{ value: "" }], others: [] });
    expect(answers.get("d")).toMatchObject({ response: [], others: [{ value: "4" }] });
  });

  it("has the details of Talos' errors", () => {
    const bytes = join(talosMerge, [["a", gone]]);
    const error = byBackendOfPing(fromBinary(TellResponseSchema, bytes)).get("a") as ConnectError;
    expect(error).toMatchObject({ code: Code.Unavailable, rawMessage: "gone: 50% ü" });
    expect(error.findDetails(StatusSchema)).toMatchObject([{ code: 7, message: "a detail" }]);
  });

  it("reads fields of other numbers, and wrapped replies beside them", () => {
    const fields = { element: 2, metadata: 1, hostname: 1, error: 2 };
    const bytes = join(mergeLayout({ fields }), [["a", gone]]);
    expect(byBackendOfPing(fromBinary(AskResponseSchema, bytes)).get("a")).toMatchObject({ code: Code.Unavailable });
    const wrapped = join(wrap, [["a", new Uint8Array(0)]]);
    expect(byBackendOfPing(fromBinary(WrappedFanOutSchema, wrapped)).get("a")).toMatchObject({
      $typeName: "acme.v1.WrappedResponse",
    });
  });

  it("leaves nothing out where backends have one name", () => {
    const bytes = join(merge, [
      ["a", gone],
      ["a", ping({ response: [{ value: "1" }] })],
      ["a", gone],
    ]);
    const answers = mergedByBackend(PingResponseSchema, fromBinary(PingResponseSchema, bytes));
    expect([...answers.entries()].map(([name, got]) => [name, got instanceof ConnectError])).toEqual([
      ["a", true],
      ["a (2)", false],
      ["a (3)", true],
    ]);
  });

  it("has a reply that was not fanned out under no name", () => {
    const reply = fromBinary(PingResponseSchema, ping({ response: [{ value: "1" }] }));
    expect(byBackendOfPing(reply).get("")).toMatchObject({ response: [{ value: "1" }] });
  });
});

describe("legOf()", () => {
  it("reads a message of a stream", () => {
    const sent = toBinary(WatchResponseSchema, create(WatchResponseSchema, { at: 5n }));
    const leg = legOf(fromBinary(WatchLegSchema, join(wrap, [["a", sent]], true)));
    expect(leg).toMatchObject({ backend: "a", elapsedMs: 1234.567, reply: { at: 5n } });
    expect(leg.error).toBeUndefined();
    if (leg.reply !== undefined) expectTypeOf(leg.reply.at).toBeBigInt();
  });

  it("reads a leg that failed", () => {
    const leg = legOf(fromBinary(WatchLegSchema, join(wrap, [["a", gone]], true)));
    expect(leg).toMatchObject({ backend: "a", error: { code: Code.Unavailable } });
    expect(leg.reply).toBeUndefined();
  });
});

describe("legsOf()", () => {
  it("has all legs, also of one name", () => {
    const bytes = join(wrap, [
      ["a", gone],
      ["a", version("2")],
    ]);
    expect(legsOf(fromBinary(GetVersionFanOutSchema, bytes))).toMatchObject([
      { backend: "a", error: { code: Code.Unavailable } },
      { backend: "a", reply: { version: "2" } },
    ]);
  });
});

describe("originOf()", () => {
  it("reads messages of a stream", () => {
    const read = (bytes: Uint8Array) => originOf(PingOnResponseSchema, fromBinary(PingOnResponseSchema, bytes));
    expect(read(join(merge, [["a", new Uint8Array(0)]], true))).toEqual({ backend: "a" });
    expect(read(join(merge, [["a", gone]], true))).toMatchObject({
      backend: "a",
      error: { rawMessage: "gone: 50% ü" },
    });
    expect(read(new Uint8Array(0))).toEqual({ backend: "" });
  });

  it.each([
    ["no such thing", Code.Unknown, "no such thing"],
    ["rpc error: code = NotFound desc = a\nb", Code.NotFound, "a\nb"],
    ["rpc error: code = Code(99) desc = x", Code.Unknown, "x"],
    ["rpc error: code = Nonsense desc = x", Code.Unknown, "rpc error: code = Nonsense desc = x"],
  ])("reads the error %j", (upstreamError, code, rawMessage) => {
    const element = create(PingOnResponseSchema, { metadata: { hostname: "a", upstreamError } });
    expect(originOf(PingOnResponseSchema, element).error).toMatchObject({ code, rawMessage });
  });
});
