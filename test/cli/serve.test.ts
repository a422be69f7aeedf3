import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type DemoEndpoint, startDemoEndpoint } from "../../src/cli/demo/endpoint.ts";
import { DemoService, file_manifold_demo_v1_demo as file_demo } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { startDemo } from "../support/demo.ts";
import { type Program, run, start } from "../support/program.ts";
import { commandOn, runtimesUnderTest } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

const authority = new CertificateAuthority("test");
const serverCert = authority.issue({ commonName: "server", dns: ["localhost"], ips: ["127.0.0.1"] });
const clientCert = authority.issue({ commonName: "client" });

function postJson(url: string, body: object, headers: Record<string, string>): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** What a failed call rejects with. */
const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: ConnectError) => [error.code, error.rawMessage],
  );

describe.each(runtimesUnderTest())("manifold serve on %s", (runtime) => {
  const command = commandOn(runtime);
  const argv = "argv" in command ? command.argv : [];
  const folder = mkdtempSync(join(tmpdir(), "manifold-serve-"));
  let one: DemoEndpoint;
  let two: DemoEndpoint;
  beforeAll(async () => {
    one = await startDemoEndpoint("one");
    two = await startDemoEndpoint("two");
    const files = { "tls.crt": serverCert.cert, "tls.key": serverCert.key, "ca.crt": authority.cert };
    const image = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file_demo.proto] }));
    writeFileSync(join(folder, "api.binpb"), image);
    const more = { "client.crt": clientCert.cert, "client.key": clientCert.key };
    for (const [name, text] of Object.entries({ ...files, ...more })) writeFileSync(join(folder, name), text);
  });
  afterAll(async () => {
    await Promise.all([one.close(), two.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  /** The last one that was started. */
  let program: Program | undefined;
  const programs: Program[] = [];
  const sessions: Http2SessionManager[] = [];
  afterEach(async () => {
    for (const session of sessions.splice(0)) session.abort();
    await Promise.all(programs.splice(0).map((one) => one.stop("SIGKILL")));
  });

  /** Starts it with a file and returns where it listens. */
  async function manifold(yaml: string): Promise<string[]> {
    const file = join(folder, `manifold-${programs.length}.yaml`); // each its own: a running one would reload
    writeFileSync(file, yaml);
    return startWith(["--config", file], yaml.split("address:").length - 1);
  }

  /** Starts it with these words, and returns where its one listener listens. */
  async function serve(words: readonly string[]): Promise<string> {
    return (await startWith(words, 1))[0]!;
  }

  async function startWith(words: readonly string[], listeners: number): Promise<string[]> {
    const started = start([...argv, ...words]);
    program = started;
    programs.push(started);
    const urls = () => [...started.stdout().matchAll(/listening on (https?:\/\/[^\s"]+)/g)].map((match) => match[1]!);
    await until("manifold to listen", () => urls().length === listeners || started.exit() !== undefined);
    expect(started.stderr()).toBe("");
    return urls();
  }

  function client(baseUrl: string, nodeOptions: object = {}): Client<typeof DemoService> {
    const sessionManager = new Http2SessionManager(baseUrl, {}, nodeOptions);
    sessions.push(sessionManager);
    return createClient(DemoService, createGrpcTransport({ baseUrl, sessionManager, nodeOptions }));
  }

  it("sends calls where the first route that matches says", async () => {
    const [url] = await manifold(`
listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  one: { endpoints: ["${one.url}"] }
  two: { endpoints: [{ name: second, url: "${two.url}" }] }
routes:
  - match: { headers: { x-role: { prefix: guest } } }
    refuse: { code: permission_denied, message: "50% off, é" }
  - match: { headers: { x-to: two } }
    to: two
  - match: { method: manifold.demo.v1.DemoService/Gr* }
    to: one
  - match: { service: manifold.demo.*, headers: { x-slow: { present: true } } }
    to: one
    timeout: 200ms
`);
    const demo = client(url!);
    expect((await demo.greet({})).endpoint).toBe("one");
    expect((await demo.greet({}, { headers: { "x-to": "two" } })).endpoint).toBe("two");
    const guest = demo.greet({}, { headers: { "x-role": "guest-7" } });
    expect(await failure(guest)).toEqual([Code.PermissionDenied, "50% off, é"]);
    const unrouted = demo.sum((async function* () {})());
    expect(await failure(unrouted)).toEqual([Code.Unimplemented, "no route for manifold.demo.v1.DemoService/Sum"]);
    const slow = demo.countDown({ from: 2, intervalMs: 10_000 }, { headers: { "x-slow": "" } })[Symbol.asyncIterator]();
    await slow.next();
    expect((await failure(slow.next()))?.[0]).toBe(Code.DeadlineExceeded);
    const line = await until(
      "the line of the second call",
      () => /^.*"endpoint":"second".*$/m.exec(program!.stdout())?.[0],
    );
    expect(JSON.parse(line)).toMatchObject({ status: "ok", path: "/manifold.demo.v1.DemoService/Greet" });
  });

  it("carries calls over TLS on both sides, changed as the route says", async () => {
    const [plain, inner] = await manifold(`
listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: { cert: tls.crt, key: tls.key, client_ca: ca.crt }
upstreams:
  one: { endpoints: ["${one.url}"] }
routes:
  - match:
      service: manifold.demo.v1.DemoService
      authority: "*.internal"
      headers: { x-stage: test, x-debug: { present: false } }
    to: one
`);
    expect(plain).toMatch(/^http:/);
    expect(inner).toMatch(/^https:/);
    const stranger = client(inner!, { ca: authority.cert });
    expect(await failure(stranger.greet({}))).toBeDefined(); // clients differ in what they make of the alert
    expect(program?.stdout()).not.toContain("Greet");
    const [outer] = await manifold(`
listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  inner:
    endpoints: [{ url: "${inner}", server_name: localhost }]
    tls: { ca: ca.crt, cert: client.crt, key: client.key }
routes:
  - match: { service: manifold.demo.v2.* }
    to: inner
    rewrite: { service: manifold.demo.v1.DemoService, authority: demo.internal }
    add_headers: { x-stage: test }
    remove_headers: [X-Debug]
`);
    const { greet } = DemoService.method;
    const renamed = { ...greet, parent: { ...DemoService, typeName: "manifold.demo.v2.DemoService" } };
    const transport = createGrpcTransport({ baseUrl: outer! });
    const reply = await transport.unary(renamed, undefined, 10_000, { "x-debug": "1" }, {});
    expect(reply.message).toMatchObject({ endpoint: "one" });
  });

  it("speaks to each upstream what it speaks, and JSON with all", async () => {
    const old = await startDemo("1.1", "old");
    try {
      const [url] = await manifold(`
listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  one: { endpoints: ["${one.url}"], schema: { image: api.binpb } }
  two: { endpoints: ["${two.url}"] }
  old: { endpoints: ["${old.url}"], protocols: [connect], http: 1.1, codecs: [proto, json] }
routes:
  - match: { headers: { x-to: old } }
    to: old
  - match: { headers: { x-to: two } }
    to: two
  - to: one
`);
      expect((await client(url!).greet({}, { headers: { "x-to": "old" } })).endpoint).toBe("old");
      const numbers = [];
      for await (const { number } of client(url!).countDown({ from: 3 }, { headers: { "x-to": "old" } })) {
        numbers.push(number);
      }
      expect(numbers).toEqual([3, 2, 1]);
      const post = async (to: string) => {
        const response = await postJson(`${url}/manifold.demo.v1.DemoService/Greet`, { name: "Ada" }, { "x-to": to });
        return { status: response.status, body: (await response.json()) as Record<string, unknown> };
      };
      expect(await post("one")).toEqual({ status: 200, body: { greeting: "Hello, Ada!", endpoint: "one" } });
      expect(await post("old")).toEqual({ status: 200, body: { greeting: "hello Ada by connect", endpoint: "old" } });
      const refused = await post("two");
      expect(refused).toMatchObject({ status: 501, body: { code: "unimplemented" } });
      expect(refused.body.message).toContain("schema: reflection");
    } finally {
      old.close();
    }
  });

  it("takes the words of the command line for the case without a file", async () => {
    const old = await startDemo("1.1", "old");
    try {
      const words = [
        "--to",
        old.url,
        "--protocols",
        "grpc_web",
        "--http",
        "1.1",
        "--schema",
        join(folder, "api.binpb"),
      ];
      const url = await serve([...words, "--cors", "https://app.example.com", "--listen", "127.0.0.1:0"]);
      const response = await postJson(
        `${url}/manifold.demo.v1.DemoService/Greet`,
        { name: "Ada" },
        { origin: "https://app.example.com" },
      );
      expect(await response.json()).toEqual({ greeting: "hello Ada by grpc-web", endpoint: "old" });
      expect(response.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    } finally {
      old.close();
    }
  });

  it("lets pages call as a listener, or the command line, says", async () => {
    const file = `
listeners:
  - address: 127.0.0.1:0
    cors:
      origins: ["https://*.example.com"]
      allow_headers: [x-team]
      expose_headers: [x-seen]
      max_age: 10m
upstreams: { one: { endpoints: ["${one.url}"] } }
routes: [{ to: one }]
`;
    const preflight = async (url: string, origin: string) => {
      const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": "x-team" };
      const response = await fetch(`${url}/manifold.demo.v1.DemoService/Greet`, { method: "OPTIONS", headers });
      const values = ["allow-origin", "allow-headers", "max-age"].map((name) =>
        response.headers.get(`access-control-${name}`),
      );
      return [response.status, ...values];
    };
    const [url] = await manifold(file);
    const allowed = await preflight(url!, "https://app.example.com");
    expect(allowed).toEqual([204, "https://app.example.com", expect.stringContaining("x-team"), "600"]);
    expect(await preflight(url!, "https://app.example.com.evil.example")).toEqual([204, null, null, null]);
    const listened = await serve(["--config", join(folder, "manifold-0.yaml"), "--cors", "https://a.test"]);
    expect((await preflight(listened, "https://a.test"))[1]).toBe("https://a.test");
    expect((await preflight(listened, "https://app.example.com"))[1]).toBe(null);
    expect(program?.stdout()).not.toContain("Greet");
  });

  it("ends with 2 where the command line's schema can't be used", async () => {
    const result = await run([...argv, "--to", "http://127.0.0.1:1", "--schema", "gone.binpb"], { cwd: folder });
    expect(result).toMatchObject({ exit: 2, stdout: "" });
    expect(result.stderr).toContain("--schema: no such file: gone.binpb");
  });

  it("gives open calls the drain timeout and no longer", async () => {
    const [url] = await manifold(`
listeners: [{ address: "127.0.0.1:0" }]
upstreams: { one: { endpoints: ["${one.url}"] } }
routes: [{ to: one }]
drain_timeout: 300ms
`);
    const stream = client(url!).countDown({ from: 2, intervalMs: 10_000 })[Symbol.asyncIterator]();
    await stream.next();
    const next = failure(stream.next());
    program?.process.kill("SIGTERM");
    expect((await next)?.[0]).toBe(Code.Unavailable);
    expect(await until("manifold to end", () => program?.exit())).toBe(0);
  });
});
