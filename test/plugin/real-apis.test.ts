/** The generator on APIs that nobody here wrote: generated, built, linted, read with what the layout `wrap` writes, and called. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, createFileRegistry, type DescMethodUnary, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, describe, expect, it } from "vitest";
import { wrap } from "../../src/layout/wrap.ts";
import { type FanOutMethod, fanOutsOf } from "../../src/schema/fan-outs.ts";
import { startManifold } from "../support/manifold.ts";
import { run } from "../support/program.ts";
import { root } from "../support/runtimes.ts";
import { startUpstream } from "../support/upstream.ts";
import { Workspace } from "./workspace.ts";

interface Api {
  readonly name: string;
  /** Folders to copy, by the path that imports have: "google/rpc". */
  readonly folders: Readonly<Record<string, string | undefined>>;
  /** What is said where a folder is absent. */
  readonly from: string;
  /** Some of its methods, as they are to be fanned out. */
  readonly some: readonly Partial<FanOutMethod>[];
}

const googleapis = join(root, "node_modules/google-proto-files/google");
const googleFolders = [
  "api",
  "bigtable/v2",
  "firestore/v1",
  "iam/v1",
  "logging/type",
  "logging/v2",
  "longrunning",
  "pubsub/v1",
  "rpc",
  "rpc/context",
  "spanner/v1",
  "storage/v2",
  "type",
];

const apis: readonly Api[] = [
  {
    name: "the Connect conformance service",
    folders: {
      "connectrpc/conformance/v1": goModule("connectrpc.com", "conformance@", "proto/connectrpc/conformance/v1"),
    },
    from: "connectrpc.com/conformance in Go's module cache: run .ci/install-tools",
    some: [
      { method: "connectrpc.conformance.v1.ConformanceService/Unary", kind: "unary" },
      { method: "connectrpc.conformance.v1.ConformanceService/ServerStream", kind: "server_streaming" },
      { method: "connectrpc.conformance.v1.ConformanceService/ClientStream", kind: "client_streaming" },
      { method: "connectrpc.conformance.v1.ConformanceService/BidiStream", kind: "bidi_streaming" },
    ],
  },
  {
    name: "grpc.health.v1",
    folders: { "grpc/health/v1": fileURLToPath(new URL("others/grpc/health/v1", import.meta.url)) },
    from: "this repository",
    some: [
      { method: "grpc.health.v1.Health/Check", kind: "unary", progressive: false },
      { method: "grpc.health.v1.Health/Check", kind: "unary", progressive: true },
      { method: "grpc.health.v1.Health/Watch", kind: "server_streaming" },
    ],
  },
  {
    name: "APIs of Google",
    folders: Object.fromEntries(googleFolders.map((folder) => [`google/${folder}`, join(googleapis, folder)])),
    from: "the package google-proto-files: run npm ci",
    some: [
      {
        match: "google.pubsub.v1.PublisherFanOut/Publish",
        method: "google.pubsub.v1.Publisher/Publish",
        kind: "unary",
      },
      { method: "google.pubsub.v1.Subscriber/StreamingPull", kind: "bidi_streaming" },
      { method: "google.spanner.v1.Spanner/ExecuteStreamingSql", kind: "server_streaming" },
      { method: "google.storage.v2.Storage/WriteObject", kind: "client_streaming" },
    ],
  },
];

describe.each(apis)("protoc-gen-manifold, given $name,", ({ name, folders, from, some }) => {
  const absent = Object.values(folders).some((folder) => folder === undefined || !existsSync(folder));
  if (absent && process.env.CI) throw new Error(`${name}: not found: ${from}`);
  if (absent) console.log(`skipped: ${name} is taken from ${from}`);

  const space = new Workspace("google/rpc" in folders);
  afterAll(() => space.remove());

  it.skipIf(absent)("writes what can be built, used and linted", { timeout: 120_000 }, async () => {
    for (const [path, folder] of Object.entries(folders)) space.copy(`api/${path}`, folder!);
    space.module("api");
    const ts = ["target=ts", "import_extension=ts"];
    await space.generate(
      "api",
      { plugin: "manifold", out: "generated", opt: [...ts, "all"] },
      { plugin: "es", out: "generated", opt: [...ts, "erasable_syntax=true"] },
    );
    space.module("generated");
    const types = createFileRegistry(await space.build());
    const methods = fanOutsOf(types);
    expect(methods).toEqual(expect.arrayContaining(some.map((one) => expect.objectContaining(one))));
    expect(await newFaults(space)).toEqual([]);
    expect(await space.buf("format", "--diff", "generated")).toMatchObject({ stdout: "", exit: 0 });
    for (const method of methods) expectReadable(types, method);
    await expectTypes(space);
    await expectAnswers(space, types, methods);
  });
});

