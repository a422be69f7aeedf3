/** What upstreams answer wrongly or oddly, on every way through: rows B7, B8, C1 (upstream's side), C4 and F3 of the table of faults. */
import { afterAll, beforeAll, expect } from "vitest";
import { type Caller, callAs, callers, type Protocol } from "../support/callers.ts";
import { envelope, requestFields, untilBytes } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { Outcome } from "../support/outcomes.ts";
import { replyWith } from "../support/protocol-upstreams.ts";
import { head, type Reply, type UpstreamCall } from "../support/upstream-calls.ts";
import { type Bridges, isVerbatim, methodOf, pathTo, setBridges, upstreamProtocols } from "./bridges.ts";
import { check, onRuntime } from "./suite.ts";

/** A call that is open while others fail, on the same connections. */
const siblingPath = pathTo("grpc", "Sibling");

onRuntime("bridged replies", () => {
  let bridges: Bridges;

  beforeAll(async () => {
    bridges = await setBridges();
  });
  afterAll(() => bridges?.close());

  /** What each caller gets of an answer. A sibling of gRPC has to end well beside them all. */
  async function forAllCallers(
    protocol: Protocol,
    answer: (call: UpstreamCall) => void,
    expectation: (outcome: Outcome, caller: Caller) => void,
  ): Promise<void> {
    const { stage, upstreams } = bridges;
    bridges.reset();
    upstreams[protocol].answer = answer;
    if (protocol === "grpc") upstreams.grpc.answer = (call) => (call.path === siblingPath ? echo(call) : answer(call));
    else upstreams.grpc.answer = echo;
    const peer = await stage.connect();
    const sibling = peer.open(requestFields(siblingPath));
    sibling.sendData(envelope(Buffer.from("one")));
    await untilBytes(sibling, 8);
    for (const caller of callers) {
      const outcome = await callAs(caller, stage, { path: pathTo(protocol, methodOf(caller)), ...own(caller, peer) });
      expectation(outcome, caller);
    }
    sibling.sendData(envelope(Buffer.from("two")), { end: true });
    await sibling.finished;
    expect(sibling.field("grpc-status", "trailers"), "status of the sibling").toBe("0");
    expect(peer.closed).toBe(false);
  }

  const map = { 200: 2, 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 500: 2 };
  for (const protocol of upstreamProtocols) {
    check(`B7 HTTP without an RPC, for ${protocol}, becomes the status of the map, or passes as it is`, async () => {
      await bridges.stage.survive(async () => {
        for (const [http, status] of Object.entries(map)) {
          const html = "<h1>not an RPC</h1>";
          const answer = (call: UpstreamCall) => call.whenEnded(() => call.plain(Number(http), "text/html", html));
          await forAllCallers(protocol, answer, (outcome, caller) => {
            const what = `HTTP ${http} for ${caller.name}`;
            if (protocol === "grpc" || !isVerbatim(caller, protocol)) {
              return expect([what, outcome.status]).toEqual([what, status]);
            }
            expect([what, outcome.http, outcome.status]).toEqual([what, Number(http), undefined]);
            if (!caller.form.endsWith("text")) expect([what, outcome.body.toString()]).toEqual([what, html]);
          });
        }
      });
    });
  }

  /** As gRPC has them, as text, and as our own encoder writes that text. */
  const messages: [raw: string, text: string, encoded: string][] = [
    ["50% off %", "50% off %", "50%25 off %25"],
    ["%zz", "%zz", "%25zz"],
    ["%0d%0aset-cookie:x", "\r\nset-cookie:x", "%0D%0Aset-cookie:x"],
    ["\xc3\xa4\xe2\x82\xac raw", "ä€ raw", "%C3%A4%E2%82%AC raw"],
    ["m".repeat(15 << 10), "m".repeat(15 << 10), "m".repeat(15 << 10)],
  ];
  for (const protocol of upstreamProtocols) {
    check(`B8 grpc-message of any kind, and details with code 0, from ${protocol} stay one error's`, async () => {
      await bridges.stage.survive(async () => {
        for (const [raw, text, encoded] of messages) {
          const reply: Reply =
            protocol === "connect"
              ? { status: 13, message: text }
              : { status: 13, message: raw, details: "CAASBW5vdCAw" };
          await forAllCallers(protocol, replyWith(reply), (outcome, caller) => {
            const what = `${text.slice(0, 20)} for ${caller.name}`;
            const written = protocol === "connect" ? encoded : raw;
            const wanted = caller.protocol === "connect" ? text : written;
            expect([what, outcome.status, outcome.message]).toEqual([what, 13, wanted]);
            expect([what, outcome.broken, outcome.details]).toEqual([what, undefined, detailsFor(protocol, caller)]);
            const names = [...outcome.headers, ...outcome.trailers].map(([name]) => name);
            expect([what, names.filter((name) => name === "set-cookie")]).toEqual([what, []]);
          });
        }
      });
    });
  }

  const malformed: [string, string, string][] = [
    ["LF in a value", "x-bad", "a\nb"],
    ["CR in a value", "x-bad", "a\rset-cookie: b"],
    ["NUL in a value", "x-bad", "a\0b"],
    ["CR in a name", "x-b\rad", "a"],
    ["NUL in a name", "x-b\0ad", "a"],
    ["a space in a name", "x bad", "a"],
    ["no name", "", "bad"],
  ];
  for (const protocol of upstreamProtocols) {
    for (const [what, name, value] of malformed) {
      check(
        `C1 ${what} from ${protocol}, in headers or trailers, reaches no caller, and ends that stream only`,
        async () => {
          await bridges.stage.survive(async () => {
            for (const place of ["headers", "trailers"] as const) {
              if (protocol === "connect" && place === "trailers" && name === "") continue; // "trailer-" is a name
              const reply: Reply = { [place]: [[name, value]] };
              await forAllCallers(protocol, replyWith(reply), (outcome, caller) => {
                // in a body that passes as it is nothing is a header: it is the caller's to read
                if (place === "trailers" && isVerbatim(caller, protocol) && outcome.last !== undefined) return;
                const at = `${place} for ${caller.name}`;
                const seen = [...outcome.headers, ...outcome.trailers].flat().join();
                expect([at, seen]).toEqual([at, expect.not.stringMatching(/bad|cookie/i)]);
                expect([at, outcome.badLines]).toEqual([at, []]);
                // Connect's JSON can have anything: what couldn't be a header is left out of it
                const isLeftOut = protocol === "connect" && place === "trailers" && methodOf(caller) === "Stream";
                if (!isLeftOut) expect([at, outcome.status]).toEqual([at, expect.toSatisfy((status) => status !== 0)]);
              });
            }
          });
        },
      );
    }
  }

  const evil = "HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\nx-evil: 1\r\ncontent-length: 0\r\n\r\n";
  const length = (bytes: number): FieldPair => ["content-length", String(bytes)];
  const chunked: FieldPair = ["transfer-encoding", "chunked"];
  const chunks = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  /** Around the body of a whole answer. */
  const splits: [what: string, splitOf: (whole: string) => [framing: FieldPair[], body: string]][] = [
    ["content-length: 0 and a body", () => [[length(0)], evil]],
    ["a content-length that is too short", (whole) => [[length(whole.length)], whole + evil]],
    ["a content-length that is too long", (whole) => [[length(5_000)], whole]],
    ["two content-lengths", (whole) => [[length(whole.length + evil.length), length(whole.length)], whole + evil]],
    ["content-length and transfer-encoding", (whole) => [[length(whole.length), chunked], chunks(whole) + evil]],
    [
      "transfer-encoding: chunked, identity",
      (whole) => [[["transfer-encoding", "chunked, identity"]], chunks(whole) + evil],
    ],
    // who takes all up to the line's end for the chunk's comes to an end, too
    ["a chunk that is longer than its size", (whole) => [[chunked], chunks(whole).replace(/\r\n0/, "0$&") + evil]],
    ["no length", () => [[], evil]],
  ];
  /** Followed by nothing: the connection ends. */
  const endless = new Set(["a content-length that is too long", "no length"]);
  /** What is before the body can be read. */
  const readable = new Set(["content-length: 0 and a body", "a content-length that is too short", "no length"]);
  for (const protocol of ["connect", "grpc_web"] as const) {
    for (const [what, splitOf] of splits) {
      check(`C4 ${what} from ${protocol} never becomes a response of its own`, async () => {
        const answer = (call: UpstreamCall) => {
          const contentType = call.field("content-type")?.replace("-text", "") ?? "application/proto";
          const [framing, body] = splitOf(wholeBody(contentType));
          call.whenEnded(() => {
            call.request?.send(head([["content-type", contentType], ...framing]), body);
            // else it stays open, for another call to be taken in by what follows
            if (endless.has(what)) call.request?.socket.end(() => setTimeout(() => call.cut(), 20));
          });
        };
        await bridges.stage.survive(async () => {
          await forAllCallers(protocol, answer, (outcome, caller) => {
            const at = `for ${caller.name}`;
            const names = [...outcome.headers, ...outcome.trailers].map(([name]) => name);
            expect([at, names.includes("x-evil")]).toEqual([at, false]);
            const isWhole = outcome.status === 0 && outcome.broken === undefined;
            if (!readable.has(what)) expect([at, isWhole]).toEqual([at, false]);
            // all up to the connection's end is body
            if (what === "no length" && isVerbatim(caller, protocol))
              expect([at, outcome.body.toString()]).toEqual([at, evil]);
          });
          bridges.reset();
          for (const caller of callers) {
            const { status } = await callAs(caller, bridges.stage, { path: pathTo(protocol, methodOf(caller)) });
            expect([caller.name, status]).toEqual([caller.name, 0]);
          }
        });
      });
    }
  }

  check(
    "C4 a content-length from grpc that is true is dropped or made anew, one that isn't ends that stream only",
    async () => {
      const message = Buffer.alloc(1_000, 1);
      await bridges.stage.survive(async () => {
        const honest: Reply = { headers: [["content-length", "1005"]], messages: [message] };
        await forAllCallers("grpc", replyWith(honest), (outcome, caller) => {
          expect([caller.name, outcome.status, outcome.broken]).toEqual([caller.name, 0, undefined]);
          expect(outcome.messages.map(({ bytes }) => bytes)).toEqual([message]);
        });
        for (const length of ["0", "7", "1006", "x"]) {
          const lying: Reply = { headers: [["content-length", length]], messages: [message] };
          await forAllCallers("grpc", replyWith(lying), (outcome, caller) => {
            expect([caller.name, length, outcome.status]).toEqual([
              caller.name,
              length,
              expect.toSatisfy((status) => status !== 0),
            ]);
          });
        }
      });
    },
  );

  const codes = { 7: 14, 8: 1, 11: 8, 2: 13, 12: 7 };
  for (const [reset, status] of Object.entries(codes)) {
    check(
      `F3 RST_STREAM ${reset} from grpc becomes status ${status} for every caller, also behind messages`,
      async () => {
        await bridges.stage.survive(async () => {
          await forAllCallers(
            "grpc",
            ({ stream }) => stream?.sendReset(Number(reset)),
            (outcome, caller) => {
              expect([caller.name, outcome.status]).toEqual([caller.name, status]);
            },
          );
          const behind = (call: UpstreamCall) => {
            call.begin([Buffer.from("1"), Buffer.from("2")]);
            call.stream?.sendReset(Number(reset));
          };
          await forAllCallers("grpc", behind, (outcome, caller) => {
            // what was said before a stream was refused counts: it can't be tried again
            expect([caller.name, outcome.status]).toEqual([caller.name, status]);
            if (outcome.http === 200) expect(outcome.messages.map(({ bytes }) => bytes.toString())).toEqual(["1", "2"]);
          });
        });
      },
    );
  }

  for (const protocol of ["connect", "grpc_web"] as const) {
    check(`F3 a connection that ${protocol} cuts is unavailable, and never a whole answer`, async () => {
      await bridges.stage.survive(async () => {
        await forAllCallers(
          protocol,
          (call) => call.whenEnded(() => call.cut()),
          (outcome, caller) => {
            expect([caller.name, outcome.status]).toEqual([caller.name, 14]);
          },
        );
        const within = (call: UpstreamCall) => {
          call.begin([Buffer.from("1"), Buffer.from("2")]);
          setTimeout(() => call.cut(), 5);
        };
        await forAllCallers(protocol, within, (outcome, caller) => {
          const cut = isVerbatim(caller, protocol) && outcome.broken !== undefined;
          expect([caller.name, outcome.status]).toEqual([caller.name, cut ? undefined : 14]);
        });
      });
    });
  }
});

