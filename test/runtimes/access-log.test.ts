/** The access log: the true status of every call, wherever its protocol has it, and what was refused before it was a call. */
import { connect } from "node:net";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, expect } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { startDemo } from "../support/demo.ts";
import { startManifold } from "../support/manifold.ts";
import { root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const generated = `${root}${runtime === "node" ? "dist" : "src"}/gen/manifold/demo/v1/demo_pb.${runtime === "node" ? "js" : "ts"}`;

/** Answers as the demo service of the tests does to names "fail" and numbers from 404. */
const module = `
import { Code, ConnectError } from "${root}node_modules/@connectrpc/connect/dist/esm/index.js";
import { DemoService } from "${generated}";
export function routes(router) {
  router.rpc(DemoService.method.greet, ({ name }) => {
    if (name === "fail") throw new ConnectError("nobody is here", Code.NotFound);
    return { greeting: name };
  });
  router.rpc(DemoService.method.countDown, async function* ({ from }) {
    yield { number: from };
    if (from === 404) throw new ConnectError("no such number", Code.NotFound);
  });
}
`;

onRuntime("the access log", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function stage(more: object = {}) {
    const upstream = await startDemo();
    cleanups.push(upstream.close);
    const manifold = await startManifold({
      runtime,
      config: {
        listeners: [{ address: "127.0.0.1:0" }],
        upstreams: { main: { endpoints: [upstream.url], protocols: ["grpc", "grpc_web", "connect"] } },
        routes: [{ to: "main" }],
        ...more,
      },
      files: { "services.mjs": module },
      args: ["--access-log", "json"],
    });
    cleanups.push(() => manifold.stop());
    const lines = (message: string) =>
      manifold.program
        .stdout()
        .split("\n")
        .filter((line) => line.includes(`"msg":"${message}"`))
        .map((line) => JSON.parse(line));
    return { port: manifold.port, lines };
  }

  for (const [where, more] of [
    ["verbatim calls", {}],
    ["local services", { module: "./services.mjs" }],
  ] as const) {
    check(`has the true status of ${where}, in every protocol`, async () => {
      const { port, lines } = await stage(more);
      const baseUrl = `http://127.0.0.1:${port}`;
      const transports: Transport[] = [
        createGrpcTransport({ baseUrl }),
        createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
        createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
        createConnectTransport({ baseUrl, httpVersion: "2" }),
        createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
      ];
      for (const transport of transports) {
        const client = createClient(DemoService, transport);
        await client.greet({ name: "you" });
        await expect(client.greet({ name: "fail" })).rejects.toMatchObject({ code: Code.NotFound });
        const counted: number[] = [];
        for await (const { number } of client.countDown({ from: 1 })) counted.push(number);
        await expect(async () => {
          for await (const { number } of client.countDown({ from: 404 })) counted.push(number);
        }).rejects.toMatchObject({ code: Code.NotFound });
        expect(counted).toEqual([1, 404]);
      }
      const expected = transports.flatMap(() => ["ok", "not_found", "ok", "not_found"]);
      await until("the lines", () => lines("call").length === expected.length);
      expect(lines("call").map(({ status }) => status)).toEqual(expected);
    });
  }

  check("has what was refused at the path of a local service", async () => {
    const { port, lines } = await stage({ module: "./services.mjs" });
    const path = "/manifold.demo.v1.DemoService/Greet";
    expect((await fetch(`http://127.0.0.1:${port}${path}`, { method: "DELETE" })).status).toBe(405);
    await until("the line", () => lines("refused").length === 1);
    expect(lines("refused")).toMatchObject([{ http_status: 405, method: "DELETE", path, peer: "127.0.0.1" }]);
  });

  check("has what was refused before it was a call", async () => {
    const { port, lines } = await stage();
    const url = `http://127.0.0.1:${port}`;
    await fetch(`${url}/favicon.ico?x=1`);
    await fetch(`${url}/a.B/C`, { method: "DELETE" });
    await fetch(`${url}/a.B/C`, { method: "POST", headers: { "content-type": "text/plain" }, body: "x" });
    connect(port, "127.0.0.1").end("GET / HTTP/1.1\r\nhost\r\n\r\n");
    await until("the lines", () => lines("refused").length === 4);
    expect(lines("refused")).toMatchObject([
      { http_status: 404, method: "GET", path: "/favicon.ico?x=1", authority: `127.0.0.1:${port}`, peer: "127.0.0.1" },
      { http_status: 405, method: "DELETE", path: "/a.B/C" },
      { http_status: 415, method: "POST", path: "/a.B/C" },
      { http_status: 400, message: expect.any(String), peer: "127.0.0.1" },
    ]);
    expect(lines("call")).toEqual([]);
  });
});
