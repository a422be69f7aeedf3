/** Services of a module beside the proxy: on the same port, in every protocol, before the routes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallOptions, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, expect } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { startDemo } from "../support/demo.ts";
import { startManifold } from "../support/manifold.ts";
import { run } from "../support/program.ts";
import { commandOn, root } from "../support/runtimes.ts";
import { check, onRuntime, runtime } from "./suite.ts";

/** Registers a part of the demo service; the other methods are the upstream's. */
const module = `
import { DemoService } from "${root}${runtime === "node" ? "dist" : "src"}/gen/manifold/demo/v1/demo_pb.${runtime === "node" ? "js" : "ts"}";
export function routes(router) {
  router.rpc(DemoService.method.greet, ({ name }, context) => {
    context.responseTrailer.set("x-trailer", "local");
    return { greeting: \`\${context.protocolName} \${name}\`, endpoint: "local" };
  });
  router.rpc(DemoService.method.sum, async (requests) => {
    let sum = 0n;
    for await (const { number } of requests) sum += BigInt(number);
    return { sum, endpoint: "local" };
  });
  router.rpc(DemoService.method.chat, async function* (requests) {
    for await (const { text } of requests) yield { text, endpoint: "local" };
  });
}
`;

onRuntime("local services", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function stage(): Promise<string> {
    const upstream = await startDemo();
    cleanups.push(upstream.close);
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { endpoints: [upstream.url] } },
      routes: [{ to: "main" }],
      module: "./services.mjs",
    };
    const manifold = await startManifold({ runtime, config, files: { "services.mjs": module } });
    cleanups.push(() => manifold.stop());
    return `http://127.0.0.1:${manifold.port}`;
  }

  check("win over the routes, in every protocol, on the port of all", async () => {
    const baseUrl = await stage();
    const transports: Record<string, Transport> = {
      grpc: createGrpcTransport({ baseUrl }),
      "connect 2": createConnectTransport({ baseUrl, httpVersion: "2" }),
      "connect 1.1": createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      "grpc-web 2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
      "grpc-web 1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    };
    for (const [name, transport] of Object.entries(transports)) {
      const client = createClient(DemoService, transport);
      let trailer: string | null = null;
      const options: CallOptions = {
        onTrailer: (headers) => {
          trailer = headers.get("x-trailer");
        },
      };
      const reply = await client.greet({ name: "you" }, options);
      expect(reply, name).toMatchObject({ greeting: `${name.split(" ")[0]} you`, endpoint: "local" });
      expect(trailer, name).toBe("local");
      async function* requests() {
        for (let number = 1; number <= 100; number++) yield { number };
      }
      expect(await client.sum(requests()), name).toMatchObject({ sum: 5050n, endpoint: "local" });
      const endpoints: string[] = [];
      for await (const { endpoint } of client.countDown({ from: 2 })) endpoints.push(endpoint);
      expect(endpoints, name).toEqual(["upstream", "upstream"]);
    }
  });

  check("carry both directions at once over HTTP/2, and say 505 over HTTP/1.1", async () => {
    const baseUrl = await stage();
    const texts: string[] = [];
    let send: (text: string | undefined) => void = () => {};
    async function* requests() {
      for (let text: string | undefined = "a"; text !== undefined; ) {
        yield { text };
        text = await new Promise<string | undefined>((resolve) => {
          send = resolve;
        });
      }
    }
    for await (const { text } of createClient(DemoService, createGrpcTransport({ baseUrl })).chat(requests())) {
      texts.push(text);
      setTimeout(() => send(text === "c" ? undefined : String.fromCharCode(text.charCodeAt(0) + 1)), 5);
    }
    expect(texts).toEqual(["a", "b", "c"]);
    const response = await fetch(`${baseUrl}/manifold.demo.v1.DemoService/Chat`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: "",
    });
    expect(response.status).toBe(505);
  });

  check("are checked: what is wrong with the module stands with its place in the file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "manifold-test-"));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "manifold.yaml");
    writeFileSync(file, "routes: [{ refuse: { code: unavailable } }]\nmodule: ./services.mjs\n");
    const twice = `${module}export default (router) => { routes(router); routes(router); };`;
    const broken = "export function routes(router {}";
    const command = commandOn(runtime);
    if ("absent" in command) throw new Error(command.absent);
    for (const [content, exit, words] of [
      [module, 0, /ok/],
      [
        twice.replace("export function routes", "function routes"),
        1,
        /two handlers for \/manifold.demo.v1.DemoService\/Greet/,
      ],
      [broken, 1, /module ".\/services.mjs" can't be loaded: /],
    ] as const) {
      writeFileSync(join(folder, "services.mjs"), content);
      for (const subcommand of exit === 0 ? ["check"] : ["check", "serve"]) {
        const { exit: code, stdout, stderr } = await run([...command.argv, subcommand, "--config", file]);
        expect(`${stdout}${stderr}`).toMatch(words);
        if (exit !== 0) expect(stderr).toContain(`${file}:2:9: `);
        expect(code).toBe(exit);
      }
    }
  });

  check("read JSON by curl, and say what isn't a call", async () => {
    const url = `${await stage()}/manifold.demo.v1.DemoService/Greet`;
    const curl = async (...args: string[]) => (await run(["curl", "-sS", ...args, url])).stdout;
    for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
      const reply = await curl(version, "-H", "content-type: application/json", "-d", '{"name":"you"}');
      expect(JSON.parse(reply)).toEqual({ greeting: "connect you", endpoint: "local" });
      const status = ["-o", "/dev/null", "-w", "%{http_code}"];
      expect(await curl(version, ...status, "-X", "DELETE")).toBe("405");
      expect(await curl(version, ...status, "-X", "POST", "-H", "content-type: text/plain")).toBe("415");
    }
    const client = createClient(
      DemoService,
      createConnectTransport({ baseUrl: new URL(url).origin, httpVersion: "1.1" }),
    );
    await expect(client.greet({ name: "fail" })).resolves.toMatchObject({ endpoint: "local" });
    await expect(
      client.countDown({ from: 1 }, { timeoutMs: 5_000 })[Symbol.asyncIterator]().next(),
    ).resolves.toMatchObject({
      value: { endpoint: "upstream" },
    });
  });
});
