/** Decompression bombs that a bridge has to inflate: row B3 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { brotliBomb, gzipBomb } from "../support/bombs.ts";
import { type Caller, type CallerRequest, callAs, callers, type Protocol, sendingCallers } from "../support/callers.ts";
import { envelope } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { chunk } from "../support/http1-call.ts";
import { forgetPeak, peakBytes } from "../support/program.ts";
import { replyWith } from "../support/protocol-upstreams.ts";
import { head, type UpstreamCall } from "../support/upstream-calls.ts";
import { type Bridges, isVerbatim, jsonPath, jsonStreamPath, methodOf, pathTo, setBridges } from "./bridges.ts";
import { check, onRuntime } from "./suite.ts";

const limitMb = 4;
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
    const { pid } = bridges.stage.manifold;
    const statuses: string[] = [];
    await bridges.stage.survive(async () => {
      forgetPeak(pid);
      const outcomes = await Promise.all(legs.map(([caller, request]) => callAs(caller, bridges.stage, request)));
      statuses.push(...outcomes.map(({ status }, at) => `${legs[at]![0].name}: ${status}`));
      const peak = peakBytes(pid);
      if (before === undefined || peak === undefined) return console.warn("peak memory is not measured: no /proc");
      const grownMb = (peak - before) / 2 ** 20;
      expect(grownMb, "MB more than before at the peak").toBeLessThan(2 * maxLegs * limitMb + 32);
    });
    return statuses;
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
