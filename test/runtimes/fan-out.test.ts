/** One call to many through the built command: kinds of call, layouts, selection and gather policies. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { read, siderolabs } from "../layout/messages.ts";
import {
  type CallOptions,
  type CallResult,
  call,
  connectPeer,
  envelope,
  openEnvelopes,
  requestFields,
} from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { okHeaders, reply } from "../support/upstream.ts";
import {
  answerAsTold,
  deadUrl,
  entriesIn,
  entriesOf,
  kinds,
  type Nodes,
  replyOf,
  say,
  startNodes,
  streamedEntries,
} from "./nodes.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const mergedReply = siderolabs("Reply");

onRuntime("fan-out", () => {
  let nodes: Nodes;
  let manifold: Manifold;
  let config: object;
  let peer: H2Peer;
  let mute: Awaited<ReturnType<typeof startMute>>;

  beforeAll(async () => {
    nodes = await startNodes(8);
    mute = await startMute();
    const three = nodes.endpoints.slice(0, 3);
    const route = (name: string, fanOut: object) => ({
      match: { service: `test.${name}` },
      fan_out: { to: "three", kind: kinds, ...fanOut },
    });
    config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: {
        three: { endpoints: three },
        eight: { endpoints: nodes.endpoints },
        dead: { endpoints: [{ name: "dead", url: deadUrl }] },
        mute: { endpoints: [{ name: "mute", url: mute.url }], connect_timeout: "200ms" },
      },
      routes: [
        route("Wrap", {}),
        route("Merge", { to: ["three", "dead"], layout: "merge" }),
        route("Numbers", { layout: { merge: { metadata: 5, hostname: 1, error: 2 } } }),
        route("Eight", { to: "eight" }),
        route("Mute", { to: ["three", "mute"] }),
        route("Select", { to: ["three", "dead"], select: { header: "Nodes" } }),
        route("Quorum", { gather: { wait: { quorum: 2 } } }),
        route("First", { gather: { wait: "first" } }),
        route("Timed", { gather: { leg_timeout: "400ms" } }),
        route("Narrow", { to: "eight", gather: { max_concurrent: 2, order: "arrival" } }),
        route("Strict", { gather: { fail: "call" } }),
        route("Bare", { gather: { metadata: "none" } }),
        route("Small", { gather: { max_message: "1KiB" } }),
        { match: { service: "test.Each" }, fan_out: { to: "three", method: "test.Wrap/Unary", progressive: true } },
      ],
    };
    manifold = await startManifold({ runtime, config });
    peer = await connectPeer(manifold.port);
  });
  beforeEach(() => {
    for (const { calls } of nodes.upstreams) calls.length = 0;
    nodes.on("*", answerAsTold);
  });
  afterAll(async () => {
    peer?.socket.destroy();
    const exit = await manifold?.stop();
    await nodes?.close();
    mute?.close();
    expect(exit).toBe(0);
  });

  const ask = (path: string, told?: string, options: CallOptions = {}) => {
    const headers = [...(options.headers ?? []), ...(told === undefined ? [] : [["x-do", told] as const])];
    return call(peer, `/test.${path}`, { ...options, headers });
  };
  const ofAll = (say: (node: number) => string, count = 3) =>
    Array.from({ length: count }, (_, node) => `node-${node}=${say(node)}`);
  const metadata = ({ stream }: CallResult, name: string, from: "headers" | "trailers") =>
    stream[from]?.filter(([known]) => known === name).map(([, value]) => value);

  check("unary calls: the request to all, one reply, in the order of the endpoints", async () => {
    const result = await ask("Wrap/Unary", "0:after 60", { headers: [["x-own", "a"]] });
    expect(entriesOf(result)).toEqual(ofAll((node) => `hello of ${node}`));
    expect(result.status).toBe(0);
    expect(metadata(result, "x-node", "headers")).toEqual(["0", "1", "2"]);
    expect(metadata(result, "x-node-end", "trailers")).toEqual(["0", "1", "2"]);
    for (const { calls } of nodes.upstreams.slice(0, 3)) {
      expect(calls.map((stream) => [stream.field(":path"), stream.field("x-own")])).toEqual([
        ["/test.Wrap/Unary", "a"],
      ]);
      expect(Buffer.concat(calls[0]!.chunks)).toEqual(envelope(Buffer.from("hello")));
    }
    expect(nodes.upstreams[3]!.calls).toEqual([]);
  });

  check("client streams: every message to all, one reply", async () => {
    const messages = Array.from({ length: 100 }, (_, at) => Buffer.from(`${at}`));
    expect(entriesOf(await ask("Wrap/Collect", undefined, { messages }))).toEqual(ofAll((node) => `100 of ${node}`));
  });

  check("server streams: interleaved, in each leg's order; a leg that fails is one entry", async () => {
    const result = await ask("Wrap/Count", "1:fail 9 no more");
    const entries = streamedEntries(result);
    for (const node of [0, 2]) {
      const own = entries.filter((entry) => entry.startsWith(`node-${node}`));
      expect(own).toEqual([1, 2, 3].map((number) => `node-${node}=${number} of ${node}`));
    }
    expect(entries.filter((entry) => entry.startsWith("node-1"))).toEqual(["node-1!9 no more"]);
    expect(result.status).toBe(0);
  });

  check("bidirectional streams: replies while requests go on, half-close, and a leg that ends early", async () => {
    const stream = peer.open(requestFields("/test.Wrap/Chat", [["x-do", "1:fail 5 gone"]]));
    const entries = () => streamedEntries({ messages: opened(stream) } as CallResult).sort();
    const expected = ["node-1!5 gone"];
    for (let at = 0; at < 20; at++) {
      stream.sendData(envelope(Buffer.from(`ping ${at}`)));
      expected.push(`node-0=ping ${at} of 0`, `node-2=ping ${at} of 2`);
      await until(`replies to ping ${at}`, () => entries().length === expected.length);
    }
    expect(entries()).toEqual(expected.sort());
    stream.sendData(Buffer.alloc(0), { end: true });
    await stream.finished;
    expect(stream.field("grpc-status", "trailers")).toBe("0");
  });

  check("replies that are merged: 0, 1 and many elements of several fields, and one of another shape", async () => {
    const Reply = mergedReply;
    const element = (value: string) => ({ value });
    const of = (response: object[], others: object[] = []) => toBinary(Reply, create(Reply, { response, others }));
    const parts = [
      of([element("a"), element("b"), element("c")], [element("x"), element("y")]),
      of([]),
      replyOf("I am no list"),
    ];
    nodes.on("*", (stream, node) => reply({ body: envelope(Buffer.from(parts[node]!)) })(stream));
    const result = await ask("Merge/Unary");
    const { response, others } = read(Reply, result.messages![0]!.bytes);
    const seen = (elements: ReturnType<typeof read>[]) =>
      elements.map(({ metadata, value }) => `${metadata.hostname}=${value}${metadata.upstreamError}`);
    expect(seen(response)).toEqual([
      "node-0=a",
      "node-0=b",
      "node-0=c",
      "node-1=",
      expect.stringMatching(/^node-2=rpc error: code = Internal desc = the reply is not of the layout "merge": /),
      expect.stringMatching(/^dead=rpc error: code = Unavailable desc = /),
    ]);
    expect(seen(others)).toEqual(["node-0=x", "node-0=y"]);
    // a stream's messages are elements
    nodes.on("*", (stream, node) => reply({ body: envelope(Buffer.from([10, 1, 65 + node])) })(stream));
    const streamed = (await ask("Merge/Count")).messages!.map(({ bytes }) => read(siderolabs("Element"), bytes));
    expect(seen(streamed).sort()).toEqual([
      expect.stringMatching(/^dead=rpc error: code = Unavailable desc = /),
      "node-0=A",
      "node-1=B",
      "node-2=C",
    ]);
  });

  check("field numbers of one's own", async () => {
    nodes.on("*", (stream) => reply({ body: envelope(Buffer.from([10, 0])) })(stream));
    const [message] = (await ask("Numbers/Unary")).messages!;
    const one = (node: number) => `0a0a2a080a066e6f64652d3${node}`;
    expect(message!.bytes.toString("hex")).toBe([0, 1, 2].map(one).join(""));
  });

  check("1 MiB from each of 8 legs, and requests of as much", async () => {
    const value = "m".repeat(1 << 20);
    nodes.on("*", (stream, node) => say(`${value}${node}`)(stream));
    const result = await ask("Eight/Unary", undefined, { messages: [Buffer.alloc(1 << 20)] });
    expect(entriesOf(result)).toEqual(ofAll((node) => `${value}${node}`, 8));
    const streamed = streamedEntries(await ask("Eight/Count")).sort();
    expect(streamed).toEqual(ofAll((node) => `${value}${node}`, 8));
    for (const { calls } of nodes.upstreams) expect(calls[0]!.bytes).toBe((1 << 20) + 5);
  });

  check("an endpoint that accepts and says nothing is an entry after its time to connect", async () => {
    const silent = "mute!14 ";
    for (const [path, entries] of [
      ["Mute/Unary", entriesOf],
      ["Mute/Collect", entriesOf],
      ["Mute/Count", streamedEntries],
      ["Mute/Chat", streamedEntries],
    ] as const) {
      const startedAt = performance.now();
      const got = entries(await ask(path));
      expect(
        got.filter((entry) => entry.startsWith(silent)),
        path,
      ).toHaveLength(1);
      expect(got.filter((entry) => entry.startsWith("node-"))).toHaveLength(path === "Mute/Count" ? 9 : 3);
      expect(performance.now() - startedAt).toBeLessThan(5_000); // which is the default
    }
  });

  check("compressed messages: requests pass as they are, replies are inflated where they can be", async () => {
    const plain = replyOf("inflated");
    const answers: [encoding: string, body: Buffer][] = [
      ["gzip", gzipSync(plain)],
      ["br", brotliCompressSync(plain)],
      ["unheard-of", plain],
    ];
    nodes.on("*", (stream, node) => {
      const [encoding, body] = answers[node]!;
      reply({ headers: [...okHeaders, ["grpc-encoding", encoding]], body: envelope(body, 1) })(stream);
    });
    const body = envelope(gzipSync("hello"), 1);
    const headers = [
      ["grpc-encoding", "gzip"],
      ["grpc-accept-encoding", "gzip, br"],
    ] as const;
    const entries = entriesOf(await ask("Wrap/Unary", undefined, { body, headers }));
    expect(entries.slice(0, 2)).toEqual(["node-0=inflated", "node-1=inflated"]);
    expect(entries[2]).toMatch(/^node-2!12 unknown compression "unheard-of"/);
    for (const { calls } of nodes.upstreams.slice(0, 3)) {
      expect(Buffer.concat(calls[0]!.chunks)).toEqual(body);
      expect(calls[0]!.field("grpc-encoding")).toBe("gzip");
      expect(calls[0]!.field("grpc-accept-encoding")).toBeUndefined();
    }
  });

  check("50 at once: each gets its own", async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, at) =>
        ask("Eight/Unary", `${at % 8}:after ${at}`, { messages: [Buffer.from(`call ${at}`)] }),
      ),
    );
    for (const [at, result] of results.entries()) {
      expect(entriesOf(result)).toEqual(ofAll((node) => `call ${at} of ${node}`, 8));
    }
  });

  check(
    "endpoints that a header names, which doesn't pass; unknown ones are refused with those there are",
    async () => {
      const select = (...values: string[]) =>
        ask("Select/Unary", undefined, { headers: values.map((value) => ["nodes", value] as const) });
      expect(entriesOf(await select("node-2, node-0"))).toEqual(["node-0=hello of 0", "node-2=hello of 2"]);
      expect(entriesOf(await select("node-1", "node-1,dead"))).toEqual([
        "node-1=hello of 1",
        expect.stringMatching(/^dead!14 /),
      ]);
      expect(entriesOf(await select())).toHaveLength(4);
      const calls = () => nodes.upstreams.flatMap(({ calls }) => calls);
      expect(calls().map((stream) => stream.field("nodes"))).toEqual(calls().map(() => undefined));
      const before = calls().length;
      for (const [value, message] of [
        ["node-9", 'unknown endpoint "node-9" in header nodes: there are node-0, node-1, node-2, dead'],
        ["node-0,node-9", 'unknown endpoint "node-9" in header nodes: there are node-0, node-1, node-2, dead'],
        [" , ", "no name in header nodes: there are node-0, node-1, node-2, dead"],
      ] as const) {
        const result = await select(value);
        expect([result.status, result.message]).toEqual([3, message]);
      }
      expect(calls().length).toBe(before);
    },
  );

  check("wait for a quorum or the first: the others are cancelled, and entries say so", async () => {
    const cancelled = "!1 not waited for: enough others have answered";
    expect(entriesOf(await ask("Quorum/Unary", "1:silent"))).toEqual([
      "node-0=hello of 0",
      `node-1${cancelled}`,
      "node-2=hello of 2",
    ]);
    await until("the silent leg to be cancelled", () => nodes.upstreams[1]!.calls.at(-1)!.reset === 8);
    expect(entriesOf(await ask("First/Unary", "0:silent,2:fail 13"))).toEqual([
      `node-0${cancelled}`,
      "node-1=hello of 1",
      expect.stringMatching(/^node-2!(13 |1 not waited for)/),
    ]);
    const hopeless = await ask("Quorum/Unary", "0:fail 13,1:fail 14,2:silent");
    expect([hopeless.status, hopeless.message]).toEqual([14, "0 of 3 answered, 2 are needed"]);
    await until("the last leg to be cancelled", () => nodes.upstreams[2]!.calls.at(-1)!.reset === 8);
  });

  check("a leg's time, and the call's where it is shorter", async () => {
    const late = await ask("Timed/Unary", "1:silent", { headers: [["grpc-timeout", "10S"]] });
    expect(entriesOf(late)).toEqual(["node-0=hello of 0", "node-1!4 deadline exceeded", "node-2=hello of 2"]);
    expect(nodes.upstreams[1]!.calls[0]!.field("grpc-timeout")).toMatch(/^\d{1,3}m$|^\d{1,6}u$/);
    const streamed = streamedEntries(await ask("Timed/Count", "1:silent"));
    expect(streamed.filter((entry) => entry.startsWith("node-1"))).toEqual(["node-1!4 deadline exceeded"]);
    expect(streamed).toHaveLength(7);
    expect((await ask("Timed/Unary", "1:silent", { headers: [["grpc-timeout", "50m"]] })).status).toBe(4);
  });

  check("no more legs at once than there may be, entries as they arrive", async () => {
    let open = 0;
    let most = 0;
    nodes.on("*", async (stream, node) => {
      most = Math.max(most, ++open);
      await sleep(node === 0 ? 120 : 10);
      open--;
      say(`of ${node}`)(stream);
    });
    const entries = entriesOf(await ask("Narrow/Unary"));
    expect(most).toBe(2);
    expect(entries).toHaveLength(8);
    expect([...entries].sort()).toEqual(ofAll((node) => `of ${node}`, 8));
    expect(entries.indexOf("node-0=of 0")).toBeGreaterThan(2);
  });

  check("the first error fails the call, if it is to; details and metadata of its own", async () => {
    const result = await ask("Strict/Unary", "0:silent,1:fail 7 not you");
    expect([result.status, result.message, result.messages]).toEqual([7, "not you", []]);
    await until("the silent leg to be cancelled", () => nodes.upstreams[0]!.calls[0]!.reset === 8);
    const stream = await ask("Strict/Count", "0:after 50,1:fail 7 not you");
    expect([stream.status, stream.message]).toEqual([7, "not you"]);
  });

  check("metadata of legs, or none", async () => {
    const result = await ask("Bare/Unary");
    expect(entriesOf(result)).toHaveLength(3);
    expect(metadata(result, "x-node", "headers")).toEqual([]);
    expect(metadata(result, "x-node-end", "trailers")).toEqual([]);
  });

  check("a message above the limit is that leg's failure", async () => {
    nodes.on("*", (stream, node) => say("x".repeat(node === 1 ? 1_100 : 900))(stream));
    const entries = entriesOf(await ask("Small/Unary"));
    expect(entries[1]).toBe("node-1!8 reply of 1103 bytes, at most 1024 may come");
    expect(entries.filter((entry) => entry.endsWith("x"))).toHaveLength(2);
  });

  check("progressive: each leg's reply as soon as it is there", async () => {
    const stream = peer.open(requestFields("/test.Each/Get", [["x-do", "0:silent,2:fail 5 gone"]]));
    stream.sendData(envelope(Buffer.from("hi")), { end: true });
    const entries = () => opened(stream).flatMap(({ bytes }) => entriesIn(bytes));
    await until("two of three", () => entries().length === 2);
    expect(entries().sort()).toEqual(["node-1=hi of 1", "node-2!5 gone"]);
    expect(nodes.upstreams[0]!.calls[0]!.field(":path")).toBe("/test.Wrap/Unary");
    say("late")(nodes.upstreams[0]!.calls[0]!);
    await stream.finished;
    expect(entries().at(-1)).toBe("node-0=late");
    expect(stream.field("grpc-status", "trailers")).toBe("0");
  });

  check("an orderly end waits for fan-outs that are under way", async () => {
    const ending = await startManifold({ runtime, config });
    const other = await connectPeer(ending.port);
    const result = call(other, "/test.Wrap/Unary", { headers: [["x-do", "0:after 400"]] });
    await until("all legs", () => nodes.upstreams.slice(0, 3).every(({ calls }) => calls.length === 1));
    const exit = ending.stop();
    expect(entriesOf(await result)).toEqual(ofAll((node) => `hello of ${node}`));
    expect(await exit).toBe(0);
  });

  check("a caller that cancels ends all legs; one that goes away, too", async () => {
    for (const path of ["Unary", "Count", "Collect", "Chat"]) {
      const before = nodes.upstreams.map(({ calls }) => calls.length);
      const other = await connectPeer(manifold.port);
      const streams = [peer, other].map((one) =>
        one.open(requestFields(`/test.Wrap/${path}`, [["x-do", "0:silent,1:silent,2:silent"]])),
      );
      const legs = () => nodes.upstreams.slice(0, 3).flatMap(({ calls }, node) => calls.slice(before[node]!));
      await until(`all legs of ${path}`, () => legs().length === 6);
      streams[0]!.sendReset(8);
      other.socket.destroy();
      await until(`all legs of ${path} to be cancelled`, () => legs().every(({ reset }) => reset === 8));
    }
  });
});

/** A server that accepts connections, and says nothing on them. */
async function startMute(): Promise<{ url: string; close(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The messages that have come whole. */
function opened(stream: PeerStream): { flags: number; bytes: Buffer }[] {
  return openEnvelopes(Buffer.concat(stream.chunks)) ?? [];
}
