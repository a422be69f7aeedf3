import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { StatsServiceFanOut } from "../../src/gen/manifold/demo/v1/stats_fanout_pb.ts";
import { type Program, start } from "../support/program.ts";
import { commandOn, root, runtimesUnderTest } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

describe.each(runtimesUnderTest())("manifold demo on %s", (runtime) => {
  const command = commandOn(runtime);
  const argv = "argv" in command ? command.argv : [];
  let program: Program;
  let session: Http2SessionManager;
  afterEach(async () => {
    session?.abort();
    await program?.stop("SIGKILL");
  });

  /** Starts it, waits until it says where it listens, and makes a client. */
  async function demo(...args: string[]) {
    program = start([...argv, "demo", "--listen", "127.0.0.1:0", ...args], { cwd: root });
    const url = await until(
      "demo to listen",
      () => /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(program.stdout())?.[1],
    );
    session = new Http2SessionManager(url);
    return createClient(DemoService, createGrpcTransport({ baseUrl: url, sessionManager: session }));
  }

  async function* each<T>(...items: T[]) {
    yield* items;
  }

  const calls = () =>
    program
      .stdout()
      .split("\n")
      .filter((line) => line.includes('"msg":"call"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  /** What it says, without the log's JSON around it. */
  const printed = () => program.stdout().replaceAll('\\"', '"');

  it("carries each kind of call, spreads them over three servers and logs a line for each", async () => {
    const client = await demo();
    const endpoints: string[] = [];
    for (let i = 0; i < 6; i++) endpoints.push((await client.greet({ name: "Ada" })).endpoint);
    expect(endpoints.sort()).toEqual(["demo-1", "demo-1", "demo-2", "demo-2", "demo-3", "demo-3"]);
    const numbers = [];
    for await (const { number } of client.countDown({ from: 3 })) numbers.push(number);
    expect(numbers).toEqual([3, 2, 1]);
    expect((await client.sum(each({ number: 3 }, { number: 4 }))).sum).toBe(7n);
    const texts = [];
    for await (const { text } of client.chat(each({ text: "a" }, { text: "b" }))) texts.push(text);
    expect(texts).toEqual(["you said: a", "you said: b"]);
    const refused = client.countDown({ from: 0 })[Symbol.asyncIterator]().next();
    await expect(refused).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "from must be 1 to 1000, not 0",
    });
    await until("10 lines", () => calls().length === 10);
    expect(calls().map(({ path, status }) => `${String(path).split("/")[2]} ${status}`)).toEqual([
      ...Array<string>(6).fill("Greet ok"),
      "CountDown ok",
      "Sum ok",
      "Chat ok",
      "CountDown invalid_argument",
    ]);
    expect(calls()[0]).toMatchObject({ endpoint: expect.stringMatching(/^demo-[123]$/), protocol: "grpc" });
  });

  it("asks all three servers at once, of which one fails", async () => {
    await demo();
    const url = /listening on (http:[^"]*)/.exec(program.stdout())?.[1] ?? "";
    const all = createClient(StatsServiceFanOut, createGrpcTransport({ baseUrl: url, sessionManager: session }));
    const { legs } = await all.getStats({ fail: "demo-2" });
    expect(legs.map(({ info, reply }) => [info?.backend, info?.status?.code, reply?.endpoint])).toEqual([
      ["demo-1", undefined, "demo-1"],
      ["demo-2", Code.Unavailable, undefined],
      ["demo-3", undefined, "demo-3"],
    ]);
    const landed = [];
    for await (const { legs } of all.getStatsProgressive({ delayMs: 50 })) landed.push(legs.map(({ reply }) => reply));
    expect(landed).toMatchObject([[{ endpoint: "demo-1" }], [{ endpoint: "demo-2" }], [{ endpoint: "demo-3" }]]);
    // the lines that are printed can be copied: the one for curl is this
    const [, json, address] = /curl -d '(.*)' -H \S+ \S+ (http:\S+FanOut\/GetStats)\b/.exec(printed())!;
    const headers = { "content-type": "application/json" };
    const reply = await fetch(address!, { method: "POST", headers, body: json! });
    expect(await reply.json()).toMatchObject({
      legs: [{ reply: { endpoint: "demo-1" } }, { info: { status: { code: 14 } } }, { reply: { endpoint: "demo-3" } }],
    });
    expect(printed()).toMatch(/buf curl --protocol grpc -d '\{"fail": "demo-2".*\}' http:\S+\/GetStatsProgressive/);
    await until("3 lines", () => calls().length === 3);
    expect(calls()[0]).toMatchObject({ status: "ok", endpoint: "3 endpoints, 1 failed" });
  });

  it("shows a page that calls it, and answers JSON as curl sends it", async () => {
    await demo();
    const url = /listening on (http:[^"]*)/.exec(program.stdout())?.[1] ?? "";
    const page = await fetch(url);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const parts = [...(await page.text()).matchAll(/(?:href|src)="([^":]+)"/g)].map((match) => match[1]!);
    expect(parts).toEqual(["style.css", "page.js"]);
    for (const part of [...parts, "rpc.js"]) {
      const head = await fetch(`${url}/${part}`, { method: "HEAD" });
      expect([head.status, await head.text()], part).toEqual([200, ""]);
    }
    expect((await fetch(`${url}/page.ts`)).status).toBe(404);
    expect((await fetch(url, { method: "POST" })).status).toBe(404);
    const reply = await fetch(`${url}/manifold.demo.v1.DemoService/Greet`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name": "Ada"}',
    });
    expect(await reply.json()).toMatchObject({ greeting: "Hello, Ada!" });
  });

  it("lets an open call finish after SIGTERM, takes no new one, and ends with 0", async () => {
    const client = await demo();
    const numbers = [];
    for await (const { number } of client.countDown({ from: 5, intervalMs: 200 })) {
      if (number === 5) program.process.kill("SIGTERM");
      numbers.push(number);
    }
    expect(numbers).toEqual([5, 4, 3, 2, 1]);
    expect(await until("demo to end", () => program.exit())).toBe(0);
    expect(calls()).toMatchObject([{ status: "ok" }]);
    session.abort();
    await expect(client.greet({})).rejects.toThrow(ConnectError);
  });

  it("ends at once with 1 on a second signal", async () => {
    const client = await demo();
    const stream = client.countDown({ from: 1_000, intervalMs: 10_000 })[Symbol.asyncIterator]();
    await stream.next();
    program.process.kill("SIGINT");
    await until("the first signal to be seen", () => program.stdout().includes("once more ends at once"));
    const next = stream.next().then(
      () => undefined,
      (error: ConnectError) => error.code,
    );
    await new Promise((done) => setTimeout(done, 300)); // nearer signals count as one
    expect(program.exit()).toBeUndefined();
    program.process.kill("SIGINT");
    expect(await until("demo to end", () => program.exit())).toBe(1);
    expect(await next).toBe(Code.Unavailable);
  });
});
