/**
 * What passes unchanged: rows G1 and G2 of the table of faults, and the part "Transparency" of the behaviours.
 *
 * G1 fails for all calls where trailers are sent one call late; G2 and Trailers-Only fail against Envoy, which adds fields.
 */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect } from "vitest";
import { call, envelope, outcome, requestFields, untilBytes } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { until } from "../support/until.ts";
import { reply, startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { type Stage, setStage } from "./stage.ts";
import { check, onRuntime } from "./suite.ts";

const path = "/manifold.test.Transparency/Get";
const echoPath = "/manifold.test.Transparency/Echo";
const hashPath = "/manifold.test.Transparency/Hash";

const okHeaders: readonly FieldPair[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];

/** Unknown fields, binary ones (padded, not padded, lists), the same name twice, empty and odd values, in this order. */
const odd: readonly FieldPair[] = [
  ["x-unknown", "first"],
  ["x-data-bin", "AAEC/w=="],
  ["x-data-bin", "AAEC/w"],
  ["x-unknown", "second"],
  ["x-list-bin", "AAE, AgM"],
  ["x-empty", ""],
  ["x-latin", "caf\xe9 \xff"],
  ["x-comma", "a,b;q=1"],
  ["cookie", "a=1"],
  ["cookie", "b=2"],
  ["user-agent", "grpc-test/1.0"],
  ["x-unknown", "first"],
];

onRuntime("transparency", () => {
  let upstream: Upstream;
  let stage: Stage;

  beforeAll(async () => {
    upstream = await startUpstream({ handlers: { [hashPath]: answerWithHash } });
    stage = await setStage([upstream.url]);
  });
  afterAll(async () => {
    await stage?.close();
    await upstream?.close();
  });

  check("G1 10,000 calls on 64 streams: every body and trailer is its own call's", async () => {
    const wrong: string[] = [];
    await stage.survive(async () => {
      upstream.calls.length = 0;
      const peer = await stage.connect();
      let started = 0;
      const worker = async () => {
        for (; started < 10_000; ) {
          const number = started++;
          // most are small, some need many frames
          const message = randomBytes(number % 100 === 0 ? 100_000 : number % 500);
          const hash = hashOf(envelope(message));
          const result = await call(peer, hashPath, { messages: [message], headers: [["x-number", String(number)]] });
          const body = result.messages?.[0]?.bytes.toString();
          const said = [body, result.stream.field("x-hash", "trailers"), result.stream.field("x-number")];
          if (said.join() !== [hash, hash, number].join()) wrong.push(`call ${number}: ${said}`);
        }
      };
      await Promise.all(Array.from({ length: 64 }, worker));
      upstream.calls.length = 0;
    });
    expect(wrong).toEqual([]);
  });

  check("G2 request headers reach the upstream as they are, in order", async () => {
    const peer = await stage.connect();
    await call(peer, path, { headers: odd });
    const seen = upstream.calls.at(-1)!;
    const sent = requestFields(path, odd);
    expect(seen.headers.filter(([name]) => !isOfProtocol(name))).toEqual(sent.filter(([name]) => !isOfProtocol(name)));
    expect(Object.fromEntries(seen.headers.filter(([name]) => isOfProtocol(name)))).toEqual(
      Object.fromEntries(sent.filter(([name]) => isOfProtocol(name))),
    );
  });

  check("G2 response headers and trailers of a success reach the client as they are, in order", async () => {
    const headers = [...okHeaders, ...odd];
    const trailers: FieldPair[] = [["grpc-status", "0"], ["grpc-message", "fine"], ...odd];
    upstream.handle(path, reply({ headers, body: envelope(Buffer.from("x")), trailers }));
    const { stream } = await call(await stage.connect(), path);
    expect(stream.headers).toEqual(headers);
    expect(stream.trailers).toEqual(trailers);
  });

  check("G2 headers and trailers of an error with details reach the client as they are, in order", async () => {
    const headers = [...okHeaders, ...odd];
    const trailers: FieldPair[] = [
      ...odd,
      ["grpc-status", "9"],
      ["grpc-message", "not%20now"],
      ["grpc-status-details-bin", "CAkSB25vdCBub3caHgoVdHlwZS5leGFtcGxlL3Rlc3QuSW5mbxIFaGVsbG8"],
    ];
    upstream.handle(path, reply({ headers, trailers }));
    const { stream } = await call(await stage.connect(), path);
    expect(stream.headers).toEqual(headers);
    expect(stream.trailers).toEqual(trailers);
  });

  for (const status of [0, 5, 17, 12345]) {
    check(`Trailers-Only with status ${status} stays one HEADERS frame`, async () => {
      upstream.handle(path, trailersOnly(status, odd));
      const { stream } = await call(await stage.connect(), path);
      expect(stream.endedByHeaders).toBe(true);
      expect(stream.headers).toEqual([...okHeaders, ["grpc-status", String(status)], ...odd]);
      expect(stream.bytes).toBe(0);
    });
  }

  check("messages of an unknown encoding and with odd flags pass byte for byte", async () => {
    const message = randomBytes(5_000);
    const body = Buffer.concat([envelope(message, 1), envelope(Buffer.alloc(0), 0), envelope(message, 0x7e)]);
    const headers: FieldPair[] = [
      ["grpc-encoding", "x-homemade"],
      ["grpc-accept-encoding", "x-homemade,identity"],
    ];
    upstream.handle(path, reply({ headers: [...okHeaders, headers[0]!], body }));
    const result = await call(await stage.connect(), path, { headers, body });
    expect(Buffer.concat(result.stream.chunks).equals(body)).toBe(true);
    expect(result.stream.field("grpc-encoding")).toBe("x-homemade");
    const seen = upstream.calls.at(-1)!;
    expect(Buffer.concat(seen.chunks).equals(body)).toBe(true);
    expect(seen.headers.slice(-2)).toEqual(headers);
  });

  check("any codec and any content-type parameter passes", async () => {
    const peer = await stage.connect();
    for (const type of [
      "application/grpc+proto",
      "application/grpc+json",
      "application/grpc+x.y",
      "application/grpc;v=1",
    ]) {
      const fields = requestFields(path).map(
        (field): FieldPair => (field[0] === "content-type" ? [field[0], type] : field),
      );
      const headers: FieldPair[] = [
        [":status", "200"],
        ["content-type", type],
      ];
      upstream.handle(path, reply({ headers }));
      const stream = peer.open(fields, { end: true });
      await stream.finished;
      expect(outcome(stream).status).toBe(0);
      expect(stream.field("content-type")).toBe(type);
      expect(upstream.calls.at(-1)?.field("content-type")).toBe(type);
    }
  });

  check("response headers go out before the first message", async () => {
    upstream.handle(path, (stream) => stream.sendHeaders([...okHeaders, ["x-early", "1"]]));
    const stream = (await stage.connect()).open(requestFields(path));
    await until("the response headers", () => stream.field("x-early"));
    expect(stream.bytes).toBe(0);
    stream.sendReset(8);
  });

  check("half-close reaches the upstream while replies continue, and replies flow before it", async () => {
    const peer = await stage.connect();
    const stream = peer.open(requestFields(path));
    upstream.handle(path, (seen) => seen.sendHeaders(okHeaders));
    stream.sendReset(8);
    const second = peer.open(requestFields(path));
    await until("the response headers", () => second.headers.length > 0);
    const seen = upstream.calls.at(-1)!;
    for (const word of ["one", "two", "three"]) {
      second.sendData(envelope(Buffer.from(word)));
      await untilBytes(seen, second.bytes + 8);
      seen.sendData(seen.chunks.at(-1)!);
      await until("the reply", () => second.bytes === seen.bytes);
      expect(seen.ended).toBe(false);
    }
    second.sendData(Buffer.alloc(0), { end: true });
    await until("the half-close upstream", () => seen.ended);
    seen.sendData(envelope(Buffer.from("after")));
    await until("a reply after the half-close", () => second.bytes === seen.bytes + 10);
    seen.sendTrailers([["grpc-status", "0"]]);
    await second.finished;
    expect(outcome(second).status).toBe(0);
  });

  check("a response that ends before the request does is passed, and the request is let go", async () => {
    upstream.handle(path, trailersOnly(7));
    const peer = await stage.connect();
    const stream = peer.open(requestFields(path));
    await stream.finished;
    expect(outcome(stream).status).toBe(7);
    expect((await call(peer, echoPath)).status).toBe(0);
  });

  check("8 MiB in one message pass both ways", async () => {
    const message = randomBytes(8 << 20);
    const result = await call(await stage.connect(), echoPath, { messages: [message] });
    expect(result.status).toBe(0);
    expect(result.messages?.[0]?.bytes.equals(message)).toBe(true);
  });
});

function hashOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function answerWithHash(stream: PeerStream): void {
  stream.onMore = () => {
    if (!stream.ended) return;
    stream.onMore = undefined;
    const hash = hashOf(Buffer.concat(stream.chunks));
    stream.sendHeaders([...okHeaders, ["x-number", stream.field("x-number") ?? ""]]);
    stream.sendData(envelope(Buffer.from(hash)));
    stream.sendTrailers([
      ["grpc-status", "0"],
      ["x-hash", hash],
    ]);
  };
}

/** Pseudo-headers and what a proxy may write anew, in a place of its own. */
function isOfProtocol(name: string): boolean {
  return name.startsWith(":") || name === "te" || name === "content-type";
}
