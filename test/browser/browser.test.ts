/**
 * A page of another origin in a real Chromium, through the command, to grpc-go, which speaks gRPC and protobuf and nothing else: on
 * every runtime, over TLS (HTTP/2) and in cleartext (HTTP/1.1), by each client of a page and in each mode that it has.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Browser, BrowserContext, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { hasChromium, startChromium } from "../support/chromium.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { type Program, start } from "../support/program.ts";
import { root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { until } from "../support/until.ts";
import type { ClientName, PageCall, PageResult } from "./page/call.ts";
import { type PageServer, servePage } from "./page-server.ts";

/** Builds the Go programs where there is Go; what was built before does too. */
if (findTool("go")) spawnSync(join(root, "test/go/build"), { stdio: "inherit" });
const backendPath = findTool("backend");
const ready =
  hasChromium() &&
  (backendPath !== undefined || skipAbsent("browser", "no test/.cache/bin/backend, and no Go to build it"));

const clients: readonly ClientName[] = [
  "connect-web, Connect, JSON",
  "connect-web, Connect, proto",
  "connect-web, gRPC-Web",
  "grpc-web, grpcweb",
  "grpc-web, grpcwebtext",
];

const authority = new CertificateAuthority("browser authority");
const certificate = authority.issue({ commonName: "localhost", dns: ["localhost"], ips: ["127.0.0.1"] });

/** Metadata that pages of the tests send and read. */
const cors = {
  allow_headers:
    "x-call-id x-custom x-echo x-fail x-fail-after x-fail-details x-fail-message x-fail-message-bin x-headers-first x-interval-ms x-never x-reply-count x-user-agent".split(
      " ",
    ),
  expose_headers: ["x-call-id", "x-endpoint", "echo-x-custom"],
};

let browser: Browser;
let pages: PageServer;
beforeAll(async () => {
  if (!ready) return;
  [browser, pages] = await Promise.all([startChromium(), servePage()]);
});
afterAll(async () => {
  await browser?.close();
  await pages?.close();
});

