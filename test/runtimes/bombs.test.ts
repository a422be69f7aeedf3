/** Decompression bombs: those that are relayed, and those that a bridge has to inflate; rows B2 and B3 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { brotliBomb, gzipBomb } from "../support/bombs.ts";
import { type Caller, type CallerRequest, callAs, callers, type Protocol, sendingCallers } from "../support/callers.ts";
import { envelope } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { chunk } from "../support/http1-call.ts";
import type { Outcome } from "../support/outcomes.ts";
import { forgetPeak, peakBytes } from "../support/program.ts";
import { replyWith } from "../support/protocol-upstreams.ts";
import { head, type UpstreamCall } from "../support/upstream-calls.ts";
import {
  type Bridges,
  isVerbatim,
  jsonPath,
  jsonStreamPath,
  methodOf,
  pathTo,
  setBridges,
  upstreamProtocols,
} from "./bridges.ts";
import { check, figure, onRuntime, runtime } from "./suite.ts";

const limitMb = 4;
/** The bombs themselves are held where a form asks for their length, and Bun's collector leaves some for later. */
const relayedMb = 128;
/** What a collector leaves for later: Bun's and Deno's peaks were up to 154 and 171 MB. One bomb that is inflated whole is 1,024. */
const garbageMb = { node: 32, bun: 96, deno: 128 }[runtime];
/** At once. */
const maxLegs = 16;
const resourceExhausted = 8;

/** A call of those that are made at once. */
type Leg = [caller: Caller, request: CallerRequest];

onRuntime("bombs", () => {
  let bridges: Bridges;
  const bombs = new Map<string, Buffer>();
  /** Resident bytes before the first bomb. */
  let before: number | undefined;

  beforeAll(async () => {
    bombs.set("gzip", gzipBomb());
    bombs.set("br", await brotliBomb());
    bridges = await setBridges();
    before = bridges.stage.manifold.rss();
    // Until the heap is as large as it gets: that counts for the peak, and is no leak.
    for (let round = 0; round < 3; round++) {
      await Promise.all(inJson("gzip").map(([caller, request]) => callAs(caller, bridges.stage, request)));
    }
  });
  afterAll(() => bridges?.close());

  /** To be inflated, because it is to be translated. */
  function inJson(encoding: string): Leg[] {
    const message = bombs.get(encoding)!;
    return sendingCallers.map((caller): Leg => {
      const isUnary = caller.form === "connect unary";
      const name = caller.form === "connect stream" ? "connect-content-encoding" : "grpc-encoding";
      const headers: FieldPair[] = [[isUnary ? "content-encoding" : name, encoding]];
      const path = methodOf(caller) === "Stream" ? jsonStreamPath : jsonPath;
      return [caller, { path, codec: "json", headers, body: isUnary ? message : envelope(message, 1) }];
    });
  }

  /** Makes all calls at once, sees how far memory goes up, and returns what they came to. */
  async function explode(legs: readonly Leg[]): Promise<string[]> {
    const outcomes = await callAll(legs, 2 * maxLegs * limitMb + garbageMb);
    return outcomes.map(({ status }, at) => `${legs[at]![0].name}: ${status}`);
  }

  async function callAll(legs: readonly Leg[], maxMb: number): Promise<Outcome[]> {
    const { pid } = bridges.stage.manifold;
    let outcomes: Outcome[] = [];
    const fault = async () => {
      for (const { calls } of Object.values(bridges.upstreams)) calls.length = 0;
      forgetPeak(pid);
      outcomes = await Promise.all(legs.map(([caller, request]) => callAs(caller, bridges.stage, request)));
      const peak = peakBytes(pid);
      if (before === undefined || peak === undefined) return console.warn("peak memory is not measured: no /proc");
      const grownMb = (peak - before) / 2 ** 20;
      figure(`${grownMb.toFixed(0)} MB more at the peak`);
      expect(grownMb, "MB more than before at the peak").toBeLessThan(maxMb);
    };
    await bridges.stage.survive(fault, { rounds: 4 });
    return outcomes;
  }

  for (const protocol of upstreamProtocols) {
    check(
      `B2 1 GiB in gzip passes to ${protocol} and back byte for byte, for callers of all forms at once`,
      async () => {
        bridges.reset();
        const bomb = bombs.get("gzip")!;
        const { calls } = bridges.upstreams[protocol];
        bridges.upstreams[protocol].answer = (call) => call.whenEnded(() => replyGzipped(call, bomb));
        const legs = sendingCallers.map((caller): Leg => [caller, gzipped(caller, bomb, protocol)]);
        const outcomes = await callAll(legs, relayedMb);
        for (const [at, { status, messages }] of outcomes.entries()) {
          expect([legs[at]![0].name, status, messages.length]).toEqual([legs[at]![0].name, 0, 1]);
          expect(messages[0]!.bytes.equals(bomb), `what ${legs[at]![0].name} got`).toBe(true);
        }
        expect(calls.length).toBe(legs.length);
        for (const call of calls) expect(payloadOf(call).equals(bomb), `what came to ${call.path}`).toBe(true);
        bridges.reset();
      },
    );
  }

  for (const encoding of ["gzip", "br"]) {
    check(`B3 1 GiB in ${encoding}, in JSON, from callers of all forms at once is resource_exhausted`, async () => {
      bridges.reset();
      expect(await explode(inJson(encoding))).toEqual(
        sendingCallers.map(({ name }) => `${name}: ${resourceExhausted}`),
      );
      expect(bridges.upstreams.grpc.calls.filter(({ bytes }) => bytes > 0)).toEqual([]);
    });

    check(`B3 1 GiB in ${encoding} from an upstream is resource_exhausted where it has to be inflated`, async () => {
      const body = envelope(bombs.get(encoding)!, 1);
      bridges.upstreams.grpc.answer = replyWith({ headers: [["grpc-encoding", encoding]], body });
      const json: CallerRequest = { path: jsonPath, codec: "json", message: Buffer.from("{}") };
      const unary = callers.filter(({ form }) => form === "connect unary" || form === "connect GET");
      const legs = [
        ...callers.map((caller): Leg => [caller, json]),
        // they haven't said that they read this
        ...unary.map((caller): Leg => [caller, { path: pathTo("grpc") }]),
      ];
      expect(await explode(legs)).toEqual(legs.map(([{ name }]) => `${name}: ${resourceExhausted}`));
      bridges.reset();
    });

    for (const protocol of ["connect", "grpc_web"] as const) {
      check(
        `B3 1 GiB in ${encoding} as the end of a reply of ${protocol}, or as an error, is never inflated whole`,
        async () => {
          const bomb = bombs.get(encoding)!;
          bridges.upstreams[protocol].answer = (call) =>
            call.whenEnded(() => sendAsEnd(call, protocol, encoding, bomb));
          const legs = callers
            .filter((caller) => !isVerbatim(caller, protocol))
            .map((caller): Leg => [caller, { path: pathTo(protocol, methodOf(caller)) }]);
          for (const status of await explode(legs)) expect(status).toMatch(/: (8|13|14)$/);
          bridges.reset();
        },
      );
    }
  }
});

