/** Messages that a bridge has to look into, or to hold: rows B1 and B4 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import {
  type Caller,
  type CallerRequest,
  callAs,
  callers,
  type Protocol,
  protocolFields,
  type Started,
  sendingCallers,
  startCaller,
  streamingCallers,
} from "../support/callers.ts";
import { envelope, openEnvelopes } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { chunk, Http1Call, http1Request } from "../support/http1-call.ts";
import { readOutcome } from "../support/outcomes.ts";
import { until } from "../support/until.ts";
import { head, type Reply, type UpstreamCall } from "../support/upstream-calls.ts";
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
import { check, onRuntime } from "./suite.ts";

const tooMuch = 64 << 20;
const resourceExhausted = 8;

/** A prefix that says 64 MiB will come, and a few bytes. */
const announced = Buffer.concat([Buffer.from([0, 4, 0, 0, 0]), Buffer.alloc(100)]);

onRuntime("bridged messages", () => {
  let bridges: Bridges;

  beforeAll(async () => {
    bridges = await setBridges();
  });
  afterAll(() => bridges?.close());

  /** Starts a request whose message is too large by what is said of it before it comes. */
  async function announce(caller: Caller, request: Omit<CallerRequest, "body" | "end">): Promise<Started> {
    if (caller.form !== "connect unary")
      return startCaller(caller, bridges.stage, { ...request, body: announced, end: false });
    const length: FieldPair = ["content-length", String(tooMuch)];
    if (caller.http === "2") {
      return startCaller(caller, bridges.stage, { ...request, headers: [length], body: announced, end: false });
    }
    const fields: FieldPair[] = [...protocolFields(caller.form, request), length];
    const line = `POST ${request.path}`;
    const call = new Http1Call(
      bridges.stage.manifold.port,
      Buffer.concat([http1Request(line, fields), Buffer.alloc(100)]),
    );
    return {
      response: call,
      send: (bytes) => call.send(bytes),
      cancel: () => call.socket.destroy(),
      pause: () => call.socket.pause(),
      outcome: () => readOutcome(caller.form, call),
    };
  }

  check("B1 a message in JSON of 64 MiB is resource_exhausted at its prefix, without an upstream call", async () => {
    bridges.reset();
    await bridges.stage.survive(async () => {
      for (const caller of sendingCallers) {
        const path = methodOf(caller) === "Stream" ? jsonStreamPath : jsonPath;
        const started = await announce(caller, { path, codec: "json" });
        await until(`an answer to ${caller.name}`, () => started.response.done);
        expect([caller.name, started.outcome().status]).toEqual([caller.name, resourceExhausted]);
        started.cancel();
      }
    });
    await until("the upstream's calls to be over", () =>
      bridges.upstreams.grpc.calls.every(({ over, ended }) => over || ended),
    );
    expect(bridges.upstreams.grpc.calls.filter(({ bytes }) => bytes > 0)).toEqual([]);
  });

  check("B1 a message in JSON without a length is resource_exhausted once it is larger than 4 MiB", async () => {
    const mebibyte = Buffer.alloc(1 << 20, "a");
    for (const caller of callers.filter(({ form }) => form === "connect unary")) {
      const started = await startCaller(caller, bridges.stage, {
        path: jsonPath,
        codec: "json",
        body: mebibyte,
        end: false,
      });
      for (let at = 0; at < 4; at++) started.send(mebibyte);
      await until(`an answer to ${caller.name}`, () => started.response.done);
      expect([caller.name, started.outcome().status]).toEqual([caller.name, resourceExhausted]);
      started.cancel();
    }
  });

  check(
    "B1 a message of 64 MiB for a unary method of a Connect upstream is resource_exhausted at its prefix",
    async () => {
      const path = pathTo("connect", "Large");
      await callAs(callers[0]!, bridges.stage, { path }); // from here on it is known to be unary
      bridges.reset();
      await bridges.stage.survive(async () => {
        for (const caller of sendingCallers.filter(({ protocol }) => protocol !== "connect")) {
          const started = await announce(caller, { path });
          await until(`an answer to ${caller.name}`, () => started.response.done);
          expect([caller.name, started.outcome().status]).toEqual([caller.name, resourceExhausted]);
          started.cancel();
        }
      });
      expect(bridges.upstreams.connect.calls).toEqual([]);
    },
  );

  /** Replies of which each is too large by what is said of it, without an end. */
  const large: [what: string, protocol: Protocol, answer: (call: UpstreamCall) => void, path: string][] = [
    ["a message", "grpc", (call) => sendGrpc(call), pathTo("grpc")],
    ["a message", "grpc_web", (call) => sendWeb(call, announced), pathTo("grpc_web")],
    ["a frame of trailers", "grpc_web", (call) => sendWeb(call, withFlags(0x80)), pathTo("grpc_web")],
    ["a unary message", "connect", (call) => sendUnary(call, 200), pathTo("connect")],
    ["an error", "connect", (call) => sendUnary(call, 500), pathTo("connect")],
  ];
  for (const [what, protocol, answer, path] of large) {
    check(`B1 ${what} of 64 MiB from ${protocol} is an error at its prefix, where it has to be held`, async () => {
      bridges.reset();
      const { calls } = bridges.upstreams[protocol];
      bridges.upstreams[protocol].answer = (call) => call.whenEnded(() => answer(call));
      const unary = callers.filter(({ form }) => form === "connect unary" || form === "connect GET");
      const others = callers.filter((caller) => !isVerbatim(caller, protocol));
      const holding = what === "a message" ? unary : others;
      await bridges.stage.survive(async () => {
        for (const caller of holding.filter((one) => methodOf(one) === "Unary" || protocol !== "connect")) {
          const { status } = await callAs(caller, bridges.stage, { path });
          const at = `${what} for ${caller.name}`;
          // of the end of a reply nobody but the proxy has said how long it may be
          if (what.endsWith("message")) expect([at, status]).toEqual([at, resourceExhausted]);
          else expect([at, status]).toEqual([at, expect.toBeOneOf([resourceExhausted, 13])]);
        }
      });
      await until("the upstream's calls to be over", () => calls.every(({ over }) => over));
      bridges.reset();
    });
  }

  const five = Buffer.from("hello");
  const bad: [what: string, body: Buffer][] = [
    ["flag 1 without an encoding", envelope(five, 1)],
    ["flags 0x7e", envelope(five, 0x7e)],
    ["a prefix of 4 bytes", envelope(five).subarray(0, 4)],
    ["a length beyond the body", envelope(five).subarray(0, 7)],
    ["a second message", Buffer.concat([envelope(five), envelope(five)])],
  ];
  for (const protocol of upstreamProtocols) {
    check(`B4 bad envelopes to ${protocol} get the upstream's own answer, or one of ours`, async () => {
      await bridges.stage.survive(async () => {
        bridges.reset();
        bridges.upstreams[protocol].answer = (call) => call.whenEnded(() => call.reply(judge(call)));
        for (const caller of sendingCallers.filter(({ form }) => form !== "connect unary")) {
          for (const [what, body] of bad) {
            const { status, broken } = await callAs(caller, bridges.stage, {
              path: pathTo(protocol, methodOf(caller)),
              body,
            });
            const at = `${what} from ${caller.name}`;
            expect([at, status, broken]).toEqual([at, expect.toBeOneOf([3, 12, 13]), undefined]);
          }
        }
      });
      bridges.reset();
    });

    check(`B4 bad envelopes from ${protocol} are told as they are, or as an error`, async () => {
      await bridges.stage.survive(async () => {
        for (const [what, body] of bad) {
          bridges.upstreams[protocol].answer = (call) => call.whenEnded(() => answerStream(call, { body }));
          const isWhole = openEnvelopes(body) !== undefined;
          for (const caller of streamingCallers) {
            const {
              status,
              broken,
              body: seen,
            } = await callAs(caller, bridges.stage, { path: pathTo(protocol, "Stream") });
            const at = `${what} for ${caller.name}`;
            // behind a part of a message nobody may take ours for its rest
            const isError = broken !== undefined || (status !== undefined && status !== 0);
            const isAsItWas = seen.subarray(0, body.length).equals(body) && (isVerbatim(caller, protocol) || isWhole);
            expect([at, isError || isAsItWas]).toEqual([at, true]);
          }
          if (protocol === "connect") continue; // it has no envelopes in unary calls
          for (const caller of callers.filter(({ form }) => form === "connect unary" || form === "connect GET")) {
            const { status } = await callAs(caller, bridges.stage, { path: pathTo(protocol) });
            const at = `${what} for ${caller.name}`;
            expect([at, status]).toEqual([at, expect.toBeOneOf([3, 12, 13])]);
          }
        }
      });
      bridges.reset();
    });
  }

  check(
    "B4 bad envelopes and bad messages in JSON are invalid_argument or unimplemented, without an upstream call",
    async () => {
      bridges.reset();
      const json: [string, Buffer][] = [
        ...bad.slice(0, 4),
        ["no JSON", envelope(Buffer.from("{"))],
        ["another type", envelope(Buffer.from('{"text":1}'))],
      ];
      await bridges.stage.survive(async () => {
        for (const caller of sendingCallers.filter(({ form }) => form !== "connect unary")) {
          for (const [what, body] of json) {
            const { status } = await callAs(caller, bridges.stage, { path: jsonStreamPath, codec: "json", body });
            const at = `${what} from ${caller.name}`;
            expect([at, status]).toEqual([at, expect.toBeOneOf([3, 12, 13])]);
          }
        }
      });
      expect(bridges.upstreams.grpc.calls.filter(({ bytes, ended }) => bytes > 0 || ended)).toEqual([]);
    },
  );
});

