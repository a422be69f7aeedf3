import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { Field, valueOf } from "../../src/http2/field.ts";
import { createLocalRoutes } from "../../src/local/routes.ts";
import { type LocalOutcome, serveLocal } from "../../src/local/serve-local.ts";
import type { Proxy } from "../../src/proxy.ts";
import { discardRest } from "../../src/refuse.ts";
import { type Server, serve } from "../../src/serve/serve.ts";
import { demoRoutes, newLog } from "../support/demo.ts";
import { sleep, until } from "../support/until.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server of nothing but local routes. */
async function stage(httpVersion: "1.1" | "2.0" = "2.0") {
  const log = newLog();
  const routes = createLocalRoutes(demoRoutes("local", log));
  const outcomes: LocalOutcome[] = [];
  const proxy: Proxy = {
    accept({ stream, fields, origin }) {
      const handler = routes.match(valueOf(fields, ":path")!);
      if (handler !== undefined) {
        return serveLocal(handler, { stream, fields, origin, httpVersion, onEnd: (outcome) => outcomes.push(outcome) });
      }
      stream.sendHeaders([new Field(":status", "404")], true);
      return discardRest(stream);
    },
  } as Proxy;
  const server = await serve(proxy, { listen: ["127.0.0.1:0"] });
  closers.push(() => server.closeNow());
  return { log, outcomes, server, url: `http://127.0.0.1:${server.addresses[0]!.port}` };
}

const transports: [name: string, create: (baseUrl: string) => Transport][] = [
  ["grpc", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["grpc_web over HTTP/2", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
  ["grpc_web over HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["connect over HTTP/2", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ["connect over HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "connect in JSON with GET",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false, useHttpGet: true }),
  ],
];

