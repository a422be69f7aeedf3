/** The suite of the examples of examples/hosts, with real clients: what each host is said to carry, it carries. */
import { connect } from "node:net";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { type DemoServer, startDemo } from "../support/demo.ts";
import { run } from "../support/program.ts";
import type { RuntimeName } from "../support/runtimes.ts";
import { sleep, until } from "../support/until.ts";
import { type Host, hosts, isAbsent, type RunningHost, startHost } from "./hosts.ts";

/** Clients that speak to a host, each in its own way. */
function transportsOf({ http, grpc }: Host): [name: string, create: (baseUrl: string) => Transport][] {
  const fetched: [string, (baseUrl: string) => Transport][] = [
    ["connect-web", (baseUrl) => web.createConnectTransport({ baseUrl, useBinaryFormat: true })],
    ["connect-web in JSON with GET", (baseUrl) => web.createConnectTransport({ baseUrl, useHttpGet: true })],
    ["connect-web's gRPC-Web", (baseUrl) => web.createGrpcWebTransport({ baseUrl })],
  ];
  const httpVersion = http;
  return [
    ["Connect", (baseUrl) => node.createConnectTransport({ baseUrl, httpVersion })],
    ["gRPC-Web", (baseUrl) => node.createGrpcWebTransport({ baseUrl, httpVersion })],
    ...(grpc ? ([["gRPC", (baseUrl) => node.createGrpcTransport({ baseUrl })]] as typeof fetched) : []),
    // fetch of Node speaks HTTP/1.1 alone
    ...(http === "1.1" ? fetched : []),
  ];
}

const isWeb = (transport: string) => transport.startsWith("connect-web");

/** The tests of the hosts of a runtime: a file for each, so that they run beside each other. */
export function testHostsOn(runtime: RuntimeName): void {
  for (const host of hosts) if (host.runtime === runtime) describe(`mounted in ${host.name}`, () => testHost(host));
}

