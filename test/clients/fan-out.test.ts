/**
 * One call to three grpc-go servers (test/go/backend), by grpc-go through the command on every runtime, in cleartext and over TLS. And the
 * same calls to a proxy made of siderolabs/grpc-proxy (test/go/grpcproxy), whose replies must be the same byte for byte.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CertificateAuthority } from "../support/certificates.ts";
import { type CallResult, call, connectPeer } from "../support/grpc.ts";
import type { FieldPair } from "../support/hpack.ts";
import { type Manifold, startManifold } from "../support/manifold.ts";
import { type Program, start } from "../support/program.ts";
import { root, runtimesUnderTest, skipAbsent } from "../support/runtimes.ts";
import { findTool } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { expectAllOk } from "./all-ok.ts";

if (findTool("go")) spawnSync(join(root, "test/go/build"), { stdio: "inherit" });
const [backend, client, grpcProxy] = ["backend", "client", "grpcproxy"].map(findTool);
const hasAll =
  (backend !== undefined && client !== undefined && grpcProxy !== undefined) ||
  skipAbsent("fan-outs with grpc-go", "no programs in test/.cache/bin, and no Go to build them");

const names = ["a", "b", "c"];
const authority = new CertificateAuthority("fan-out authority");
const server = authority.issue({ commonName: "localhost", dns: ["localhost"], ips: ["127.0.0.1"] });

describe.skipIf(!hasAll)("fan-out", () => {
  const backends: Program[] = [];
  let addresses: string[];
  let model: Program;
  let modelPort: number;
  const folder = mkdtempSync(join(tmpdir(), "manifold-fan-out-"));
  const files = { "tls.crt": server.cert, "tls.key": server.key, "ca.crt": authority.cert };

  beforeAll(async () => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const tls = ["--cert", join(folder, "tls.crt"), "--key", join(folder, "tls.key")];
    backends.push(...names.map((name) => start([backend!, "--name", name])));
    backends.push(...names.map((name) => start([backend!, "--name", name, ...tls])));
    addresses = await Promise.all(backends.map(listening));
    model = start([grpcProxy!, "--to", addresses.slice(0, 3).join()]);
    modelPort = Number((await listening(model)).split(":")[1]);
  });
  afterAll(async () => {
    for (const program of [model, ...backends]) await program?.stop("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  describe.each(runtimesUnderTest())("through Manifold on %s", (runtime) => {
    let manifold: Manifold;

    beforeAll(async () => {
      const endpoints = (scheme: string, at: number) =>
        names.map((name, index) => ({ name, url: `${scheme}://${addresses[at + index]}` }));
      const kind = { unary: ["*/Unary"], client_streaming: ["*/ClientStream"] };
      const config = {
        listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { cert: "tls.crt", key: "tls.key" } }],
        upstreams: {
          plain: { endpoints: endpoints("http", 0) },
          secure: { endpoints: endpoints("https", 3), tls: { ca: "ca.crt" } },
          dead: { endpoints: [{ name: "dead", url: "http://127.0.0.1:1" }] },
          // named as the Go program names them: by their addresses
          model: { endpoints: addresses.slice(0, 3).map((address) => `http://${address}`) },
        },
        routes: [
          { match: { headers: { "x-model": "1" } }, fan_out: { to: "model", kind, layout: "merge" } },
          { match: { headers: { "x-layout": "merge" } }, fan_out: { to: "plain", kind, layout: "merge" } },
          { match: { headers: { "x-dead": "1" } }, fan_out: { to: ["plain", "dead"], kind } },
          { match: { authority: "localhost" }, fan_out: { to: "secure", kind } },
          { match: {}, fan_out: { to: "plain", kind } },
        ],
      };
      manifold = await startManifold({ runtime, config, files });
    });
    afterAll(async () => {
      expect(await manifold?.stop()).toBe(0);
    });

    it("grpc-go gets of wrapped and merged replies what each backend said", async () => {
      await expectAllOk([client!, "--addr", `127.0.0.1:${manifold.ports[0]}`, "--fan-out", names.join()], 16);
    });

    it("grpc-go does so over TLS, to backends over TLS", async () => {
      const tls = ["--ca", join(folder, "ca.crt"), "--server-name", "localhost"];
      await expectAllOk([client!, "--addr", `127.0.0.1:${manifold.ports[1]}`, "--fan-out", names.join(), ...tls], 16);
    });

    it.each(sameCalls)(
      "merged replies are those of siderolabs/grpc-proxy: %s",
      async (_what, { path, body, headers }) => {
        const [ours, theirs] = await Promise.all(
          [manifold.port, modelPort].map(async (port) => {
            const peer = await connectPeer(port);
            const result = await call(peer, `/manifold.test.v1.Test/${path}`, {
              messages: [Buffer.from(body, "hex")],
              headers: [["x-model", "1"], ...headers],
            });
            await peer.close();
            return result;
          }),
        );
        expect(ours!.status).toBe(theirs!.status);
        expect(path === "Unary" ? elements(ours!) : streamed(ours!)).toEqual(
          path === "Unary" ? elements(theirs!) : streamed(theirs!),
        );
        // the model drops the trailers of legs that fail
        const succeeded = headers.every(([name]) => !name.includes("x-fail"));
        if (succeeded) expect(endpoints(ours!)).toEqual(endpoints(theirs!));
      },
    );
  });
});