/** HTTP/2 callers share a connection. */
function own(caller: Caller, peer: H2Peer): { peer?: H2Peer } {
  return caller.http === "2" ? { peer } : {};
}

/** The body of an answer that is a message and a success. */
function wholeBody(contentType: string): string {
  const five = Buffer.from("reply");
  if (contentType === "application/proto") return five.toString("latin1");
  const [last, flag] = contentType.startsWith("application/connect") ? ["{}", 2] : ["grpc-status: 0\r\n", 0x80];
  return Buffer.concat([envelope(five), envelope(Buffer.from(last), flag)]).toString("latin1");
}

/** Each message back as it comes. */
function echo(call: UpstreamCall): void {
  const { stream } = call;
  if (stream === undefined) return;
  call.begin();
  let sent = 0;
  stream.onMore = () => {
    for (; sent < stream.chunks.length; sent++) stream.sendData(stream.chunks[sent]!);
    if (stream.ended) stream.sendTrailers([["grpc-status", "0"]]);
  };
  stream.onMore();
}

/** Details that hold no more than a status: gRPC's pass as they are, Connect has none. */
function detailsFor(protocol: Protocol, caller: Caller): string | undefined {
  return protocol === "connect" || caller.protocol === "connect" ? undefined : "CAASBW5vdCAw";
}
