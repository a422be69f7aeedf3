/** One demo upstream: a real gRPC server on a loopback port, whose replies and headers say its name. */
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { DemoService, file_manifold_demo_v1_demo } from "../../gen/manifold/demo/v1/demo_pb.ts";
import { file_manifold_demo_v1_stats_fanout } from "../../gen/manifold/demo/v1/stats_fanout_pb.ts";
import { StatsService } from "../../gen/manifold/demo/v1/stats_pb.ts";
import { addReflection } from "./reflection.ts";

export interface DemoEndpoint {
  readonly name: string;
  /** "http://127.0.0.1:40123" */
  readonly url: string;
  close(): Promise<void>;
}

/** Starts a demo upstream on a free port of 127.0.0.1. `index` is its place among them: it is slower by that, where it is asked to be. */
export async function startDemoEndpoint(name: string, index = 0): Promise<DemoEndpoint> {
  const routes = (router: ConnectRouter) => {
    const answered = { calls: 0 };
    router.service(DemoService, demoService(name, answered));
    router.service(StatsService, statsService(name, index, answered));
    // the fan-outs too, which Manifold answers: so that clients find all there is behind one port
    addReflection(router, [file_manifold_demo_v1_demo, file_manifold_demo_v1_stats_fanout]);
  };
  const server = createServer(connectNodeAdapter({ routes }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    name,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      for (const session of sessions) session.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Says who answers where a reply can't: of an error, too. */
const endpointHeader = "x-endpoint";

const maxCount = 1_000;
const maxIntervalMs = 10_000;

/** How many calls an endpoint has answered. */
interface Answered {
  calls: number;
}

function demoService(endpoint: string, answered: Answered): ServiceImpl<typeof DemoService> {
  return {
    greet(request, context) {
      answered.calls++;
      context.responseHeader.set(endpointHeader, endpoint);
      return { greeting: `Hello, ${request.name || "world"}!`, endpoint };
    },
    async *countDown(request, context) {
      answered.calls++;
      context.responseHeader.set(endpointHeader, endpoint);
      if (request.from < 1 || request.from > maxCount) {
        throw new ConnectError(`from must be 1 to ${maxCount}, not ${request.from}`, Code.InvalidArgument);
      }
      checkInterval("interval_ms", request.intervalMs);
      for (let number = request.from; number > 0; number--) {
        yield { number, endpoint };
        if (request.intervalMs > 0 && number > 1) await pause(request.intervalMs, context.signal);
      }
    },
    async sum(requests, context) {
      answered.calls++;
      context.responseHeader.set(endpointHeader, endpoint);
      let sum = 0n;
      for await (const request of requests) sum += BigInt(request.number);
      return { sum, endpoint };
    },
    async *chat(requests, context) {
      answered.calls++;
      context.responseHeader.set(endpointHeader, endpoint);
      for await (const request of requests) yield { text: `you said: ${request.text}`, endpoint };
    },
  };
}

function statsService(endpoint: string, index: number, answered: Answered): ServiceImpl<typeof StatsService> {
  const startedAt = performance.now();
  return {
    async getStats(request, context) {
      answered.calls++;
      context.responseHeader.set(endpointHeader, endpoint);
      checkInterval("delay_ms", request.delayMs);
      if (request.delayMs > 0) await pause(request.delayMs * (index + 1), context.signal);
      if (request.fail === endpoint) throw new ConnectError(`${endpoint} was asked to fail`, Code.Unavailable);
      const uptimeSeconds = Math.floor((performance.now() - startedAt) / 1000);
      return { endpoint, calls: answered.calls, uptimeSeconds };
    },
  };
}

function checkInterval(field: string, ms: number): void {
  if (ms <= maxIntervalMs) return;
  throw new ConnectError(`${field} must be at most ${maxIntervalMs}, not ${ms}`, Code.InvalidArgument);
}

/** Waits. Throws the signal's reason as soon as the caller has gone, or its deadline has passed. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
