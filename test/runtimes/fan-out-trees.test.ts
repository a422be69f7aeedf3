/** Manifolds in front of Manifolds: trees of fan-outs, whose replies are flat and keep the innermost names; and loops, which end. */
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { read, siderolabs } from "../layout/messages.ts";
import { freePort } from "../support/free-port.ts";
import {
  type CallOptions,
  type CallResult,
  call,
  connectPeer,
  envelope,
  openEnvelopes,
  requestFields,
  startCall,
} from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { until } from "../support/until.ts";
import { reply } from "../support/upstream.ts";
import {
  answerAsTold,
  deadUrl,
  entriesIn,
  entriesOf,
  kinds,
  type Nodes,
  startNodes,
  streamedEntries,
} from "./nodes.ts";
import { check, onRuntime, runtime } from "./suite.ts";

/** Two regions of two nodes each, each with a Manifold, and a Manifold in front of these. */
onRuntime("trees of fan-outs", () => {
  let nodes: Nodes;
  const manifolds: Manifold[] = [];
  let peer: H2Peer;

  beforeAll(async () => {
    nodes = await startNodes(5);
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const route = (service: string, fanOut: object) => ({ match: { service }, fan_out: { kind: kinds, ...fanOut } });
    const routes = [
      route("test.Wrap", { to: "own" }),
      route("test.Merge", { to: "own", layout: "merge" }),
      route("test.Partly", { to: ["own", "dead"], kind: "unary", method: "test.Wrap/Unary" }),
      { match: { service: "test.Each" }, fan_out: { to: "own", method: "test.Wrap/Unary", progressive: true } },
      route("test.Loop", { to: "loop" }),
      route("test.Mesh", { to: "mesh", gather: { max_concurrent: 1 } }),
    ];
    const leaf = { name: "leaf", url: nodes.endpoints[4]!.url };
    const start = (at: number, own: readonly object[]) =>
      startManifold({
        runtime,
        config: {
          listeners: [{ address: `127.0.0.1:${ports[at]}` }],
          upstreams: {
            own: { endpoints: own },
            dead: { endpoints: [{ name: "region-9", url: deadUrl }] },
            loop: { endpoints: [...urls.slice(0, 2), leaf] },
            mesh: { endpoints: [...urls, leaf] },
          },
          routes,
        },
      });
    const regions = [1, 2].map((at) => ({ name: `region-${at}`, url: urls[at]! }));
    const started = [start(0, regions), ...[1, 2].map((at) => start(at, nodes.endpoints.slice(2 * at - 2, 2 * at)))];
    manifolds.push(...(await Promise.all(started)));
    peer = await connectPeer(manifolds[0]!.port);
  });
  beforeEach(() => {
    for (const { calls } of nodes.upstreams) calls.length = 0;
    nodes.on("*", answerAsTold);
  });
  afterAll(async () => {
    peer?.socket.destroy();
    const exits = await Promise.all(manifolds.map((manifold) => manifold.stop()));
    await nodes?.close();
    expect(exits).toEqual([0, 0, 0]);
  });

  const ask = (path: string, told?: string, options: CallOptions = {}) =>
    call(peer, `/test.${path}`, told === undefined ? options : { ...options, headers: [["x-do", told]] });
  const ofAll = (say: string) => [0, 1, 2, 3].map((node) => `node-${node}=${say} of ${node}`);

  check("unary calls and client streams: one flat reply with the names of the nodes", async () => {
    const result = await ask("Wrap/Unary", "0:after 40");
    expect(entriesOf(result)).toEqual(ofAll("hello"));
    expect(result.stream.trailers?.filter(([name]) => name === "x-node-end").map(([, value]) => value)).toEqual([
      ..."0123",
    ]);
    expect(entriesOf(await ask("Wrap/Collect"))).toEqual(ofAll("1"));
    const hops = nodes.upstreams[3]!.calls[0]!.field("manifold-hops");
    expect(hops).toMatch(/^[\da-v]{12}-\w+-\w+\.\w+, [\da-v]{12}-\w+-\w+$/);
  });

  check("what fails in a region is an entry by its own name; a region that fails by the region's", async () => {
    expect(entriesOf(await ask("Wrap/Unary", "1:fail 5 gone,2:fail 7 not you"))).toEqual([
      "node-0=hello of 0",
      "node-1!5 gone",
      "node-2!7 not you",
      "node-3=hello of 3",
    ]);
    const withDead = entriesOf(await ask("Partly/Unary"));
    expect(withDead).toEqual([...ofAll("hello"), expect.stringMatching(/^region-9!14 /)]);
  });

  check("a region that is stalled holds back no other", async () => {
    const [, , stalled] = manifolds;
    stalled!.program.process.kill("SIGSTOP");
    try {
      const stream = startCall(peer, "/test.Wrap/Count");
      const entries = () => streamedEntries({ messages: openEnvelopes(Buffer.concat(stream.chunks)) } as CallResult);
      await until("all of the other region", () => entries().length === 6);
      expect(new Set(entries().map((entry) => entry.slice(0, 6)))).toEqual(new Set(["node-0", "node-1"]));
      stream.sendReset(8);
    } finally {
      stalled!.program.process.kill("SIGCONT");
    }
  });

  check("streams: each message with the name of its node", async () => {
    const entries = streamedEntries(await ask("Wrap/Count", "3:fail 5 gone"));
    for (const node of [0, 1, 2]) {
      const own = entries.filter((entry) => entry.startsWith(`node-${node}`));
      expect(own).toEqual([1, 2, 3].map((number) => `node-${node}=${number} of ${node}`));
    }
    expect(entries.filter((entry) => entry.startsWith("node-3"))).toEqual(["node-3!5 gone"]);
    const chat = streamedEntries(await ask("Wrap/Chat", undefined, { messages: [Buffer.from("a"), Buffer.from("b")] }));
    expect(chat.sort()).toEqual(
      [0, 1, 2, 3].flatMap((node) => [`node-${node}=a of ${node}`, `node-${node}=b of ${node}`]),
    );
  });

  check("progressive: a region's replies as soon as the region has them", async () => {
    const stream = peer.open(requestFields("/test.Each/Get", [["x-do", "2:silent"]]));
    stream.sendData(envelope(Buffer.from("hello")), { end: true });
    const bytes = () => Buffer.concat(stream.chunks);
    await until("the first region", () => stream.bytes > 0);
    expect(entriesIn(bytes().subarray(5))).toEqual(["node-0=hello of 0", "node-1=hello of 1"]);
    stream.sendReset(8);
    await until("the silent node to be cancelled", () => nodes.upstreams[2]!.calls[0]!.reset === 8);
  });

  check("replies that are merged keep the names that they have", async () => {
    const Reply = siderolabs("Reply");
    nodes.on("*", (stream, node) => {
      const response = Array.from({ length: node }, (_, at) => ({ value: `${at}` }));
      reply({ body: envelope(Buffer.from(toBinary(Reply, create(Reply, { response } as Record<string, unknown>)))) })(
        stream,
      );
    });
    const { response } = read(Reply, (await ask("Merge/Unary")).messages![0]!.bytes);
    // biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
    const seen = response.map(({ metadata, value }: any) => `${metadata.hostname}=${value}${metadata.upstreamError}`);
    expect(seen).toEqual(["node-0=", "node-1=0", "node-2=0", "node-2=1", "node-3=0", "node-3=1", "node-3=2"]);
    // a stream's messages are elements: field 1 is their value
    nodes.on("*", (stream, node) => reply({ body: envelope(Buffer.from([10, 1, 65 + node])) })(stream));
    const { messages } = await ask("Merge/Count");
    const streamed = messages!.map(({ bytes }) => read(siderolabs("Element"), bytes));
    expect(streamed.map(({ metadata, value }) => `${metadata.hostname}=${value}`).sort()).toEqual([
      "node-0=A",
      "node-1=B",
      "node-2=C",
      "node-3=D",
    ]);
  });

  check("a loop of two with two endpoints each is refused where it closes", async () => {
    const leaf = nodes.upstreams[4]!.calls;
    for (const [path, count] of [
      ["Loop/Unary", entriesOf],
      ["Loop/Count", streamedEntries],
    ] as const) {
      leaf.length = 0;
      const result = await ask(path);
      expect(result.status).toBe(0);
      // 2 to the power of 8, if hops were only counted
      expect(leaf.length).toBe(2);
      const refused = count(result).filter((entry) => entry.includes("there must be a loop"));
      expect(refused).toHaveLength(3);
      expect(refused[0]).toMatch(
        /!9 call has come back to a fan-out it went through, as its header manifold-hops says/,
      );
      expect(count(result).filter((entry) => entry.startsWith("leaf="))).toHaveLength(path === "Loop/Unary" ? 2 : 6);
    }
  });

  check("a mesh, where all have all, makes few calls of one, though they come one after the other", async () => {
    const result = await ask("Mesh/Unary");
    expect(result.status).toBe(0);
    expect(nodes.upstreams[4]!.calls.length).toBe(5); // each of the ways without a repetition: 0, 01, 012, 02, 021
    expect(entriesOf(result).filter((entry) => entry.startsWith("leaf="))).toHaveLength(5);
  });
});
