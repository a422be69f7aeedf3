/** The admin port (fault C7): who may ask, what is told, and what is done. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import { call, connectPeer, startCall } from "../support/grpc.ts";
import { adminAddress, type Manifold, type ManifoldOptions, startManifold } from "../support/manifold.ts";
import { run } from "../support/program.ts";
import { commandOn, root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { check, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Admin/Get";

interface Answer {
  status: number;
  body: string;
}

onRuntime("admin", () => {
  const cleanups: (() => unknown)[] = [];
  let folder: string;
  let upstream: Upstream;
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** Each with a runtime folder of its own. */
  async function stage(
    admin: object,
    more: Partial<ManifoldOptions> & { routes?: object[]; endpoints?: object[] } = {},
  ): Promise<Manifold> {
    upstream = await startUpstream();
    folder = mkdtempSync(join(tmpdir(), "manifold-test-admin-"));
    cleanups.push(
      () => upstream.close(),
      () => rmSync(folder, { recursive: true }),
    );
    const manifold = await startManifold({
      runtime,
      ...more,
      env: { XDG_RUNTIME_DIR: folder },
      config: {
        listeners: [{ address: "127.0.0.1:0" }],
        upstreams: { main: { endpoints: [upstream.url, ...(more.endpoints ?? [])] } },
        routes: more.routes ?? [{ to: "main" }],
        admin: { address: "127.0.0.1:0", ...admin },
      },
    });
    cleanups.push(() => manifold.stop());
    return manifold;
  }

  const adminPort = (manifold: Manifold) => Number(adminAddress(manifold)!.split(":")[1]);
  const runtimeFile = () => join(folder, "manifold", readdirSync(join(folder, "manifold"))[0]!);
  const tokenOf = () => (JSON.parse(readFileSync(runtimeFile(), "utf8")) as { token: string }).token;

  function ask(manifold: Manifold, what: string, headers: Record<string, string> = {}): Promise<Answer> {
    const [method, url] = what.split(" ");
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: adminPort(manifold), method, path: url, headers, agent: false };
      request(options, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode!, body }));
      })
        .on("error", reject)
        .end();
    });
  }

  const withToken = (token = tokenOf()) => ({ authorization: `Bearer ${token}` });

  /** The command, as the one that serves runs it. */
  function manifold(...words: string[]) {
    const command = commandOn(runtime);
    const argv = "argv" in command ? command.argv : [];
    return run([...argv, ...words], { cwd: root, env: { ...process.env, XDG_RUNTIME_DIR: folder } });
  }

  check("C7: another address, a foreign Host, POST without the token: refused", async () => {
    const server = await stage({});
    const elsewhere = connectTcp(adminPort(server), "127.0.0.2");
    const connected = new Promise((resolve, reject) => elsewhere.once("connect", resolve).once("error", reject));
    await expect(connected).rejects.toThrow("ECONNREFUSED");
    for (const host of [
      "evil.example",
      `evil.example:${adminPort(server)}`,
      "127.0.0.1.evil.example",
      "127.0.0.1@evil.example",
    ]) {
      expect((await ask(server, "GET /metrics", { host })).status, host).toBe(403);
      expect((await ask(server, "POST /drain", { host, ...withToken() })).status, host).toBe(403);
    }
    for (const host of ["localhost", "127.0.0.1:9901", "[::1]"]) {
      expect((await ask(server, "GET /metrics", { host })).status, host).toBe(200);
    }
    for (const headers of [{}, withToken("guessed"), withToken(`${tokenOf()}x`), { authorization: tokenOf() }]) {
      expect((await ask(server, "POST /drain", headers)).status).toBe(401);
      expect((await ask(server, "POST /endpoints/main/x/disable", headers)).status).toBe(401);
    }
    expect((await ask(server, "GET /drain")).status).toBe(405);
    expect((await ask(server, "GET /")).status).toBe(404);
    expect(server.program.exit()).toBeUndefined();
    expect(statSync(runtimeFile()).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "manifold")).mode & 0o777).toBe(0o700);
  });

  check("C7: other machines reach it only where a token is given, and then GET needs it, too", async () => {
    const token = "0123456789abcdef-token";
    const server = await stage({ address: "0.0.0.0:0", token_file: "token" }, { files: { token: `${token}\n` } });
    expect((await ask(server, "GET /metrics")).status).toBe(401);
    expect((await ask(server, "GET /metrics", withToken(token))).status).toBe(200);
    const file = join(server.folder, "open.yaml");
    writeFileSync(file, 'admin: { address: "0.0.0.0:9901" }\nroutes: [{ refuse: { code: aborted } }]\n');
    const checked = await manifold("check", "--config", file);
    expect(checked.exit).toBe(1);
    expect(checked.stderr).toContain("open.yaml:1:19: admin needs a token_file where other machines reach it");
  });

  check("C7: secrets are masked, and the token is nowhere", async () => {
    const routes = [
      { to: "main", add_headers: { authorization: "secret-1", "x-api-key": ["secret-2"], "x-stage": "test" } },
    ];
    const server = await stage({}, { routes });
    const { body } = await ask(server, "GET /config");
    expect(body).not.toContain("secret-");
    expect(JSON.parse(body)).toMatchObject({
      file: join(server.folder, "manifold.yaml"),
      config: {
        routes: [{ to: "main", add_headers: { authorization: "***", "x-api-key": ["***"], "x-stage": "test" } }],
      },
    });
    const said = [body, (await ask(server, "GET /metrics")).body, server.program.stdout(), server.program.stderr()];
    expect(said.join()).not.toContain(tokenOf());
  });

  check("metrics count calls by route, upstream, protocol and status; what is open is told", async () => {
    const server = await stage({}, { routes: [{ name: "all", to: "main" }] });
    upstream.handle("/manifold.test.Admin/Fail", trailersOnly(5));
    upstream.handle("/manifold.test.Admin/Hold", () => {});
    const peer = await connectPeer(server.port);
    cleanups.push(() => peer.socket.destroy());
    for (let count = 0; count < 3; count++) await call(peer, path);
    await call(peer, "/manifold.test.Admin/Fail");
    void call(peer, "/manifold.test.Admin/Hold").catch(() => {});
    await until("the call upstream", () => upstream.calls.length === 5);
    const { body } = await ask(server, "GET /metrics");
    const labels = 'route="all",upstream="main",protocol="grpc"';
    const target = upstream.url.slice("http://".length);
    for (const line of [
      `manifold_calls_total{${labels},status="ok"} 3`,
      `manifold_calls_total{${labels},status="not_found"} 1`,
      `manifold_call_duration_seconds_bucket{${labels},le="+Inf"} 4`,
      `manifold_call_duration_seconds_count{${labels}} 4`,
      `manifold_request_bytes_total{${labels}} 40`,
      `manifold_response_bytes_total{${labels}} 30`,
      `manifold_downstream_connections{listener="127.0.0.1:${server.port}"} 1`,
      `manifold_downstream_streams{listener="127.0.0.1:${server.port}"} 1`,
      `manifold_upstream_connections{upstream="main",endpoint="${target}",address="${target}"} 1`,
      `manifold_upstream_streams{upstream="main",endpoint="${target}",address="${target}"} 1`,
    ]) {
      expect(body.split("\n")).toContain(line);
    }
    expect(body).toMatch(/^# TYPE manifold_call_duration_seconds histogram$/m);
    const { upstreams } = JSON.parse((await ask(server, "GET /upstreams")).body) as { upstreams: unknown[] };
    expect(upstreams).toEqual([
      {
        name: "main",
        panic: false,
        attempts: 5,
        failures: 0,
        ejections: 0,
        rejected: { connections: 0, pending: 0, requests: 0, retries: 0 },
        endpoints: [expect.objectContaining({ address: target, state: "ready", enabled: true, streams: 1 })],
      },
    ]);
  });

  check("reload and drain, by HTTP and by the command", async () => {
    const server = await stage({}, { args: ["--no-watch"] });
    const file = join(server.folder, "manifold.yaml");
    const config = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...config, drain_timeout: "7s" }));
    expect(await ask(server, "POST /reload", withToken())).toEqual({
      status: 200,
      body: `${JSON.stringify({ changes: ["~ drain_timeout"] }, undefined, 2)}\n`,
    });
    writeFileSync(file, JSON.stringify({ ...config, drain_timeout: "8s" }));
    const reloaded = await manifold("reload", "--config", file);
    expect([reloaded.exit, reloaded.stdout]).toEqual([0, "reloaded\n  ~ drain_timeout\n"]);
    writeFileSync(file, "routes:\n  - to: nowhere\n");
    const refused = await ask(server, "POST /reload", withToken());
    expect(refused.status).toBe(422);
    expect(JSON.parse(refused.body)).toMatchObject({ report: expect.stringContaining('unknown upstream "nowhere"') });
    const failed = await manifold("reload", "--config", file);
    expect([failed.exit, failed.stdout]).toEqual([1, ""]);
    expect(failed.stderr).toMatch(
      /manifold\.yaml:2:9: unknown upstream "nowhere"\n +2 \| {3}- to: nowhere\n +\| +\^+ /,
    );
    expect((await ask(server, "POST /endpoints/main/nobody/disable", withToken())).status).toBe(404);
    expect((await ask(server, "POST /restart", withToken())).status).toBe(409);
    const metrics = (await ask(server, "GET /metrics")).body;
    expect(metrics).toContain('manifold_reloads_total{result="done"} ');
    expect((await ask(server, "POST /drain", withToken())).status).toBe(202);
    await until("the end", () => server.program.exit() !== undefined);
    expect(server.program.exit()).toBe(0);
    expect(readdirSync(join(folder, "manifold"))).toEqual([]);
    const nobody = await manifold("reload", "--config", file);
    expect(nobody.exit).toBe(1);
    expect(nobody.stderr).toContain("no process that runs");
  });

  check(
    "an endpoint that is disabled gets no new calls, and its streams go on; limits are counted by name",
    async () => {
      const second = await startUpstream();
      cleanups.push(() => second.close());
      const more = { name: "second", url: second.url };
      const server = await stage(
        {},
        { endpoints: [more], routes: [{ to: "main", rate_limit: { rate: "1/h", burst: 12 } }] },
      );
      const peer = await connectPeer(server.port);
      cleanups.push(() => peer.socket.destroy());
      const long = [
        startCall(peer, path, { body: Buffer.alloc(5), open: true }),
        startCall(peer, path, { body: Buffer.alloc(5), open: true }),
      ];
      await until("a stream at each", () => second.calls.length === 1 && upstream.calls.length === 1);
      expect((await ask(server, "POST /endpoints/main/second/disable", withToken())).status).toBe(200);
      for (let count = 0; count < 4; count++) expect((await call(peer, path)).status).toBe(0);
      expect([second.calls.length, upstream.calls.length]).toEqual([1, 5]);
      const state = async () => {
        const { upstreams } = JSON.parse((await ask(server, "GET /upstreams")).body) as {
          upstreams: { endpoints: { name: string; enabled: boolean; streams: number }[] }[];
        };
        return upstreams[0]!.endpoints.find(({ name }) => name === "second");
      };
      expect(await state()).toMatchObject({ enabled: false, streams: 1 });
      for (const stream of long) stream.sendData(Buffer.alloc(0), { end: true });
      await Promise.all(long.map(({ finished }) => finished));
      expect(long.map((stream) => stream.field("grpc-status", "trailers"))).toEqual(["0", "0"]);
      expect((await ask(server, "POST /endpoints/main/second/enable", withToken())).status).toBe(200);
      for (let count = 0; count < 4; count++) expect((await call(peer, path)).status).toBe(0);
      expect(second.calls.length).toBe(3);
      for (let count = 0; count < 5; count++) await call(peer, path);
      const metrics = (await ask(server, "GET /metrics")).body;
      expect(metrics).toContain('manifold_limit_rejections_total{limit="rate_limit"} 3');
      expect(metrics).toContain('manifold_upstream_attempts_total{upstream="main"} 12');
    },
  );
});