function testHost(host: Host): void {
  const absent = isAbsent(host);
  if (host.deafUntilAnswer !== undefined)
    console.warn(`hang-ups before an answer are not tested: ${host.deafUntilAnswer}`);
  let upstream: DemoServer;
  let running: RunningHost;
  beforeAll(async () => {
    if (absent) return;
    upstream = await startDemo();
    running = await startHost(host, upstream.url);
  });
  afterAll(async () => {
    upstream?.close();
    await running?.program.stop("SIGKILL");
  });
  beforeEach(() => Object.assign(upstream.log, { calls: [], aborted: [], yielded: 0 }));
  const test = it.skipIf(absent);
  /** What a host doesn't carry is no test of it. */
  const testIf = (carried: boolean) => (carried ? test : () => {});

  describe.each(transportsOf(host))("%s", (transport, create) => {
    test("unary calls, with headers, trailers and errors", async () => {
      const client = createClient(DemoService, create(running.url));
      const seen: (string | null)[] = [];
      const reply = await client.greet(
        { name: "you" },
        {
          headers: { "x-header": "a" },
          onHeader: (headers) => seen.push(headers.get("x-header")),
          onTrailer: (headers) => seen.push(headers.get("x-trailer")),
        },
      );
      expect(reply).toMatchObject({ greeting: "hello you by grpc", endpoint: "upstream" });
      expect(seen).toEqual(["a", "a"]);
      const error = await client.greet({ name: "fail" }).catch((reason) => ConnectError.from(reason));
      expect(error).toMatchObject({ code: Code.NotFound, rawMessage: "nobody is here" });
      expect((error as ConnectError).metadata.get("x-meta")).toBe("1");
    });

    test("large messages", async () => {
      const name = "n".repeat(1 << 20);
      const reply = await createClient(DemoService, create(running.url)).greet({ name });
      expect(reply.greeting.length).toBe(name.length + "hello  by grpc".length);
    });

    test("streams of replies, each as it comes", async () => {
      const client = createClient(DemoService, create(running.url));
      const yieldedAt: number[] = [];
      for await (const { number } of client.countDown({ from: 4, intervalMs: 150 })) {
        yieldedAt.push(upstream.log.yielded);
        expect(number).toBe(5 - yieldedAt.length);
      }
      expect(yieldedAt).toHaveLength(4);
      expect(yieldedAt[0]).toBeLessThan(4);
    });

    testIf(host.deafUntilAnswer === undefined)("an end when the caller goes away before an answer", async () => {
      const client = createClient(DemoService, create(running.url));
      const abort = new AbortController();
      const pending = client.greet({ name: "slow" }, { signal: abort.signal });
      await until("the call", () => upstream.log.calls.length === 1);
      abort.abort();
      await expect(pending).rejects.toMatchObject({ code: Code.Canceled });
      await until("the upstream to know", () => upstream.log.aborted.length === 1);
    });

    test("an end when the caller goes away in the middle of a stream", async () => {
      const client = createClient(DemoService, create(running.url));
      const abort = new AbortController();
      const replies = client
        .countDown({ from: 1000, intervalMs: 20 }, { signal: abort.signal })
        [Symbol.asyncIterator]();
      await replies.next();
      abort.abort();
      await until("the upstream to know", () => upstream.log.aborted.length === 1);
    });

    test("deadlines", async () => {
      const client = createClient(DemoService, create(running.url));
      await expect(client.greet({ name: "slow" }, { timeoutMs: 500 })).rejects.toMatchObject({
        code: Code.DeadlineExceeded,
      });
      await until("the upstream to know", () => upstream.log.aborted.length === 1);
    });

    testIf(!isWeb(transport))("streams of requests", async () => {
      const client = createClient(DemoService, create(running.url));
      async function* numbers() {
        for (let number = 1; number <= 100; number++) yield { number };
      }
      expect((await client.sum(numbers())).sum).toBe(5050n);
    });

    testIf(!isWeb(transport) && host.http === "2")("streams both ways at once", async () => {
      let send: (text: string | undefined) => void = () => {};
      async function* requests() {
        for (let text: string | undefined = "a"; text !== undefined; ) {
          yield { text };
          text = await new Promise<string | undefined>((resolve) => {
            send = resolve;
          });
        }
      }
      const texts: string[] = [];
      for await (const { text } of createClient(DemoService, create(running.url)).chat(requests())) {
        texts.push(text);
        await sleep(5);
        send(text === "c" ? undefined : String.fromCharCode(text.charCodeAt(0) + 1));
      }
      expect(texts).toEqual(["a", "b", "c"]);
    });
  });

  testIf(!host.grpc)("gRPC is refused with an error that says why", async () => {
    if (host.http === "2") {
      const client = createClient(DemoService, node.createGrpcTransport({ baseUrl: running.url }));
      await expect(client.greet({})).rejects.toMatchObject({
        code: Code.Unimplemented,
        rawMessage: expect.stringContaining("use gRPC-Web or Connect"),
      });
    } else {
      const args = ["-sS", "-i", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "x"];
      const { stdout } = await run(["curl", ...args, `${running.url}/manifold.demo.v1.DemoService/Greet`]);
      expect(stdout).toMatch(/^HTTP\/1.1 (505|200)/);
      expect(stdout).toMatch(/use gRPC-Web or Connect/);
    }
    expect(upstream.log.calls).toEqual([]);
  });

  test("JSON by curl, and what isn't a call", async () => {
    const version = host.http === "2" ? "--http2-prior-knowledge" : "--http1.1";
    const curl = async (...args: string[]) => (await run(["curl", "-sS", version, ...args])).stdout;
    const url = `${running.url}/manifold.demo.v1.DemoService/Greet`;
    const json = ["-H", "content-type: application/json"];
    expect(JSON.parse(await curl(...json, "-d", '{"name":"you"}', url))).toEqual({
      greeting: "hello you by grpc",
      endpoint: "upstream",
    });
    expect(JSON.parse(await curl(...json, "-d", '{"name":"fail"}', url))).toMatchObject({ code: "not_found" });
    const code = ["-o", "/dev/null", "-w", "%{http_code}"];
    expect(await curl(...code, "-X", "DELETE", url)).toBe("405");
    expect(await curl(...code, "-H", "content-type: text/plain", "-X", "POST", url)).toBe("415");
  });

  testIf(host.own !== undefined)("the host's own routes beside it", async () => {
    const response = await fetch(new URL(host.own!, running.url));
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("hello from")]);
  });

  test("backpressure: an upstream whose replies nobody reads is held back", async () => {
    const stop = host.http === "2" ? await stalledOverHttp2(running.url) : await stalledOverHttp1(running.url);
    await until("the call", () => upstream.log.yielded > 0);
    for (let before = -1; before !== upstream.log.yielded && before * 10_000 < 256 << 20; ) {
      before = upstream.log.yielded;
      await sleep(250);
    }
    expect(upstream.log.yielded * 10_000, "bytes that the upstream could send").toBeLessThan(64 << 20);
    stop();
    await until("the upstream to know", () => upstream.log.aborted.length === 1);
  });

  test("many calls at once", async () => {
    const [[, create]] = transportsOf(host) as [[string, (baseUrl: string) => Transport]];
    const client = createClient(DemoService, create(running.url));
    const calls = Array.from({ length: 200 }, async (_, at) => (await client.greet({ name: `${at}` })).greeting);
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 200 }, (_, at) => `hello ${at} by grpc`));
  });
}

/** Begins an endless stream of replies and reads none of them; returns what hangs up. */
async function stalledOverHttp1(url: string): Promise<() => void> {
  const { port, pathname } = new URL(`${url}/manifold.demo.v1.DemoService/CountDown`);
  const socket = connect({ host: "127.0.0.1", port: Number(port) });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.pause();
  const headers = "host: x\r\ncontent-type: application/grpc-web+proto\r\ncontent-length: 5";
  socket.write(`POST ${pathname} HTTP/1.1\r\n${headers}\r\n\r\n\0\0\0\0\0`);
  return () => socket.destroy();
}

/** The same; the client takes what its window of 10 MB allows. */
async function stalledOverHttp2(baseUrl: string): Promise<() => void> {
  const abort = new AbortController();
  const client = createClient(DemoService, node.createGrpcWebTransport({ baseUrl, httpVersion: "2" }));
  await client.countDown({ from: 0 }, { signal: abort.signal })[Symbol.asyncIterator]().next();
  return () => abort.abort();
}