/** A reply of gRPC that doesn't end. */
function sendGrpc(call: UpstreamCall): void {
  call.begin();
  call.stream?.sendData(announced);
}

function withFlags(flags: number): Buffer {
  return Buffer.concat([Buffer.from([flags]), announced.subarray(1)]);
}

/** A reply of gRPC-Web that doesn't end, with this in its body. */
function sendWeb({ request }: UpstreamCall, body: Buffer): void {
  const type: FieldPair = ["content-type", "application/grpc-web+proto"];
  request?.send(head([type], 200, "transfer-encoding: chunked\r\n"), chunk(body));
}

/** A unary reply of Connect that says 64 MiB, and some of it. */
function sendUnary({ request }: UpstreamCall, status: number): void {
  const type: FieldPair = ["content-type", status === 200 ? "application/proto" : "application/json"];
  request?.send(head([type], status, `content-length: ${tooMuch}\r\n`), Buffer.alloc(100));
}

/** A stream, to who calls it as one. */
function answerStream(call: UpstreamCall, reply: Reply): void {
  const isUnaryForm = call.field("content-type") === "application/proto";
  if (isUnaryForm) call.plain(415, "text/plain", "a stream");
  else call.reply(reply);
}

/** What a strict server of a unary method says of a request. */
function judge(call: UpstreamCall): Reply {
  if (call.field("content-type") === "application/proto") return {};
  const messages = openEnvelopes(Buffer.concat(call.chunks));
  if (messages === undefined) return { status: 13, message: "cut" };
  if (messages.some(({ flags }) => flags !== 0)) return { status: 13, message: "flags" };
  return messages.length === 1 ? {} : { status: 12, message: `${messages.length} messages` };
}