interface SameCall {
  path: "Unary" | "ServerStream";
  /** The request, which the backends echo: so it has the form of a reply. */
  body: string;
  headers: FieldPair[];
}

/** Replies of one element: with 0, 2 and 3 the model is at fault. */
const one = "0a070a05hello".replace("hello", Buffer.from("hello").toString("hex"));
const sameCalls: [what: string, call: SameCall][] = [
  ["one element", { path: "Unary", body: one, headers: [] }],
  ["an empty element", { path: "Unary", body: "0a00", headers: [] }],
  ["an element with fields that nobody knows", { path: "Unary", body: "0a0908959aef3a12026869", headers: [] }],
  ["an element of 20,000 bytes", { path: "Unary", body: `0aa39c010a9f9c01${"61".repeat(19_999)}`, headers: [] }],
  [
    "all fail",
    {
      path: "Unary",
      body: one,
      headers: [
        ["x-fail", "9"],
        ["x-fail-message", "not now"],
      ],
    },
  ],
  [
    "one fails",
    {
      path: "Unary",
      body: one,
      headers: [
        ["b.x-fail", "16"],
        ["b.x-fail-message-bin", "w7xiZXI"],
      ],
    },
  ],
  [
    "codes that nobody knows",
    {
      path: "Unary",
      body: one,
      headers: [
        ["x-fail", "77"],
        ["x-fail-message", "50% off"],
      ],
    },
  ],
  ["messages of a stream", { path: "ServerStream", body: "0a0568656c6c6f", headers: [["x-reply-count", "5"]] }],
  [
    "a stream that fails",
    {
      path: "ServerStream",
      body: "0a00",
      headers: [
        ["x-reply-count", "5"],
        ["x-fail", "8"],
        ["x-fail-after", "3"],
      ],
    },
  ],
  [
    "a stream that fails at once",
    {
      path: "ServerStream",
      body: "0a00",
      headers: [
        ["x-fail", "5"],
        ["x-fail-message", "who?"],
      ],
    },
  ],
];

/** Top-level fields of a unary reply, as they are, in an order of their own: the model's is that of arrival. */
function elements({ messages }: CallResult): string[] {
  expect(messages).toHaveLength(1);
  const { bytes } = messages![0]!;
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    let [length, shift, next] = [0, 0, at + 1];
    for (let more = true; more; shift += 7) {
      more = bytes[next]! >= 0x80;
      length += (bytes[next++]! & 0x7f) * 2 ** shift;
    }
    found.push(bytes.subarray(at, next + length).toString("hex"));
    at = next + length;
  }
  return found.sort();
}

function streamed({ messages }: CallResult): string[] {
  return messages!.map(({ bytes }) => bytes.toString("hex")).sort();
}

/** What the legs say of themselves in trailers. */
function endpoints({ stream }: CallResult): string[] {
  const from = stream.trailers ?? stream.headers;
  return from.flatMap(([name, value]) => (name === "x-endpoint" ? [value] : [])).sort();
}

async function listening(program: Program): Promise<string> {
  return until("a program to listen", () => /listening (\S+)/.exec(program.stdout())?.[1]);
}
