/** One call to many, in every protocol in front and behind, by clients and servers of connect-node. */
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { type DemoServer, startDemo } from "../support/demo.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { until } from "../support/until.ts";
import { demoFanOut } from "./demo-fan-out.ts";
import { deadUrl } from "./nodes.ts";
import { check, onRuntime, runtime } from "./suite.ts";

/** A leg of a reply, without a type: the descriptors are made when the test runs. */
// biome-ignore lint/suspicious/noExplicitAny: as above
type Any = any;

const legs = ["one", "two", "three"];

/** Callers of every protocol, codec and HTTP version, and of TLS. */
function transports(port: number, tlsPort: number, ca: string): Record<string, Transport> {
  const baseUrl = `http://127.0.0.1:${port}`;
  const nodeOptions = { ca };
  return {
    grpc: createGrpcTransport({ baseUrl }),
    "grpc over TLS": createGrpcTransport({ baseUrl: `https://127.0.0.1:${tlsPort}`, nodeOptions }),
    "connect in JSON over HTTP/1.1": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
    "connect over HTTP/2": createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
    "grpc_web over HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    "grpc_web in JSON over HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  };
}

/** Whole bodies first: HTTP/1.1 carries no stream in both directions at once. */
async function* each<T>(...values: T[]): AsyncGenerator<T> {
  yield* values;
}