describe("serveLocal()", () => {
  it.each(transports)("serves %s", async (_name, create) => {
    const { url, outcomes } = await stage();
    const client = createClient(DemoService, create(url));
    let trailer: string | null = null;
    const options = {
      headers: { "x-header": "a" },
      onTrailer: (headers: Headers) => {
        trailer = headers.get("x-trailer");
      },
    };
    expect(await client.greet({ name: "you" }, options)).toMatchObject({ endpoint: "local" });
    expect(trailer).toBe("a");
    const numbers: number[] = [];
    for await (const { number } of client.countDown({ from: 3 })) numbers.push(number);
    expect(numbers).toEqual([3, 2, 1]);
    async function* requests() {
      for (const number of [1, 2, 3]) yield { number };
    }
    expect((await client.sum(requests())).sum).toBe(6n);
    const error = await client.greet({ name: "fail" }).catch((reason) => reason);
    expect(error).toMatchObject({ code: Code.NotFound, rawMessage: "nobody is here" });
    await until("the outcomes", () => outcomes.length === 4);
    expect(outcomes.map(({ error: reason }) => reason)).toEqual([undefined, undefined, undefined, undefined]);
    expect(outcomes[1]).toMatchObject({ status: 200, responseBytes: expect.any(Number) });
    expect(outcomes.map(({ status, grpcStatus }) => grpcStatus ?? (status === 200 ? "0" : ""))).toEqual([
      "0",
      "0",
      "0",
      "5",
    ]);
    expect(outcomes[1]!.responseBytes).toBeGreaterThan(10);
  });

  it("tells the outcome, which is in the trailers or inside the body", async () => {
    const { url, outcomes } = await stage();
    await createClient(DemoService, createGrpcTransport({ baseUrl: url }))
      .greet({ name: "fail" })
      .catch(() => {});
    await until("the outcome", () => outcomes.length === 1);
    expect(outcomes[0]).toMatchObject({ status: 200, grpcStatus: "5" });
    await createClient(DemoService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" }))
      .greet({ name: "fail" })
      .catch(() => {});
    await until("the outcome", () => outcomes.length === 2);
    expect(outcomes[1]).toMatchObject({ status: 404, grpcStatus: "5" });
    await createClient(DemoService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" })).greet({ name: "x" });
    await until("the outcome", () => outcomes.length === 3);
    expect(outcomes[2]).toMatchObject({ status: 200, grpcStatus: undefined });
    for (const create of [createConnectTransport, createGrpcWebTransport]) {
      const numbers = createClient(DemoService, create({ baseUrl: url, httpVersion: "2" })).countDown({ from: 404 });
      const received: number[] = [];
      await expect(async () => {
        for await (const { number } of numbers) received.push(number);
      }).rejects.toMatchObject({ code: Code.NotFound });
      expect(received).toEqual([404]);
    }
    await until("the outcomes", () => outcomes.length === 5);
    expect(outcomes[3]).toMatchObject({ status: 200, grpcStatus: "5" });
    expect(outcomes[4]).toMatchObject({ status: 200, grpcStatus: "5" });
  });

  it("runs both directions of a stream at once", async () => {
    const { url } = await stage();
    const client = createClient(DemoService, createGrpcTransport({ baseUrl: url }));
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
    for await (const { text } of client.chat(requests())) {
      texts.push(text);
      await sleep(5);
      send(text === "c" ? undefined : String.fromCharCode(text.charCodeAt(0) + 1));
    }
    expect(texts).toEqual(["a", "b", "c"]);
  });

  it("answers what isn't a call as Connect's own servers do", async () => {
    const { url } = await stage();
    const path = `${url}/manifold.demo.v1.DemoService/Greet`;
    const json = { "content-type": "application/json" };
    const status = async (target: string, init: RequestInit) => (await fetch(target, init)).status;
    expect(await status(path, { method: "POST", headers: json, body: '{"name":"x"}' })).toBe(200);
    expect(await status(`${path}?x=y`, { method: "POST", headers: json, body: "{}" })).toBe(200);
    expect(await status(path, { method: "DELETE" })).toBe(405);
    expect(await status(path, { method: "POST", headers: { "content-type": "text/plain" }, body: "x" })).toBe(415);
    expect(await status(`${path}s`, { method: "POST", headers: json, body: "{}" })).toBe(404);
  });

  it("refuses bidirectional streams over HTTP/1.1", async () => {
    const { url } = await stage("1.1");
    const response = await fetch(`${url}/manifold.demo.v1.DemoService/Chat`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: "",
    });
    expect(response.status).toBe(505);
  });

  it("holds back a handler whose replies nobody reads, and goes on as they are read", async () => {
    const { url, log } = await stage();
    const abort = new AbortController();
    const replies = createClient(DemoService, createGrpcTransport({ baseUrl: url }))
      .countDown({ from: 0 }, { signal: abort.signal })
      [Symbol.asyncIterator]();
    await replies.next();
    for (let before = -1; before !== log.yielded; ) {
      before = log.yielded;
      await sleep(100);
    }
    const stopped = log.yielded;
    expect(stopped * 10_000).toBeLessThan(32 << 20);
    for (let at = 0; at < 2 * stopped; at++) await replies.next();
    expect(log.yielded).toBeGreaterThan(stopped);
    abort.abort();
    await until("the handler to know", () => log.aborted.length === 1);
  });

  it("holds back a caller whose requests the handler doesn't take", async () => {
    const { url } = await stage();
    let sent = 0;
    const abort = new AbortController();
    async function* endless() {
      for (; ; sent++) yield { text: "x".repeat(10_000) };
    }
    // chat answers each request, and nobody reads its answers: the window of this client is 10 MB
    const replies = createClient(DemoService, createGrpcTransport({ baseUrl: url }))
      .chat(endless(), { signal: abort.signal })
      [Symbol.asyncIterator]();
    await replies.next();
    for (let before = -1; before !== sent; ) {
      before = sent;
      await sleep(100);
    }
    expect(sent * 10_000).toBeLessThan(32 << 20);
    abort.abort();
  });

  it.each(transports.slice(0, 5))("tells the handler when a caller in %s goes away", async (_name, create) => {
    const { url, log, outcomes } = await stage();
    const abort = new AbortController();
    const pending = createClient(DemoService, create(url)).greet({ name: "slow" }, { signal: abort.signal });
    await until("the call", () => log.calls.length === 1);
    abort.abort();
    await expect(pending).rejects.toMatchObject({ code: Code.Canceled });
    await until("the handler to know", () => log.aborted.length === 1);
    await until("the outcome", () => outcomes.length === 1);
  });

  it("ends calls with a status when the server is stopped", async () => {
    const { url, log, server } = await stage();
    const grpc = createClient(DemoService, createGrpcTransport({ baseUrl: url })).greet({ name: "slow" });
    const connect = createClient(DemoService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" })).greet({
      name: "slow",
    });
    const failures = Promise.all([grpc, connect].map((call) => call.catch((reason) => ConnectError.from(reason).code)));
    await until("the calls", () => log.calls.length === 2);
    (server as Server).closeNow();
    expect(await failures).toEqual([Code.Unavailable, Code.Unavailable]);
    await until("the handlers to know", () => log.aborted.length === 2);
  });
});
