import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type DemoEndpoint, startDemoEndpoint } from "../../src/cli/demo/endpoint.ts";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { CertificateAuthority } from "../support/certificates.ts";
import { type Program, start } from "../support/program.ts";
import { commandOn, runtimesUnderTest } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

const authority = new CertificateAuthority("test");
const serverCert = authority.issue({ commonName: "server", dns: ["localhost"], ips: ["127.0.0.1"] });
const clientCert = authority.issue({ commonName: "client" });

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
    const listeners = yaml.split("address:").length - 1;
    writeFileSync(join(folder, "manifold.yaml"), yaml);
    const started = start([...argv, "--config", join(folder, "manifold.yaml")]);
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
