/** Upstreams that are spoken to over HTTP/1.1, in Connect and gRPC-Web: what callers of every protocol get of them. */

import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterEach, expect } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { type DemoServer, demoRoutes, startDemo } from "../support/demo.ts";
import { type Manifold, type ManifoldOptions, startManifold } from "../support/manifold.ts";
import { sleep, until } from "../support/until.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const protocols = ["connect", "grpc_web"] as const;

/** Callers of every protocol and HTTP version. */
function transports(baseUrl: string): Record<string, Transport> {
  return {
    grpc: createGrpcTransport({ baseUrl }),
    "connect over HTTP/2": createConnectTransport({ baseUrl, httpVersion: "2" }),
    "connect over HTTP/1.1": createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    "grpc_web over HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
    "grpc_web over HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  };
}

/** Calls `chat` as one who says more only when answered. */
async function firstReply(transport: Transport, timeoutMs?: number): Promise<string | undefined> {
  let end = () => {};
  async function* requests() {
    yield { text: "hello" };
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  }
  const options = timeoutMs === undefined ? {} : { timeoutMs };
  try {
    for await (const { text } of createClient(DemoService, transport).chat(requests(), options)) return text;
    return undefined;
  } finally {
    end();
  }
}

onRuntime("upstreams over HTTP/1.1", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** Carries bidirectional streams over HTTP/1.1, one way after the other, to the demo service with reflection. */
  async function gateway(): Promise<string> {
    const server = await startDemo("2");
    cleanups.push(server.close);
    const manifold = await startManifold({ runtime, to: [server.url] });
    cleanups.push(() => manifold.stop());
    return `http://127.0.0.1:${manifold.port}`;
  }

  async function demo(): Promise<DemoServer> {
    const server = await startDemo("1.1");
    cleanups.push(server.close);
    return server;
  }

  /** A server that writes bytes of the test's choice once a request has come. */
  async function rawServer(onRequest: (socket: Socket) => void): Promise<string> {
    const sockets: Socket[] = [];
    const server: Server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.on("data", () => onRequest(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function manifold(
    main: object,
    more: Pick<ManifoldOptions, "files"> = {},
  ): Promise<{ baseUrl: string } & Manifold> {
    const config = {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { main: { http: "1.1", protocols: ["connect"], ...main } },
      routes: [{ to: "main" }],
    };
    const started = await startManifold({ runtime, config, ...more });
    cleanups.push(() => started.stop());
    return { baseUrl: `http://127.0.0.1:${started.port}`, ...started };
  }

  for (const protocol of protocols) {
    check(`answer calls of every protocol in ${protocol}`, async () => {
      const { url } = await demo();
      const { baseUrl } = await manifold({ endpoints: [url], protocols: [protocol] });
      for (const [name, transport] of Object.entries(transports(baseUrl))) {
        const client = createClient(DemoService, transport);
        let trailer: string | null = null;
        const options = {
          headers: { "x-header": "a" },
          onTrailer: (headers: Headers) => {
            trailer = headers.get("x-trailer");
          },
        };
        expect((await client.greet({ name: "you" }, options)).endpoint, name).toBe("upstream");
        expect(trailer, name).toBe("a");
        const numbers: number[] = [];
        for await (const { number } of client.countDown({ from: 5 })) numbers.push(number);
        expect(numbers, name).toEqual([5, 4, 3, 2, 1]);
        async function* requests() {
          for (let number = 1; number <= 100; number++) yield { number };
        }
        expect((await client.sum(requests())).sum, name).toBe(5050n);
        const error = await client.greet({ name: "fail" }).catch((reason) => ConnectError.from(reason));
        expect(error, name).toMatchObject({ code: Code.NotFound, rawMessage: "nobody is here" });
        expect((error as ConnectError).metadata.get("x-meta"), name).toBe("1");
        const large = "n".repeat(1 << 20);
        expect((await client.greet({ name: large })).greeting.length, name).toBeGreaterThan(large.length);
      }
    });
  }

  for (const http of ["1.1", "2"] as const) {
    for (const protocol of protocols) {
      check(`are asked for their schema by reflection, in ${protocol} over HTTP/${http}`, async () => {
        const { baseUrl } = await manifold({
          endpoints: [await gateway()],
          protocols: [protocol],
          http,
          schema: "reflection",
        });
        const response = await fetch(`${baseUrl}/manifold.demo.v1.DemoService/Greet`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: '{"name":"you"}',
        });
        expect(await response.json()).toMatchObject({ endpoint: "upstream" });
        const client = createClient(
          DemoService,
          createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
        );
        const numbers: number[] = [];
        for await (const { number } of client.countDown({ from: 3 })) numbers.push(number);
        expect(numbers).toEqual([3, 2, 1]);
      });
    }
  }

  check(
    "that refuse reflection over HTTP/1.1 are not asked in vain: the answer says what to give instead",
    async () => {
      const { url } = await demo();
      const { baseUrl } = await manifold({ endpoints: [url], protocols: ["connect"], schema: "reflection" });
      const response = await fetch(`${baseUrl}/manifold.demo.v1.DemoService/Greet`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"name":"you"}',
      });
      expect(response.status).toBe(501);
      expect(await response.json()).toMatchObject({
        code: "unimplemented",
        message: expect.stringMatching(/has no gRPC reflection; give "schema: \{ image: FILE \}" instead$/),
      });
    },
  );

  check("carry calls at once on connections of their own, and use these again", async () => {
    const server = await demo();
    const { baseUrl, sockets } = await manifold({ endpoints: [server.url] });
    const client = createClient(DemoService, createGrpcTransport({ baseUrl }));
    await client.greet({});
    const before = sockets();
    for (let at = 0; at < 30; at++) await client.greet({});
    if (before !== undefined) expect(sockets()).toBe(before);
    const replies = await Promise.all(Array.from({ length: 100 }, (_, at) => client.greet({ name: `${at}` })));
    expect(replies.map(({ greeting }) => greeting)).toEqual(
      Array.from({ length: 100 }, (_, at) => expect.stringContaining(`hello ${at} `)),
    );
  });

  check("are told when a caller goes away", async () => {
    const { url, log } = await demo();
    const { baseUrl } = await manifold({ endpoints: [url] });
    for (const transport of Object.values(transports(baseUrl))) {
      const abort = new AbortController();
      const before = { calls: log.calls.length, aborted: log.aborted.length };
      const pending = createClient(DemoService, transport).greet({ name: "slow" }, { signal: abort.signal });
      pending.catch(() => {});
      await until("the call", () => log.calls.length > before.calls);
      abort.abort();
      await until("the upstream to know", () => log.aborted.length > before.aborted);
    }
  });

  check("are held back when their replies aren't read", async () => {
    const { url, log } = await demo();
    const { baseUrl } = await manifold({ endpoints: [url] });
    const abort = new AbortController();
    await createClient(DemoService, createGrpcTransport({ baseUrl }))
      .countDown({ from: 0 }, { signal: abort.signal })
      [Symbol.asyncIterator]()
      .next();
    for (let before = -1; before !== log.yielded && before * 10_000 < 256 << 20; ) {
      before = log.yielded;
      await sleep(250);
    }
    expect(log.yielded * 10_000).toBeLessThan(64 << 20);
    abort.abort();
  });

  check("that break off are unavailable, and never a whole answer", async () => {
    const cut = [
      "HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-length: 10\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
      "HTTP/1.1 200",
      "",
    ];
    for (const text of cut) {
      const url = await rawServer((socket) => socket.end(text));
      const { baseUrl } = await manifold({ endpoints: [url] });
      for (const [name, transport] of Object.entries(transports(baseUrl))) {
        const { code } = await createClient(DemoService, transport)
          .greet({})
          .then(() => new ConnectError("answered"), ConnectError.from);
        // what passes verbatim and has begun can only be cut off: each client names that in its own way
        if (name.startsWith("connect") && text.includes("\r\n\r\n")) expect(code, name).not.toBe(Code.Unknown);
        else expect(code, name).toBe(Code.Unavailable);
      }
    }
  });

  check("that answer what can't be read end that call alone", async () => {
    const bad = [
      "HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
      "SSH-2.0-OpenSSH\r\n",
    ];
    const good = "HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-length: 0\r\n\r\n";
    let answer = good;
    const url = await rawServer((socket) => socket.write(answer));
    const { baseUrl } = await manifold({ endpoints: [url] });
    const client = createClient(DemoService, createGrpcTransport({ baseUrl }));
    for (const text of bad) {
      answer = text;
      await expect(client.greet({})).rejects.toMatchObject({ code: Code.Internal });
      answer = good;
      expect((await client.greet({})).greeting).toBe("");
    }
    answer = `${good}HTTP/1.1 200 OK\r\nx-evil: 1\r\n\r\n`;
    for (let at = 0; at < 5; at++) expect((await client.greet({})).greeting).toBe("");
  });

  check("say that a stream in both directions needs HTTP/2, as servers of both protocols do", async () => {
    const { url } = await demo();
    for (const protocol of protocols) {
      const { baseUrl } = await manifold({ endpoints: [url], protocols: [protocol] });
      for (const [name, transport] of Object.entries(transports(baseUrl))) {
        if (name.endsWith("HTTP/1.1")) continue;
        const error = await firstReply(transport).then(String, ConnectError.from);
        // what passes verbatim is the server's own answer, which has no words of ours
        if (name.startsWith(protocol)) expect(error, name).toBeInstanceOf(ConnectError);
        else
          expect(error, name).toMatchObject({
            code: Code.Unimplemented,
            rawMessage: expect.stringMatching(/HTTP 505/),
          });
      }
    }
  });

  check("that read a request to its end before they answer leave no caller waiting for ever", async () => {
    const url = await rawServer(() => {});
    for (const protocol of protocols) {
      const limits = { stream_idle_timeout: "1s" };
      const { baseUrl } = await manifold({ endpoints: [url], protocols: [protocol], limits });
      const transport = createGrpcTransport({ baseUrl });
      await expect(firstReply(transport, 300)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
      await expect(firstReply(transport)).rejects.toMatchObject({
        code: Code.Unavailable,
        rawMessage: expect.stringMatching(/idle for too long: .* request has not ended/),
      });
    }
  });

  check("that can't be reached are replaced by others", async () => {
    const gone = await demo();
    const there = await demo();
    gone.close();
    const { baseUrl } = await manifold({ endpoints: [gone.url, there.url] });
    const client = createClient(DemoService, createGrpcTransport({ baseUrl }));
    for (let at = 0; at < 6; at++) expect((await client.greet({})).endpoint).toBe("upstream");
    there.close();
    await expect(client.greet({})).rejects.toMatchObject({ code: Code.Unavailable });
  });

  check("are reached over TLS, under their own name and none other", async () => {
    const authority = new CertificateAuthority("upstream test");
    const { cert, key } = authority.issue({ commonName: "server", dns: ["demo.example"] });
    const server = createHttpsServer({ cert, key }, connectNodeAdapter({ routes: demoRoutes("tls") }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      server.close();
      server.closeAllConnections();
    });
    const endpoints = [`https://127.0.0.1:${(server.address() as AddressInfo).port}`];
    const files = { "ca.crt": authority.cert };
    const named = await manifold({ endpoints, tls: { ca: "ca.crt", server_name: "demo.example" } }, { files });
    const reply = await createClient(DemoService, createGrpcTransport({ baseUrl: named.baseUrl })).greet({});
    expect(reply.endpoint).toBe("tls");
    const other = await manifold({ endpoints, tls: { ca: "ca.crt", server_name: "other.example" } }, { files });
    await expect(
      createClient(DemoService, createGrpcTransport({ baseUrl: other.baseUrl })).greet({}),
    ).rejects.toMatchObject({ code: Code.Unavailable });
  });
});
