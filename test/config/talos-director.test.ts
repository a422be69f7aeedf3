import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { read, talos } from "../layout/messages.ts";
import { freePort } from "../support/free-port.ts";
import { call, connectPeer, envelope } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import type { FieldPair } from "../support/hpack.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { type Program, start } from "../support/program.ts";
import { root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { reply, startUpstream, type Upstream } from "../support/upstream.ts";

const [Reply, Element] = [talos("Reply"), talos("Element")];
const path = "/machine.MachineService/";

/** A node's own server: Version answers with a list of one element, Logs with three elements, one after the other. */
function machine(name: string): (stream: PeerStream) => void {
  return (stream) => {
    const element = (value: string) => create(Element, { value } as Record<string, unknown>);
    const messages = [element(`${name} v1`)];
    const lines = [1, 2, 3].map((line) => envelope(Buffer.from(toBinary(Element, element(`line ${line}`)))));
    const whole = envelope(Buffer.from(toBinary(Reply, create(Reply, { messages } as Record<string, unknown>))));
    reply({ body: stream.field(":path") === `${path}Logs` ? Buffer.concat(lines) : whole })(stream);
  };
}

// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
const entry = ({ metadata, value }: any) =>
  `${metadata?.hostname ?? "-"}: ${metadata?.status ? `${metadata.status.code} ${metadata.error}` : value}`;

describe("examples/talos-director.js", () => {
  const machines: Upstream[] = [];
  const directors: Program[] = [];
  let peer: H2Peer;

  beforeAll(async () => {
    const ports = [await freePort(), await freePort()];
    const others = ports.map((port, at) => `${"ab"[at]}=http://127.0.0.1:${port}`).concat("dead=http://127.0.0.1:1");
    for (const [at, port] of ports.entries()) {
      const own = await startUpstream({ handlers: { "*": machine("ab"[at]!) } });
      machines.push(own);
      const script = `${root}examples/talos-director.js`;
      directors.push(start([process.execPath, script, `127.0.0.1:${port}`, own.url, ...others]));
    }
    for (const director of directors) {
      await until("a director to listen", () => {
        if (director.exit() !== undefined) throw new Error(director.stderr());
        return director.stdout().includes("listening on");
      });
    }
    peer = await connectPeer(ports[0]!);
  });
  afterAll(async () => {
    peer?.socket.destroy();
    for (const director of directors) expect(await director.stop()).toBe(0);
    for (const { close } of machines) await close();
  });

  const ask = (method: string, ...headers: FieldPair[]) => call(peer, path + method, { headers });
  const seen = async (...headers: FieldPair[]) => {
    const { messages, status, message } = await ask("Version", ...headers);
    expect([status, message]).toEqual([0, undefined]);
    return read(Reply, messages![0]!.bytes).messages.map(entry);
  };

  it("sends a call that names no node to the node's own server", async () => {
    expect(await seen()).toEqual(["-: a v1"]);
    expect(machines[0]!.calls.at(-1)!.field("proxyfrom")).toBeUndefined();
  });

  it("sends it to one node, whose reply is as it is", async () => {
    expect(await seen(["node", "b"])).toEqual(["-: b v1"]);
    const { headers } = machines[1]!.calls.at(-1)!;
    const names = headers.map(([name]) => name);
    expect(names).not.toContain("node");
    expect(headers).toContainEqual(["proxyfrom", "test.example"]);
  });

  it("asks many nodes, itself among them, and one alone: replies are merged and say whose they are", async () => {
    expect(await seen(["nodes", "a,b"])).toEqual(["a: a v1", "b: b v1"]);
    expect(await seen(["nodes", "b"], ["nodes", "a"])).toEqual(["b: b v1", "a: a v1"]);
    expect(await seen(["nodes", "b"])).toEqual(["b: b v1"]);
    expect(await seen(["nodes", "a, dead"])).toEqual([
      "a: a v1",
      expect.stringMatching(/^dead: 14 rpc error: code = Unavailable desc = /),
    ]);
  });

  it("passes on the messages of streams, each with its node", async () => {
    const { messages } = await ask("Logs", ["nodes", "a,b,dead"]);
    const entries = messages!.map(({ bytes }) => entry(read(Element, bytes)));
    for (const node of ["a", "b"]) {
      const own = entries.filter((text) => text.startsWith(`${node}:`));
      expect(own).toEqual([1, 2, 3].map((line) => `${node}: line ${line}`));
    }
    expect(entries.filter((text) => text.startsWith("dead: 14"))).toHaveLength(1);
    expect(entries).toHaveLength(7);
  });

  it("doesn't send on what another node has sent", async () => {
    const before = machines[1]!.calls.length;
    expect(await seen(["nodes", "a,b"], ["proxyfrom", "elsewhere"])).toEqual(["-: a v1"]);
    expect(machines[1]!.calls.length).toBe(before);
  });

  it("refuses two values of node, and nodes that it doesn't know", async () => {
    expect(await ask("Version", ["node", "a"], ["node", "b"])).toMatchObject({
      status: 3,
      message: "node metadata must be single-valued",
    });
    expect(await ask("Version", ["nodes", "a,c"])).toMatchObject({ status: 3, message: 'unknown node "c"' });
  });
});
