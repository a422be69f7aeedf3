/** The demo service as tests want it: a server on connect-node that says what it saw. */
import { randomBytes } from "node:crypto";
import { createServer as createHttp1Server, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type Http2Session } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { addReflection } from "../../src/cli/demo/reflection.ts";
import { DemoService, file_manifold_demo_v1_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";

/** 10,000 characters that don't get much shorter by compression, which servers and clients agree on by themselves. */
const filler = randomBytes(7_500).toString("base64");

/** What a server of the demo service has seen. */
export interface DemoLog {
  /** Calls that began, by method name. */
  calls: string[];
  /** Calls whose signal was aborted before their end. */
  aborted: string[];
  /** Replies that `countDown` has yielded. */
  yielded: number;
}

/**
 * Registers the service. `greet` answers "fail" with not_found, a detail of metadata included, and "slow" never; every reply has the
 * header x-header and the trailer x-trailer, which echo the request's x-header. `countDown` counts without an end from 0, 10 kB each, and from 404 fails
 * with not_found after a reply.
 */
export function demoRoutes(endpoint: string, log: DemoLog = newLog()): (router: ConnectRouter) => void {
  const begin = (method: string, context: HandlerContext) => {
    log.calls.push(method);
    context.signal.addEventListener("abort", () => log.aborted.push(method));
    context.responseHeader.set("x-header", context.requestHeader.get("x-header") ?? "none");
    context.responseTrailer.set("x-trailer", context.requestHeader.get("x-header") ?? "none");
  };
  return (router) =>
    router.service(DemoService, {
      async greet({ name }, context) {
        begin("greet", context);
        if (name === "fail") throw new ConnectError("nobody is here", Code.NotFound, { "x-meta": "1" });
        if (name === "slow") await untilAborted(context.signal);
        return { greeting: `hello ${name} by ${context.protocolName}`, endpoint };
      },
      async *countDown({ from, intervalMs }, context) {
        begin("countDown", context);
        if (from === 404) {
          yield { number: from, endpoint };
          throw new ConnectError("no such number", Code.NotFound);
        }
        for (let number = from === 0 ? 1e9 : from; number > 0; number--) {
          log.yielded++;
          yield { number, endpoint: from === 0 ? filler : endpoint };
          if (intervalMs > 0) await new Promise((resolve) => setTimeout(resolve, intervalMs));
        }
      },
      async sum(requests, context) {
        begin("sum", context);
        let sum = 0n;
        for await (const { number } of requests) sum += BigInt(number);
        return { sum, endpoint };
      },
      async *chat(requests, context) {
        begin("chat", context);
        for await (const { text } of requests) yield { text, endpoint };
      },
    });
}

export function newLog(): DemoLog {
  return { calls: [], aborted: [], yielded: 0 };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

export interface DemoServer {
  readonly url: string;
  readonly port: number;
  readonly log: DemoLog;
  close(): void;
}

/** Starts a server on loopback, over cleartext HTTP/2 (prior knowledge) or HTTP/1.1. */
export async function startDemo(http: "2" | "1.1" = "2", endpoint = "upstream"): Promise<DemoServer> {
  const log = newLog();
  const routes = (router: ConnectRouter) => {
    demoRoutes(endpoint, log)(router);
    addReflection(router, [file_manifold_demo_v1_demo]);
  };
  const handler = connectNodeAdapter({ routes });
  const server: Server | Http2Server = http === "2" ? createHttp2Server(handler) : createHttp1Server(handler);
  const open = new Set<Socket | Http2Session>();
  for (const event of ["session", "connection"]) {
    server.on(event, (one: Socket | Http2Session) => {
      open.add(one);
      one.on("close", () => open.delete(one));
    });
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    log,
    close() {
      server.close();
      for (const one of open) one.destroy();
    },
  };
}
