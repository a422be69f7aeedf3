import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import type { Protocol } from "../../src/call.ts";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import type { CallRecord } from "../../src/observe/call-record.ts";
import { createProxy } from "../../src/proxy.ts";
import { createProxyTransport } from "../../src/universal/transport.ts";
import { createUpstream, type UpstreamOptions } from "../../src/upstream/upstream.ts";
import { type DemoServer, startDemo } from "../support/demo.ts";
import { sleep, until } from "../support/until.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A transport through a proxy of its own. */
async function stage(protocol: Protocol | undefined, to: Partial<UpstreamOptions> = {}, count = 1) {
  const servers: DemoServer[] = [];
  for (let at = 0; at < count; at++) servers.push(await startDemo(to.http ?? "2", `endpoint ${at}`));
  const upstream = createUpstream({ name: "demo", endpoints: servers.map(({ url }) => url), ...to });
  const records: CallRecord[] = [];
  const proxy = createProxy({
    director: () => ({ mode: "one-to-one", upstream }),
    onCall: (record) => records.push(record),
  });
  closers.push(() => upstream.close(), ...servers.map((server) => server.close));
  const transport: Transport = createProxyTransport(proxy, protocol === undefined ? {} : { protocol });
  return { client: createClient(DemoService, transport), records, servers, log: servers[0]!.log };
}

const upstreams: [name: string, options: Partial<UpstreamOptions>][] = [
  ["grpc over HTTP/2", {}],
  ["connect over HTTP/1.1", { protocols: ["connect"], http: "1.1" }],
  ["grpc_web over HTTP/1.1", { protocols: ["grpc_web"], http: "1.1" }],
];
const protocols: (Protocol | undefined)[] = [undefined, "grpc_web", "connect"];
const pairs = upstreams.flatMap(([name, options]) =>
  protocols.map((protocol) => [protocol ?? "default", name, protocol, options] as const),
);

describe("createProxyTransport()", () => {
  it.each(pairs)("carries calls in %s to %s", async (_protocol, _upstream, protocol, options) => {
    const { client, records, log } = await stage(protocol, options);
    let header: string | null = null;
    let trailer: string | null = null;
    const reply = await client.greet(
      { name: "you" },
      {
        headers: { "x-header": "a" },
        onHeader: (headers) => {
          header = headers.get("x-header");
        },
        onTrailer: (headers) => {
          trailer = headers.get("x-trailer");
        },
      },
    );
    expect(reply).toMatchObject({ greeting: expect.stringContaining("hello you"), endpoint: "endpoint 0" });
    expect([header, trailer]).toEqual(["a", "a"]);
    const numbers: number[] = [];
    for await (const { number } of client.countDown({ from: 5 })) numbers.push(number);
    expect(numbers).toEqual([5, 4, 3, 2, 1]);
    async function* requests() {
      for (const number of [1, 2, 3]) yield { number };
    }
    expect((await client.sum(requests())).sum).toBe(6n);
    const error = await client.greet({ name: "fail" }).catch((reason) => ConnectError.from(reason));
    expect(error).toMatchObject({ code: Code.NotFound, rawMessage: "nobody is here" });
    expect((error as ConnectError).metadata.get("x-meta")).toBe("1");
    expect(log.calls).toEqual(["greet", "countDown", "sum", "greet"]);
    expect(records).toHaveLength(4);
    const verbatim = protocol !== undefined && options.protocols?.includes(protocol);
    if (!verbatim) expect(records.map(({ status }) => status)).toEqual([0, 0, 0, Code.NotFound]);
    expect(records[0]!.call).toMatchObject({ protocol: protocol ?? "grpc", authority: "localhost", secure: false });
  });

  it.each([["grpc"], ["grpc_web"], ["connect"]] as const)(
    "reaches services of the proxy's own in %s",
    async (protocol) => {
      const server = await startDemo();
      const upstream = createUpstream({ name: "demo", endpoints: [server.url] });
      closers.push(() => upstream.close(), server.close);
      const proxy = createProxy({
        director: () => ({ mode: "one-to-one", upstream }),
        routes: (router) => router.rpc(DemoService.method.greet, ({ name }) => ({ greeting: name, endpoint: "local" })),
      });
      const client = createClient(DemoService, createProxyTransport(proxy, { protocol }));
      expect(await client.greet({ name: "you" })).toMatchObject({ greeting: "you", endpoint: "local" });
      const replies: string[] = [];
      for await (const { endpoint } of client.countDown({ from: 2 })) replies.push(endpoint);
      expect(replies).toEqual(["upstream", "upstream"]);
    },
  );

  it("runs both directions of a stream at once", async () => {
    const { client } = await stage(undefined);
    const texts: string[] = [];
    let next: (text: string | undefined) => void = () => {};
    async function* requests() {
      for (;;) {
        const text = await new Promise<string | undefined>((resolve) => {
          next = resolve;
        });
        if (text === undefined) return;
        yield { text };
      }
    }
    const replies = client.chat(requests());
    setTimeout(() => next("a"), 20);
    for await (const { text } of replies) {
      texts.push(text);
      await new Promise(setImmediate);
      next(text === "c" ? undefined : String.fromCharCode(text.charCodeAt(0) + 1));
    }
    expect(texts).toEqual(["a", "b", "c"]);
  });

  it("spreads calls over the endpoints", async () => {
    const { client } = await stage(undefined, {}, 2);
    const endpoints = new Set<string>();
    for (let at = 0; at < 6; at++) endpoints.add((await client.greet({})).endpoint);
    expect([...endpoints].sort()).toEqual(["endpoint 0", "endpoint 1"]);
  });

  it("keeps deadlines", async () => {
    const { client, log, records } = await stage(undefined);
    await expect(client.greet({ name: "slow" }, { timeoutMs: 500 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
    await until("the upstream to know", () => log.aborted.length === 1);
    await until("the record", () => records.length === 1);
  });

  it.each([["grpc"], ["connect"]] as const)("carries a cancel in %s to the upstream", async (protocol) => {
    const { client, log, records } = await stage(protocol);
    const abort = new AbortController();
    const pending = client.greet({ name: "slow" }, { signal: abort.signal });
    await until("the call", () => log.calls.length === 1);
    abort.abort();
    await expect(pending).rejects.toMatchObject({ code: Code.Canceled });
    await until("the upstream to know", () => log.aborted.length === 1);
    const second = new AbortController();
    const replies = client.countDown({ from: 0 }, { signal: second.signal })[Symbol.asyncIterator]();
    await replies.next();
    second.abort();
    await expect(replies.next().then(() => replies.next())).rejects.toMatchObject({ code: Code.Canceled });
    await until("the second abort", () => log.aborted.length === 2);
    await until("the records", () => records.length === 2);
    expect(records.map(({ status }) => status)).toEqual([Code.Canceled, Code.Canceled]);
  });

  it("holds back an upstream whose replies nobody reads", async () => {
    const { client, log } = await stage(undefined);
    const abort = new AbortController();
    const replies = client.countDown({ from: 0 }, { signal: abort.signal })[Symbol.asyncIterator]();
    await replies.next();
    for (let before = -1; before !== log.yielded; ) {
      before = log.yielded;
      await sleep(100);
    }
    expect(log.yielded * 10_000).toBeLessThan(4 << 20);
    abort.abort();
  });
});
