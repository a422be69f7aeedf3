import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Field } from "../../../src/http2/field.ts";
import type { Endpoint } from "../../../src/upstream/endpoint.ts";
import { createUpstream, type Upstream, type UpstreamOptions } from "../../../src/upstream/upstream.ts";
import { until } from "../../support/until.ts";
import { fakeCall } from "../fake-dial.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function create(options: Partial<UpstreamOptions> & Pick<UpstreamOptions, "endpoints">): Upstream {
  const upstream = createUpstream({ name: "users", protocols: ["connect"], http: "1.1", ...options });
  closers.push(() => upstream.close());
  return upstream;
}

/** A server that holds its answers until it is told to give them. */
async function startServer(): Promise<{
  server: Server;
  url: string;
  connections(): number;
  /** Requests that wait for their answer. */
  held(): number;
  answer(): void;
  hold: boolean;
}> {
  const held: (() => void)[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    request.resume();
    const answer = () => response.end("ok");
    if (peer.hold) held.push(answer);
    else answer();
  });
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const peer = {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    held: () => held.length,
    answer() {
      for (const one of held.splice(0)) one();
    },
    hold: true,
  };
  return peer;
}

interface Outcome {
  status?: string;
  endpoint?: Endpoint;
  error?: string;
}

const request = [
  [":method", "POST"],
  [":path", "/a.B/C"],
  [":authority", "x"],
].map(([name, value]) => new Field(name!, value!));

function call(upstream: Upstream): Outcome {
  const outcome: Outcome = {};
  upstream.acquire(fakeCall(), {
    onConnection(connection, endpoint) {
      outcome.endpoint = endpoint;
      const stream = connection.request(request, true, {
        onHeaders: (fields) => {
          outcome.status = fields[0]!.value;
        },
        onData: (_bytes, start, stop) => stream.consume(stop - start),
        onTrailers() {},
        onSent() {},
        onReset: (_code, cause) => {
          outcome.error = cause;
        },
      });
    },
    onUnavailable: (error) => {
      outcome.error = error.message;
    },
  });
  return outcome;
}

const isOver = ({ status, error }: Outcome) => status !== undefined || error !== undefined;

describe("an upstream over HTTP/1.1", () => {
  it.each<[Partial<UpstreamOptions>, string]>([
    [{ http: "1.1" }, "gRPC needs HTTP/2"],
    [{ http: "1.1", protocols: ["connect", "grpc"] }, "gRPC needs HTTP/2"],
    [{ http: "3" as "2" }, '"3"'],
    [{ protocols: [] }, "no protocols"],
    [{ protocols: ["soap" as "grpc"] }, '"soap"'],
  ])("refuses %j", (options, message) => {
    const all = { name: "users", endpoints: ["http://127.0.0.1:1"], ...options };
    expect(() => createUpstream(all)).toThrow(TypeError);
    expect(() => createUpstream(all)).toThrow(message);
  });

  it("says what it speaks", () => {
    expect(create({ endpoints: ["http://127.0.0.1:1"] })).toMatchObject({ protocols: ["connect"], http: "1.1" });
    const plain = createUpstream({ name: "users", endpoints: ["http://127.0.0.1:1"] });
    expect(plain).toMatchObject({ protocols: ["grpc"], http: "2" });
    plain.close();
  });

  it("opens a connection for each call at a time, up to the limit; the others wait", async () => {
    const peer = await startServer();
    const upstream = create({ endpoints: [peer.url], maxConnections: 5 });
    const calls = Array.from({ length: 12 }, () => call(upstream));
    const [endpoint] = upstream.endpoints;
    await until("5 calls under way", () => endpoint!.streamCount === 5);
    expect(endpoint!.pendingCount).toBe(7);
    await until("the requests", () => peer.held() === 5);
    peer.hold = false;
    peer.answer();
    await until("all of them", () => calls.every(isOver));
    expect(calls.map(({ status }) => status)).toEqual(Array(12).fill("200"));
    expect(peer.connections()).toBe(5);
    call(upstream);
    await until("one more", () => endpoint!.streamCount === 0);
    expect(peer.connections()).toBe(5);
  });

  it("goes on after the server has closed its connections, without a failed call", async () => {
    const peer = await startServer();
    peer.hold = false;
    const upstream = create({ endpoints: [peer.url] });
    for (let round = 0; round < 3; round++) {
      const calls = [call(upstream), call(upstream)];
      await until("the calls", () => calls.every(isOver));
      expect(calls.map(({ status }) => status)).toEqual(["200", "200"]);
      await until("idle connections", () => upstream.endpoints[0]!.streamCount === 0);
      peer.server.closeIdleConnections();
      await until("their close", () => upstream.endpoints[0]!.state === "idle");
      expect(upstream.endpoints[0]!.available).toBe(true);
    }
  });

  it("calls another endpoint where one can't be reached", async () => {
    const peer = await startServer();
    peer.hold = false;
    const gone = await startServer();
    await new Promise((resolve) => gone.server.close(resolve));
    const upstream = create({ endpoints: [gone.url, peer.url] });
    const calls = Array.from({ length: 6 }, () => call(upstream));
    await until("the calls", () => calls.every(isOver));
    expect(calls.map(({ status, error }) => status ?? error)).toEqual(Array(6).fill("200"));
    const alone = call(create({ endpoints: [gone.url] }));
    await until("the failure", () => isOver(alone));
    expect(alone.error).toContain("upstream unavailable: connection failed");
  });
});