onRuntime("fan-outs in every protocol", () => {
  const servers: DemoServer[] = [];
  let manifold: Manifold;
  const authority = new CertificateAuthority("fan-out");

  beforeAll(async () => {
    for (const name of legs) servers.push(await startDemo("2", name), await startDemo("1.1", name));
    const named = (http: "2" | "1.1") =>
      legs.map((name, at) => ({ name, url: servers[2 * at + (http === "2" ? 0 : 1)]!.url }));
    const alive = named("2");
    const upstreams = {
      grpc: { endpoints: named("2"), schema: "reflection" },
      connect: { endpoints: named("2"), protocols: ["connect"], schema: "reflection" },
      connect1: { endpoints: named("1.1"), protocols: ["connect"], http: "1.1" },
      web: { endpoints: named("2"), protocols: ["grpc_web"] },
      web1: { endpoints: named("1.1"), protocols: ["grpc_web"], http: "1.1" },
      mixed: { endpoints: [...alive.slice(0, 2), { name: "dead", url: deadUrl }], schema: "reflection" },
    };
    const kind = {
      unary: ["*/Greet"],
      client_streaming: ["*/Sum"],
      server_streaming: ["*/CountDown"],
      bidi_streaming: ["*/Chat"],
    };
    const routes = Object.entries(upstreams).flatMap(([name, upstream]) => {
      const match = { headers: { "x-to": name } };
      const known = "schema" in upstream ? {} : { kind };
      const each = { to: name, method: "manifold.demo.v1.DemoService/Greet", progressive: true };
      return [
        { match: { ...match, method: "test.Demo/GreetEach" }, fan_out: each },
        { match, fan_out: { to: name, ...known }, rewrite: { service: "manifold.demo.v1.DemoService" } },
      ];
    });
    const { cert, key } = authority.issue({ commonName: "manifold", ips: ["127.0.0.1"] });
    manifold = await startManifold({
      runtime,
      files: { "tls.crt": cert, "tls.key": key },
      config: {
        listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { cert: "tls.crt", key: "tls.key" } }],
        upstreams,
        routes,
      },
    });
  });
  afterAll(async () => {
    const exit = await manifold?.stop();
    for (const server of servers) server.close();
    expect(exit).toBe(0);
  });

  const callers = () =>
    Object.entries(transports(manifold.ports[0]!, manifold.ports[1]!, authority.cert)).map(([name, transport]) => ({
      name,
      client: createClient(demoFanOut(), transport) as Any,
      json: name.includes("JSON"),
    }));

  for (const to of ["grpc", "connect", "connect1", "web", "web1"]) {
    check(`every kind of call, from callers of every protocol to legs of "${to}"`, async () => {
      for (const { name, client, json } of callers()) {
        if (json && to !== "grpc" && to !== "connect") continue; // there is no schema
        let trailer: string | null = null;
        const options = {
          headers: { "x-to": to, "x-header": "a" },
          onTrailer: (trailers: Headers) => {
            trailer = trailers.get("x-trailer");
          },
        };
        const greeted = await client.greet({ name: "Ada" }, options);
        expect(greeted.legs.map(entry), name).toEqual(legs.map((leg) => `${leg}: hello Ada`));
        expect(trailer, name).toBe("a");
        const summed = await client.sum(each({ number: 20 }, { number: 22 }), options);
        expect(summed.legs.map(entry), name).toEqual(legs.map((leg) => `${leg}: 42`));
        const counted: string[] = [];
        for await (const leg of client.countDown({ from: 3 }, options)) counted.push(entry(leg));
        for (const leg of legs) {
          const own = counted.filter((text) => text.startsWith(`${leg}:`));
          expect(own, name).toEqual([`${leg}: 3`, `${leg}: 2`, `${leg}: 1`]);
        }
        const said: string[] = [];
        for await (const leg of client.chat(each({ text: "a" }, { text: "b" }), options)) said.push(entry(leg));
        // connect-node's servers have no streams in both directions over HTTP/1.1
        const http1 = legs.map(
          (leg) => `${leg}! 12 upstream answered with HTTP 505: the method needs another HTTP version`,
        );
        const http2 = legs.flatMap((leg) => [`${leg}: a`, `${leg}: b`]);
        expect(said.sort(), name).toEqual((to.endsWith("1") ? http1 : http2).sort());
        const greetedEach: string[] = [];
        for await (const { legs } of client.greetEach({ name: "Ada" }, options)) greetedEach.push(...legs.map(entry));
        expect(greetedEach.sort(), name).toEqual(legs.map((leg) => `${leg}: hello Ada`).sort());
      }
    });
  }

  check(
    "errors of legs are entries in every protocol, with code and message; an error of the call is one",
    async () => {
      for (const { name, client } of callers()) {
        const options = { headers: { "x-to": "mixed" } };
        const { legs } = await client.greet({ name: "fail" }, options);
        expect(legs.map(entry), name).toEqual([
          "one! 5 nobody is here",
          "two! 5 nobody is here",
          expect.stringMatching(/^dead! 14 /),
        ]);
        const each: string[] = [];
        for await (const { legs } of client.greetEach({ name: "Ada" }, options)) each.push(...legs.map(entry));
        expect(each.sort(), name).toEqual([expect.stringMatching(/^dead! 14 /), "one: hello Ada", "two: hello Ada"]);
        const error = await client.greet({ name: "x" }, { headers: { "x-to": "nowhere" } }).catch(ConnectError.from);
        expect(error, name).toMatchObject({ code: Code.Unimplemented });
      }
    },
  );

  check("a deadline and a caller that goes away end all legs, in every protocol", async () => {
    for (const { name, client } of callers()) {
      for (const { log } of servers) log.aborted.length = 0;
      const headers = { "x-to": "grpc" };
      const late = await client.greet({ name: "slow" }, { headers, timeoutMs: 150 }).catch(ConnectError.from);
      expect(late, name).toMatchObject({ code: Code.DeadlineExceeded });
      const abort = new AbortController();
      const gone = async () => {
        for await (const _ of client.countDown({ from: 0 }, { headers, signal: abort.signal })) abort.abort();
      };
      expect(await gone().catch(ConnectError.from), name).toMatchObject({ code: Code.Canceled });
      const aborted = () => servers.filter((_, at) => at % 2 === 0).map(({ log }) => new Set(log.aborted));
      await until(`all legs of ${name} to end`, () =>
        aborted().every((methods) => methods.has("greet") && methods.has("countDown")),
      );
    }
  });

  check("JSON as a browser or curl sends it, by POST and by GET", async () => {
    const response = await fetch(`http://127.0.0.1:${manifold.port}/test.Demo/Greet`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-to": "mixed" },
      body: JSON.stringify({ name: "Ada" }),
    });
    expect(response.status).toBe(200);
    const query = new URLSearchParams({ connect: "v1", encoding: "json", message: '{"name": "Ada"}' });
    const got = await fetch(`http://127.0.0.1:${manifold.port}/test.Demo/Greet?${query}`, {
      headers: { "x-to": "mixed" },
    });
    const replies = [await response.json(), await got.json()];
    const expected = {
      legs: [
        ...["one", "two"].map((endpoint) => ({
          info: { backend: endpoint, elapsed: expect.stringMatching(/^[\d.]+s$/) },
          reply: { endpoint, greeting: expect.stringMatching(/^hello Ada by/) },
        })),
        {
          info: {
            backend: "dead",
            elapsed: expect.stringMatching(/^[\d.]+s$/),
            status: { code: 14, message: expect.any(String) },
          },
        },
      ],
    };
    expect(replies).toEqual([expected, expected]);
  });
});

/** "one: hello Ada", or "one! 5 nobody is here". */
function entry({ info, reply }: Any): string {
  if (info.status !== undefined) return `${info.backend}! ${info.status.code} ${info.status.message}`;
  const { greeting, sum, number, text } = reply;
  return `${info.backend}: ${greeting?.replace(/ by .*$/, "") ?? sum ?? number ?? text}`;
}
