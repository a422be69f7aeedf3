import { beforeEach, describe, expect, it } from "vitest";
import { InboundCall } from "../src/call.ts";
import { checkRewrite, forwardFields } from "../src/forward.ts";
import { Indexing } from "../src/http2/field.ts";
import { startTurn, turn } from "../src/http2/turn.ts";
import type { Rewrite } from "../src/route/director.ts";
import type { Pairs } from "./http2/recorder.ts";
import { fieldsOf, grpcRequest, origin, requestWith } from "./in-memory.ts";

interface Options {
  readonly rewrite?: Rewrite;
  readonly secure?: boolean;
  /** Milliseconds from now. */
  readonly left?: number;
}

function forwarded(pairs: Pairs, { rewrite, secure = false, left }: Options = {}): string[] {
  const call = new InboundCall(fieldsOf(pairs), origin);
  const deadline = left === undefined ? undefined : turn.now + left;
  return forwardFields(call, { fields: call.fields, verbatim: true, rewrite, secure, deadline }).map(
    ({ name, value }) => `${name}=${value}`,
  );
}

const plain = grpcRequest.map(([name, value]) => `${name}=${value}`);

beforeEach(() => {
  turn.now = Math.round(turn.now); // fractions of a millisecond don't add up exactly
});

describe("forwardFields()", () => {
  it("passes all of the caller's fields, in their order, doubled ones too", () => {
    const own = [
      ["x-b", "1"],
      ["x-a", "2"],
      ["x-b", "3"],
      ["x-bin", "AAE"],
      ["grpc-encoding", "snappy"],
    ] as const;
    expect(forwarded([...grpcRequest, ...own])).toEqual([...plain, ...own.map((pair) => pair.join("="))]);
  });

  it("gives the same field objects on, so that tables know them", () => {
    const fields = fieldsOf([...grpcRequest, ["x-a", "b"]]);
    const out = forwardFields(new InboundCall(fields, origin), {
      fields,
      verbatim: true,
      rewrite: undefined,
      secure: false,
      deadline: undefined,
    });
    expect(out).toContain(fields.at(-1));
    expect(out).toContain(fields.find(({ name }) => name === ":path"));
  });

  it("says what the upstream's connection is, not what the caller's was", () => {
    expect(forwarded(grpcRequest, { secure: true })).toContain(":scheme=https");
    expect(forwarded(requestWith([":scheme", "https"]))).toContain(":scheme=http");
  });

  it.each<[what: string, pairs: Pairs, count: number]>([
    ["none", grpcRequest.filter(([name]) => name !== "te"), 1],
    ["one", grpcRequest, 1],
    ["two", [...grpcRequest, ["te", "trailers"]], 1],
  ])("sends te: trailers once for %s (fault C2)", (_, pairs, count) => {
    expect(forwarded(pairs).filter((line) => line === "te=trailers")).toHaveLength(count);
  });

  it("drops host, which becomes :authority, and what is for one hop (fault C2)", () => {
    const none = grpcRequest.filter(([name]) => name !== ":authority");
    const hops: Pairs = [
      ["http2-settings", "AAMAAABkAAQAAP__"],
      ["proxy-authorization", "Basic eDp5"],
    ];
    const out = forwarded([...none, ["host", "host.example"], ...hops]);
    expect(out).toContain(":authority=host.example");
    expect(out.join()).not.toMatch(/host=|http2-settings|proxy-/);
    expect(forwarded(none).join()).not.toContain(":authority");
    expect(forwarded([...grpcRequest, ["host", "other"]]).join()).not.toContain("other");
  });

  it("keeps pseudo-headers first", () => {
    const out = forwarded(grpcRequest, { rewrite: { authority: "b", addHeaders: [["x-a", "b"]] } });
    expect(out.findLastIndex((line) => line.startsWith(":"))).toBe(3);
  });

  it("writes what is left of the deadline, without indexing, in place of every grpc-timeout", () => {
    const call = new InboundCall(fieldsOf(requestWith(["grpc-timeout", "10S"])), origin);
    const deadline = call.startedAt + 10_000;
    turn.now = call.startedAt + 2_500;
    const out = forwardFields(call, {
      fields: call.fields,
      verbatim: true,
      rewrite: undefined,
      secure: false,
      deadline,
    });
    startTurn();
    const written = out.filter(({ name }) => name === "grpc-timeout");
    expect(written).toHaveLength(1);
    expect(written[0]!.value).toMatch(/^(7500000|7499999)u$/); // the clock has fractions
    expect(written[0]!.indexing).toBe(Indexing.without);
  });

  it("writes a deadline that has passed as the least there is", () => {
    expect(forwarded(requestWith(["grpc-timeout", "1S"]), { left: -50 })).toContain("grpc-timeout=1n");
  });

  it("sends no grpc-timeout without a deadline, and the route's where the caller has none", () => {
    expect(forwarded(grpcRequest).join()).not.toContain("grpc-timeout");
    expect(forwarded(grpcRequest, { left: 5_000 })).toContain("grpc-timeout=5000000u");
  });

  it("rewrites authority, service and headers", () => {
    const rewrite: Rewrite = {
      authority: "inner.example",
      service: "acme.v2.Users",
      removeHeaders: ["x-secret", "x-other"],
      addHeaders: [
        ["x-added", "1"],
        ["x-secret", "ours"],
      ],
    };
    const out = forwarded([...grpcRequest, ["x-secret", "theirs"], ["x-a", "b"], ["x-secret", "again"]], { rewrite });
    expect(out).toEqual([
      ":method=POST",
      ":scheme=http",
      ":authority=inner.example",
      ":path=/acme.v2.Users/Get",
      "content-type=application/grpc",
      "te=trailers",
      "x-a=b",
      "x-added=1",
      "x-secret=ours",
    ]);
  });
});

describe("checkRewrite()", () => {
  it.each<Rewrite>([
    {},
    {
      authority: "a.example:443",
      service: "acme.v2.Users",
      addHeaders: [
        ["x-a", "b"],
        ["x-bytes", "\xff"],
      ],
    },
    { removeHeaders: ["x-a"], addHeaders: [["x-empty", ""]] },
  ])("takes %j", (rewrite) => {
    expect(() => checkRewrite(rewrite)).not.toThrow();
  });

  it.each<[Rewrite, named: string]>([
    [{ authority: "a\r\nb" }, '"a\\r\\nb"'],
    [{ service: "../other" }, '"../other"'],
    [{ service: "" }, '""'],
    [{ addHeaders: [["x-a", "b\nx-evil: 1"]] }, '"b\\nx-evil: 1"'],
    [{ addHeaders: [["x-a", "日"]] }, '"日"'],
    [{ addHeaders: [["x-a", undefined as unknown as string]] }, "x-a"],
    [{ addHeaders: [["X-Upper", "b"]] }, '"X-Upper"'],
    [{ addHeaders: [["x a", "b"]] }, '"x a"'],
    [{ addHeaders: [[":path", "/b"]] }, '":path"'],
    [{ addHeaders: [["connection", "close"]] }, '"connection"'],
    [{ addHeaders: [["te", "gzip"]] }, '"te"'],
    [{ addHeaders: [["content-length", "5"]] }, '"content-length"'],
  ])("refuses %j and names it", (rewrite, named) => {
    expect(() => checkRewrite(rewrite)).toThrow(named);
  });
});