/** One message that is compressed already, from who reads answers that are. */
function gzipped(caller: Caller, message: Buffer, protocol: Protocol): CallerRequest {
  const isUnary = caller.form === "connect unary";
  const prefix = isUnary ? "" : caller.form === "connect stream" ? "connect-" : "grpc-";
  const headers: FieldPair[] = [
    [isUnary ? "content-encoding" : `${prefix}${prefix === "grpc-" ? "" : "content-"}encoding`, "gzip"],
    [`${prefix}accept-encoding`, "gzip"],
  ];
  return { path: pathTo(protocol, methodOf(caller)), headers, body: isUnary ? message : envelope(message, 1) };
}

function replyGzipped(call: UpstreamCall, message: Buffer): void {
  const type = call.field("content-type") ?? "";
  const isUnary = type === "application/proto";
  const name = isUnary
    ? "content-encoding"
    : type.startsWith("application/connect")
      ? "connect-content-encoding"
      : "grpc-encoding";
  call.reply({ headers: [[name, "gzip"]], body: isUnary ? message : envelope(message, 1) });
}

/** Of a request with one message. */
function payloadOf(call: UpstreamCall): Buffer {
  const body = Buffer.concat(call.chunks);
  const type = call.field("content-type") ?? "";
  if (type === "application/proto") return body;
  return (type.includes("-text") ? Buffer.from(body.toString("latin1"), "base64") : body).subarray(5);
}

/** What ends a reply: a frame of trailers, the end of a stream, an error. */
function sendAsEnd(call: UpstreamCall, protocol: Protocol, encoding: string, bomb: Buffer): void {
  const isStream = call.field("content-type")?.startsWith("application/connect+") === true;
  if (protocol === "connect" && !isStream) {
    const fields: FieldPair[] = [
      ["content-type", "application/json"],
      ["content-encoding", encoding],
    ];
    return call.request?.send(head(fields, 503, `content-length: ${bomb.length}\r\n`), bomb);
  }
  const type = isStream ? "application/connect+proto" : "application/grpc-web+proto";
  const name = isStream ? "connect-content-encoding" : "grpc-encoding";
  const fields: FieldPair[] = [
    ["content-type", type],
    [name, encoding],
  ];
  const last = envelope(bomb, isStream ? 3 : 0x81);
  call.request?.send(head(fields, 200, "transfer-encoding: chunked\r\n"), chunk(last));
}