/** Calls every unary fan-out through the built command, with the image of what was generated and two servers that echo. */
async function expectAnswers(
  space: Workspace,
  types: ReturnType<typeof createFileRegistry>,
  methods: readonly FanOutMethod[],
): Promise<void> {
  const servers = await Promise.all([1, 2].map(() => startUpstream({ record: false })));
  const manifold = await startManifold({
    runtime: "node",
    files: { "fan-outs.binpb": readFileSync(join(space.path, "image.binpb")) },
    config: {
      listeners: [{ address: "127.0.0.1:0" }],
      upstreams: { nodes: { endpoints: servers.map(({ url }, at) => ({ name: `node-${at}`, url })) } },
      include: [{ file: "fan-outs.binpb", to: "nodes" }],
    },
  });
  try {
    const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${manifold.port}`, defaultTimeoutMs: 10_000 });
    const unary = methods.filter(({ kind, progressive }) => kind === "unary" && !progressive);
    for (const { match } of unary.slice(0, 20)) {
      const [service = "", name] = match.split("/");
      const method = types.getService(service)!.methods.find((one) => one.name === name)! as DescMethodUnary;
      const { message } = await transport.unary(method, undefined, undefined, undefined, create(method.input));
      // biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
      const legs = (message as any).legs.map(({ info, reply }: any) => [
        info.backend,
        info.status,
        reply !== undefined,
      ]);
      expect([match, legs]).toEqual([match, [0, 1].map((at) => [`node-${at}`, undefined, true])]);
    }
    expect(unary.length).toBeGreaterThan(0);
  } finally {
    await manifold.stop();
    for (const server of servers) await server.close();
  }
}

/** What the linter says of the generated files, by rules that the source keeps. */
async function newFaults(space: Workspace): Promise<string[]> {
  const faults = async (module: string) => {
    const { stdout } = await space.buf("lint", module, "--error-format", "json");
    return stdout
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { type: string; path: string }]));
  };
  const old = new Set((await faults("api")).map(({ type }) => type));
  return (await faults("generated")).filter(({ type }) => !old.has(type)).map(({ type, path }) => `${path}: ${type}`);
}

/** Reads what `wrap` makes of a reply by the method's own reply type. */
function expectReadable(
  types: ReturnType<typeof createFileRegistry>,
  { match, method, kind, progressive }: FanOutMethod,
): void {
  const [called, made] = [method, match].map((path) => {
    const [service = "", name] = path.split("/");
    return types.getService(service)!.methods.find((one) => one.name === name)!;
  });
  const stream = kind === "server_streaming" || kind === "bidi_streaming";
  expect(made!.proto.serverStreaming).toBe(stream || progressive);
  expect(made!.proto.clientStreaming).toBe(called!.proto.clientStreaming);
  expect(made!.input).toBe(called!.input);
  const reply = toBinary(called!.output, create(called!.output));
  const part = wrap.annotate({ backend: "node-1", elapsedMs: 2 }, reply, stream);
  // biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
  const message = fromBinary(made!.output, part) as any;
  const leg = stream ? message : message.legs[0];
  expect([match, leg.info.backend, leg.reply !== undefined, message.$unknown]).toEqual([
    match,
    "node-1",
    true,
    undefined,
  ]);
}

/** Checks the generated code as a user's compiler does. */
async function expectTypes(space: Workspace): Promise<void> {
  const config = { extends: join(root, "tsconfig.json"), include: ["generated"], compilerOptions: { types: [] } };
  space.write("tsconfig.json", JSON.stringify(config));
  space.write("package.json", JSON.stringify({ type: "module" }));
  space.link("node_modules/rpc-manifold", root);
  for (const one of ["@bufbuild", "@connectrpc"]) space.link(`node_modules/${one}`, join(root, "node_modules", one));
  const { exit, stdout } = await run([join(root, "node_modules/.bin/tsc"), "-p", space.path], { timeoutMs: 120_000 });
  expect([stdout, exit]).toEqual(["", 0]);
}

/** A folder of a module in Go's cache; undefined where it isn't there. */
function goModule(host: string, prefix: string, folder: string): string | undefined {
  const modules = join(process.env.GOPATH ?? join(homedir(), "go"), "pkg/mod", host);
  const version = existsSync(modules)
    ? readdirSync(modules)
        .filter((one) => one.startsWith(prefix))
        .sort()
        .at(-1)
    : undefined;
  return version === undefined ? undefined : join(modules, version, folder);
}
