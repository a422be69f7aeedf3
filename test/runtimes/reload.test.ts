/** Hot reload (fault E7): routes, upstreams, certificates and listeners change under calls and streams, and none is lost. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { call, callMany, connectPeer, describeOutcome, outcome, startCall } from "../support/grpc.ts";
import type { H2Peer } from "../support/h2-peer.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import type { PeerStream } from "../support/peer-stream.ts";
import { sleep, until } from "../support/until.ts";
import { echo, startUpstream, trailersOnly, type Upstream } from "../support/upstream.ts";
import { check, figure, onRuntime, runtime } from "./suite.ts";

const path = "/manifold.test.Reload/Get";
const holdPath = "/manifold.test.Reload/Hold";

const authority = new CertificateAuthority("manifold test authority");
const certificates = ["first", "second"].map((commonName) => authority.issue({ commonName, ips: ["127.0.0.1"] }));

onRuntime("hot reload", () => {
  /** Two that tell themselves apart by the message of their answer, one that echoes. */
  let one: Upstream;
  let two: Upstream;
  let echoing: Upstream;
  let manifold: Manifold;
  const peers: H2Peer[] = [];

  beforeAll(async () => {
    one = await startUpstream({ handlers: { [path]: trailersOnly(0, [["grpc-message", "one"]]), [holdPath]: echo } });
    two = await startUpstream({ handlers: { [path]: trailersOnly(0, [["grpc-message", "two"]]) } });
    echoing = await startUpstream({ record: false });
  });
  afterAll(async () => {
    await Promise.all([one, two, echoing].map((upstream) => upstream.close()));
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.socket.destroy();
    expect(await manifold.stop()).toBe(0);
  });

  async function connect(port = manifold.port, options?: Parameters<typeof connectPeer>[1]): Promise<H2Peer> {
    const peer = await connectPeer(port, options);
    peers.push(peer);
    return peer;
  }

  const configWith = (more: object) => ({
    listeners: [{ address: "127.0.0.1:0" }],
    upstreams: { main: { endpoints: [one.url] } },
    routes: [{ to: "main" }],
    ...more,
  });

  /** As editors and configuration tools do: written beside, then renamed. */
  function write(config: object | string, file = "manifold.yaml"): void {
    const text = typeof config === "string" ? config : JSON.stringify(config, undefined, 2);
    writeFileSync(join(manifold.folder, `${file}.new`), text);
    renameSync(join(manifold.folder, `${file}.new`), join(manifold.folder, file));
  }

  const reloads = () => manifold.program.stdout().split('"reloaded').length - 1;

  /** Reloads by signal, and waits for what it says. */
  async function reload(config: object | string): Promise<string> {
    const [before, said] = [reloads(), manifold.program.stdout().length];
    write(config);
    manifold.program.process.kill("SIGHUP");
    await until("the reload", () => reloads() > before);
    return manifold.program.stdout().slice(said);
  }

  const answer = async (peer: H2Peer) => (await call(peer, path)).message;

  check(
    "E7: SIGHUP: new calls go by the new file, on connections that stay; a stream that is open goes on",
    async () => {
      manifold = await startManifold({ runtime, config: configWith({}), args: ["--no-watch"] });
      const peer = await connect();
      expect(await answer(peer)).toBe("one");
      const stream = peer.open(startFields(holdPath));
      stream.sendData(Buffer.from("a"));
      await until("the stream's echo", () => stream.bytes === 1);
      const connection = one.connections.at(-1)!.peer;
      const said = await reload(
        configWith({ upstreams: { other: { endpoints: [two.url] } }, routes: [{ to: "other" }] }),
      );
      expect(said).toContain('["- upstream main","+ upstream other","~ route *: to"]');
      expect(await answer(peer)).toBe("two");
      expect(peer.goaways).toEqual([]);
      await sleep(300);
      stream.sendData(Buffer.from("b"), { end: true });
      await stream.finished;
      expect([Buffer.concat(stream.chunks).toString(), outcome(stream).status]).toEqual(["ab", 0]);
      await until("the connection of the upstream that has gone to be closed", () => connection.closed, 20_000);
    },
  );

  check("E7: an upstream whose settings are the same keeps its connections, a listener its port", async () => {
    manifold = await startManifold({ runtime, config: configWith({}), args: ["--no-watch"] });
    const peer = await connect();
    expect(await answer(peer)).toBe("one");
    const before = one.connections.length;
    const said = await reload(configWith({ routes: [{ match: { service: "a.B" }, to: "main" }, { to: "main" }] }));
    expect(said).toContain('["+ route a.B"]');
    expect(await answer(peer)).toBe("one");
    expect(await answer(await connect())).toBe("one");
    expect(one.connections.length).toBe(before);
    const again = await reload(configWith({ upstreams: { main: { endpoints: [one.url, two.url], max_pending: 7 } } }));
    expect(again).toContain("~ upstream main: endpoints +1, max_pending");
    expect(await callMany([peer], path, { calls: 20, concurrency: 4 })).toEqual([]);
    expect(two.calls.length).toBeGreaterThan(0);
  });

  check("E7: the file is watched: renamed over, or exchanged by its link as Kubernetes does", async () => {
    const config = configWith({});
    manifold = await startManifold({ runtime, config });
    const peer = await connect();
    expect(await answer(peer)).toBe("one");
    const other = configWith({ upstreams: { main: { endpoints: [two.url] } } });
    write(other);
    await until("the reload", () => reloads() === 1);
    expect(await answer(peer)).toBe("two");
    const { folder } = manifold;
    for (const [name, content] of [
      ["..1", config],
      ["..2", other],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "manifold.yaml"), JSON.stringify(content));
    }
    symlinkSync("..1", join(folder, "..data"));
    symlinkSync("..data/manifold.yaml", join(folder, "link"));
    renameSync(join(folder, "link"), join(folder, "manifold.yaml"));
    await until("the reload", () => reloads() === 2);
    expect(await answer(peer)).toBe("one");
    symlinkSync("..2", join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
    await until("the reload", () => reloads() === 3);
    expect(await answer(peer)).toBe("two");
    expect(peer.goaways).toEqual([]);
  });

  check("E7: a broken file changes nothing, and is shown with line and caret; mended, it counts", async () => {
    manifold = await startManifold({ runtime, config: configWith({}) });
    const peer = await connect();
    write("listeners: [{ address: 127.0.0.1:0 }]\nroutes:\n  - to: nowhere\n");
    const shown = await until(
      "the report",
      () => /\n {4}\| .*\^+.*$/m.test(manifold.program.stderr()) && manifold.program.stderr(),
    );
    expect(shown).toContain(
      'manifold.yaml:3:9: unknown upstream "nowhere"\n  3 |   - to: nowhere\n    |         ^^^^^^^',
    );
    await until("a line in the log", () => manifold.program.stdout().includes("not reloaded, nothing has changed"));
    expect(await answer(peer)).toBe("one");
    const taken = configWith({ listeners: [{ address: "127.0.0.1:0" }, { address: `127.0.0.1:${one.port}` }] });
    write({ ...taken, upstreams: { main: { endpoints: [two.url] } } });
    await until("the second report", () => manifold.program.stderr().includes("EADDRINUSE"));
    expect(await answer(peer)).toBe("one");
    write(configWith({ upstreams: { main: { endpoints: [two.url] } } }));
    await until("the reload", () => reloads() === 1);
    expect(await answer(peer)).toBe("two");
    expect(peer.goaways).toEqual([]);
  });

  check("E7: certificates rotate without a new listener; listeners come and go", async () => {
    const tls = { cert: "tls.crt", key: "tls.key" };
    const files = { "tls.crt": certificates[0]!.cert, "tls.key": certificates[0]!.key };
    const secure = { address: "127.0.0.1:0", tls };
    const config = configWith({ listeners: [secure, { address: "localhost:0" }] });
    manifold = await startManifold({ runtime, config, files });
    const options: ConnectionOptions = { ca: authority.cert };
    const old = await connect(manifold.ports[0], { tls: options });
    const leaving = await connect(manifold.ports[1]);
    expect(await commonName(manifold.ports[0]!)).toBe("first");
    const held = startCall(leaving, holdPath, { body: Buffer.alloc(0) });
    write(certificates[1]!.key, "tls.key");
    write(certificates[1]!.cert, "tls.crt");
    await until("the reload", () => manifold.program.stdout().includes("tls.cert (file), tls.key (file)"));
    expect(await commonName(manifold.ports[0]!)).toBe("second");
    expect(await answer(old)).toBe("one");
    const said = await reload(configWith({ listeners: [secure, { address: "[::1]:0" }, { address: "127.0.0.2:0" }] }));
    expect(said).toContain("- listener localhost:0");
    expect(said).toContain("+ listener 127.0.0.2:0");
    expect(said).toMatch(/listening on http:\/\/127\.0\.0\.2:\d+/);
    await expect(connectPeer(manifold.ports[1]!)).rejects.toThrow();
    await held.finished;
    await until("the listener that was removed to end its connection", () => leaving.closed);
    expect(old.goaways).toEqual([]);
  });

  check("E7: 10 reloads under load: no call fails, no stream is cut", async () => {
    const tls = { cert: "tls.crt", key: "tls.key" };
    const files = { "tls.crt": certificates[0]!.cert, "tls.key": certificates[0]!.key };
    const listeners = [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls }];
    const configAt = (round: number) => ({
      listeners,
      upstreams: { main: { endpoints: [echoing.url], max_pending: 1_000 + round }, kept: { endpoints: [echoing.url] } },
      routes: [
        { match: { service: `round.${round}` }, to: "kept" },
        { match: { method: "*/Hold" }, to: "kept" },
        { to: "main" },
      ],
    });
    manifold = await startManifold({ runtime, config: configAt(0), files, args: ["--no-watch"] });
    const callers = await Promise.all([
      connect(),
      connect(),
      connect(manifold.ports[1], { tls: { ca: authority.cert } }),
    ]);
    const streams: PeerStream[] = callers.flatMap((peer) =>
      [holdPath, path].flatMap((which) => Array.from({ length: 4 }, () => peer.open(startFields(which)))),
    );
    const ping = (text: string) => {
      for (const stream of streams) stream.sendData(Buffer.from(text));
    };
    ping("a");
    let calls = 0;
    const failures: string[] = [];
    let running = true;
    const caller = async (index: number) => {
      while (running) {
        const result = await call(callers[index % callers.length]!, path);
        calls++;
        if (result.status !== 0) failures.push(describeOutcome(result));
        await sleep(5);
      }
    };
    const load = Array.from({ length: 12 }, (_, index) => caller(index));
    for (let round = 1; round <= 10; round++) {
      const { cert, key } = certificates[round % 2]!;
      write(cert, "tls.crt");
      write(key, "tls.key");
      await reload(configAt(round));
      await sleep(100);
    }
    running = false;
    await Promise.all(load);
    ping("b");
    for (const stream of streams) stream.sendData(Buffer.from("c"), { end: true });
    await Promise.all(streams.map(({ finished }) => finished));
    figure(`${failures.length} of ${calls} calls failed, with 10 reloads`);
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
    expect(streams.map((stream) => `${Buffer.concat(stream.chunks)} ${outcome(stream).status}`)).toEqual(
      streams.map(() => "abc 0"),
    );
    expect(callers.flatMap(({ goaways }) => goaways)).toEqual([]);
  });
});

function startFields(which: string) {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", which],
    [":authority", "test.example"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ] as const;
}

/** Of the certificate that a new connection is shown. */
function commonName(port: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port, ca: authority.cert, ALPNProtocols: ["h2"] });
    socket.once("error", reject).once("secureConnect", () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
  });
}