describe.skipIf(!ready).each(runtimesUnderTest())("a page through Manifold on %s", (runtime) => {
  let backend: Program;
  let manifold: Manifold;
  let context: BrowserContext;
  beforeAll(async () => {
    backend = start([backendPath!, "--events", "--name", "one"]);
    const address = await until("the backend to listen", () => /listening (\S+)/.exec(backend.stdout())?.[1]);
    const listener = { address: "127.0.0.1:0", cors: { ...cors, origins: [pages.origins[0]] } };
    const config = {
      listeners: [{ ...listener, tls: { cert: "tls.crt", key: "tls.key" } }, listener],
      upstreams: { backend: { endpoints: [`http://${address}`], schema: "reflection" } },
      routes: [{ to: "backend" }],
    };
    const files = { "tls.crt": certificate.cert, "tls.key": certificate.key };
    manifold = await startManifold({ runtime, config, files });
    context = await browser.newContext({ ignoreHTTPSErrors: true });
  });
  afterAll(async () => {
    await context?.close();
    const exit = await manifold?.stop();
    await backend?.stop("SIGKILL");
    expect(exit).toBe(0);
  });

  describe.each([
    ["TLS", "h2", 0],
    ["cleartext", "http/1.1", 1],
  ] as const)("over %s (%s)", (scheme, alpn, listener) => {
    const baseUrl = () => `${scheme === "TLS" ? "https" : "http"}://127.0.0.1:${manifold.ports[listener]}`;
    let page: Page;
    let traffic: Traffic;
    beforeAll(async () => {
      page = await context.newPage();
      traffic = await watch(await context.newCDPSession(page), baseUrl());
      await page.goto(pages.origins[0]);
    });
    afterAll(() => page?.close());

    /** Calls so many times as there are tests, each with an id of its own, by which the backend's events are found. */
    let ids = 0;
    async function call(client: ClientName, rest: Partial<PageCall>, on = page): Promise<PageResult & Seen> {
      const id = `${runtime}-${alpn}-${++ids}`;
      const headers = { "x-call-id": id, ...rest.headers };
      const result = await on.evaluate(callInPage, {
        client,
        baseUrl: baseUrl(),
        method: "Unary",
        value: "hello",
        ...rest,
        headers,
      } satisfies PageCall);
      return { ...result, events: () => eventsOf(backend, id) };
    }

    describe.each(clients)("%s", (client) => {
      it("carries a unary call", async () => {
        const { replies, failure, header, trailer, events } = await call(client, {
          headers: { "x-echo": "both", "x-custom": "a value" },
        });
        expect(failure).toBeUndefined();
        expect(replies).toEqual(["hello"]);
        expect(header).toMatchObject({ "x-endpoint": "one", "echo-x-custom": "a value" });
        expect(trailer).toMatchObject({ "x-endpoint": "one", "echo-x-custom": "a value" });
        expect(events()).toEqual([
          ["start", ""],
          ["end", "ok"],
        ]);
        expect(traffic.protocols()).toEqual([alpn]);
      });

      it("carries a server stream, each reply as it comes", async () => {
        const { replies, times, failure, trailer } = await call(client, {
          method: "ServerStream",
          headers: { "x-reply-count": "5", "x-interval-ms": "100" },
        });
        expect(failure).toBeUndefined();
        expect(replies).toEqual(Array(5).fill("hello"));
        expect(trailer).toMatchObject({ "x-endpoint": "one" });
        // XMLHttpRequest gives a binary body when it is whole.
        if (client !== "grpc-web, grpcweb") expect(times[4]! - times[0]!).toBeGreaterThan(200);
      });

      it("carries an error with its details and trailers", async () => {
        const { replies, failure, trailer } = await call(client, {
          headers: { "x-fail": "9", "x-fail-message-bin": "NTAlIG9mZiwgw6k", "x-fail-details": "2" },
        });
        expect(replies).toEqual([]);
        expect(failure).toMatchObject({ code: 9, message: "50% off, é" });
        for (const part of ["google.rpc.ErrorInfo", "REASON_0", "REASON_1"]) expect(failure?.details).toContain(part);
        expect(trailer).toMatchObject({ "x-endpoint": "one" });
      });

      it("carries an error after replies", async () => {
        const { replies, failure } = await call(client, {
          method: "ServerStream",
          headers: { "x-reply-count": "5", "x-fail": "8", "x-fail-message": "no more", "x-fail-after": "3" },
        });
        expect(replies).toEqual(Array(3).fill("hello"));
        expect(failure).toMatchObject({ code: 8, message: "no more" });
      });

      it("ends a call at its deadline", async () => {
        const { failure, events } = await call(client, { headers: { "x-never": "1" }, timeoutMs: 300 });
        expect(failure?.code).toBe(4);
        await until("the backend's call to end", () => events().length === 2);
      });

      it("cancels a call at the server too", async () => {
        const stream = {
          method: "ServerStream",
          headers: { "x-reply-count": "100000", "x-interval-ms": "20" },
        } as const;
        const streamed = await call(client, { ...stream, cancelAfter: client === "grpc-web, grpcweb" ? 0 : 2 });
        expect(streamed.failure?.code).toBe(1);
        await until("the stream to end at the backend", () => streamed.events().length === 2);
        expect(streamed.events()[1]).toEqual(["end", "cancelled"]);
        const unary = await call(client, { headers: { "x-never": "1" }, cancelAfter: 0 });
        expect(unary.failure?.code).toBe(1);
        await until("the unary call to end at the backend", () => unary.events().length === 2);
        expect(unary.events()[1]).toEqual(["end", "cancelled"]);
      });

      it("refuses a page of an origin that may not call, before anything is called", async () => {
        const foreign = await context.newPage();
        await foreign.goto(pages.origins[1]);
        const { replies, failure, events } = await call(client, {}, foreign);
        await foreign.close();
        expect(replies).toEqual([]);
        expect(failure).toBeDefined();
        expect((await call(client, {})).replies).toEqual(["hello"]);
        expect(events()).toEqual([]);
      });
    });

    it("answers preflights by itself", () => {
      expect(new Set(traffic.preflights())).toEqual(new Set([204]));
      expect(allEvents(backend).filter(({ id }) => id === "")).toEqual([]); // of calls that no test has made
    });
  });
});

/** Runs in the page. */
function callInPage(call: PageCall): Promise<PageResult> {
  return (globalThis as unknown as { makeCall(call: PageCall): Promise<PageResult> }).makeCall(call);
}

interface Seen {
  /** What the backend has printed of this call by now: event and outcome. */
  events(): string[][];
}

interface Event {
  readonly event: string;
  readonly method: string;
  readonly id: string;
  readonly outcome: string;
}

function allEvents(backend: Program): Event[] {
  const lines = backend.stdout().split("\n").slice(0, -1);
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Event);
}

function eventsOf(backend: Program, id: string): string[][] {
  return allEvents(backend)
    .filter((event) => event.id === id)
    .map(({ event, outcome }) => [event, outcome]);
}

interface Traffic {
  /** HTTP versions of all responses of Manifold, each once. */
  protocols(): string[];
  /** The HTTP status of each. */
  preflights(): number[];
}

/** What the browser itself says of its requests to Manifold. */
async function watch(session: CDPSession, url: string): Promise<Traffic> {
  const protocols = new Set<string>();
  const preflights: number[] = [];
  session.on("Network.responseReceived", ({ response, type }) => {
    if (!response.url.startsWith(url)) return;
    if (response.protocol !== undefined) protocols.add(response.protocol);
    if (type === "Preflight") preflights.push(response.status);
  });
  await session.send("Network.enable");
  return { protocols: () => [...protocols], preflights: () => preflights };
}
