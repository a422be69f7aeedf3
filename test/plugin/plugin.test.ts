/** The built plugin under buf, as users run it. Golden files: vitest --update writes them anew. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clearField, createFileRegistry, createRegistry, equals } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { fanOutsOf } from "../../src/schema/fan-outs.ts";
import { root } from "../support/runtimes.ts";
import { file_acme_google_v1_names_fanout } from "./golden/acme/google/v1/names_fanout_pb.ts";
import { file_acme_v1_disk_fanout } from "./golden/acme/v1/disk_fanout_pb.ts";
import { file_acme_v1_node_fanout } from "./golden/acme/v1/node_fanout_pb.ts";
import { file_acme_v1_ping_fanout } from "./golden/acme/v1/ping_fanout_pb.ts";
import { Workspace } from "./workspace.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
// Without the version, which changes.
const ts = ["target=ts", "import_extension=ts", "elide_plugin_version=true"];
const es = [...ts, "erasable_syntax=true"];
const manifold = { plugin: "manifold", out: "generated", opt: [...ts, "to=nodes"] } as const;

describe("protoc-gen-manifold", () => {
  const space = new Workspace();
  afterAll(() => space.remove());

  beforeAll(async () => {
    space.add("api", here("protos"));
    await space.generate("api", manifold, { plugin: "es", out: "generated", opt: es });
    space.module("generated");
  }, 120_000);

  it("writes the golden files, and no others", async () => {
    const names = ["acme/google/v1/names", "acme/v1/disk", "acme/v1/node", "acme/v1/ping"];
    const own = names.flatMap((name) =>
      ["_fanout.manifold.yaml", "_fanout.proto", "_fanout_pb.ts", "_pb.ts"].map((end) => name + end),
    );
    const imported = ["google/rpc/status_pb.ts", "manifold/v1/fanout_pb.ts"];
    expect(space.list("generated")).toEqual([...own, ...imported].sort());
    for (const [name, content] of Object.entries(space.contents("generated"))) {
      await expect(content).toMatchFileSnapshot(here(`golden/${name}`));
    }
  });

  it("writes the same bytes again, with what it wrote among its input", async () => {
    await space.generate("api", { ...manifold, out: "again" });
    await space.generate(".", { ...manifold, out: "again2", opt: [...manifold.opt, "emit=proto+routes"] });
    const first = space.contents("generated");
    for (const [name, content] of Object.entries(space.contents("again")))
      expect([name, content]).toEqual([name, first[name]]);
    const protos = space.list("again2");
    expect(protos).toEqual(Object.keys(first).filter((name) => /_fanout\.(proto|manifold\.yaml)$/.test(name)));
    for (const name of protos) expect(space.read(`again2/${name}`)).toBe(first[name]);
  });

  it("writes protos that buf's linter and its formatter have nothing to say of", async () => {
    expect(await space.buf("lint", "api")).toMatchObject({ stdout: "", stderr: "", exit: 0 });
    expect(await space.buf("lint", "generated")).toMatchObject({ stdout: "", stderr: "", exit: 0 });
    expect(await space.buf("format", "--diff", "generated")).toMatchObject({ stdout: "", exit: 0 });
  });

  it("writes protos and code that have the same descriptors", async () => {
    const registry = createRegistry();
    const { file } = await space.build();
    const embedded = [
      file_acme_google_v1_names_fanout,
      file_acme_v1_disk_fanout,
      file_acme_v1_node_fanout,
      file_acme_v1_ping_fanout,
    ];
    for (const { proto } of embedded) {
      const compiled = file.find(({ name }) => name === proto.name)!;
      clearField(compiled, FileDescriptorProtoSchema.field.sourceCodeInfo);
      compiled.$unknown = []; // buf's own
      expect([proto.name, equals(FileDescriptorProtoSchema, compiled, proto, { registry, unknown: true })]).toEqual([
        proto.name,
        true,
      ]);
    }
  });

  it("writes the code that protoc-gen-es would write", async () => {
    await space.generate("generated", { plugin: "es", out: "by-es", opt: ts });
    // Without what stands before, and what its linter is told.
    const body = (code: string) =>
      code.slice(code.indexOf("/**\n * Describes the file")).replaceAll(/ \*\n( \* buf:lint:ignore \w+\n)+/g, "");
    const fanOuts = space.list("by-es").filter((name) => name.endsWith("_fanout_pb.ts"));
    for (const name of fanOuts) {
      const own = body(space.read(`generated/${name}`));
      expect(own.slice(0, own.lastIndexOf("/**\n * What each backend"))).toBe(body(space.read(`by-es/${name}`)));
    }
    expect(fanOuts).toHaveLength(4);
  });

  it("writes routes that say the same as the options of the generated protos", async () => {
    const types = createFileRegistry(await space.build());
    const fromImage = fanOutsOf(types).map(({ match, layout, fields, progressive, ...fan_out }) => ({
      match: { method: match },
      fan_out: {
        to: ["nodes"],
        layout: fields === undefined ? layout : { merge: fields },
        ...fan_out,
        ...(progressive ? { progressive } : {}),
      },
    }));
    const files = space.list("generated").filter((name) => name.endsWith(".yaml"));
    const routes = files.flatMap((name) => parse(space.read(`generated/${name}`)).routes);
    expect(routes).toHaveLength(28);
    expect(routes).toEqual(expect.arrayContaining(fromImage));
    expect(fromImage).toHaveLength(routes.length);
  });

  it("writes JavaScript and its types", async () => {
    await space.generate("api", {
      ...manifold,
      out: "js",
      opt: ["import_extension=js", "elide_plugin_version=true", "emit=es"],
    });
    expect(space.list("js")).toEqual(
      ["google/v1/names", "v1/disk", "v1/node", "v1/ping"].flatMap((name) =>
        ["d.ts", "js"].map((kind) => `acme/${name}_fanout_pb.${kind}`),
      ),
    );
    for (const kind of ["d.ts", "js"]) {
      await expect(space.read(`js/acme/v1/ping_fanout_pb.${kind}`)).toMatchFileSnapshot(
        here(`golden-js/ping_fanout_pb.${kind}.txt`),
      );
    }
  });

  it("takes all methods where it is told to, and leaves out what it wrote itself", async () => {
    space.copy("unmarked/grpc", join(root, "proto/grpc"));
    space.module("unmarked");
    await space.generate(".", { plugin: "manifold", out: "all", opt: ["all", "emit=routes"] });
    const routes = space.list("all").flatMap((name) => parse(space.read(`all/${name}`)).routes);
    const methods = routes.map(({ match }) => match.method);
    expect(methods).toContain("acme.v1.NodeServiceFanOut/Reboot");
    expect(methods).not.toContain("acme.v1.DiskServiceFanOut/Format");
    expect(methods).toContain("grpc.reflection.v1.ServerReflectionFanOut/ServerReflectionInfo");
    expect(methods.join()).not.toContain("FanOutFanOut");
    expect(routes.every(({ fan_out }) => !("to" in fan_out))).toBe(true);
  });
});

describe("protoc-gen-manifold, of what it can't do,", () => {
  const space = new Workspace();
  afterAll(() => space.remove());

  const apis: Record<string, [content: string, ...expected: string[]]> = {
    merged: [
      `
service PingService {
  option (manifold.v1.fan_out_all).layout = LAYOUT_MERGE;
  rpc Ping(PingRequest) returns (PingResponse);
  rpc Pong(PingRequest) returns (stream PingRequest);
}
message PingRequest {}
message PingResponse {
  repeated PingRequest response = 1;
  // How many.
  int32 count = 2;
  map<string, PingRequest> all = 3;
}`,
      '9:1: merged.PingRequest has no field 99 for its metadata (layout "merge" of merged.PingService/Ping)',
      '13:3: field "count" of merged.PingResponse is singular: of all replies the last one\'s value would be left (layout "merge" of merged.PingService/Ping)',
      '14:3: field "all" of merged.PingResponse is a map: entries with the same key would replace each other (layout "merge" of merged.PingService/Ping)',
      '9:1: merged.PingRequest has no field 99 for its metadata (layout "merge" of merged.PingService/Pong)',
    ],
    service_name: [
      "service A { rpc Get(M) returns (M); } message AFanOut {}",
      '3:1: "AFanOut", the name of its fan-out, is taken',
    ],
    progressive_name: [
      "service A { rpc Get(M) returns (M); rpc GetProgressive(M) returns (M); }",
      '3:37: "GetProgressive" is the name of the progressive fan-out of "Get"',
    ],
    numbers: [
      "service A { rpc Get(M) returns (M) { option (manifold.v1.fan_out) = { layout: LAYOUT_MERGE merge: { error: 19001 } }; } }",
      '3:13: invalid field number 19001 for "error": 1 to 536870911, without 19000 to 19999',
    ],
    numbers_of_wrap: [
      "service A { rpc Get(M) returns (M) { option (manifold.v1.fan_out) = { merge: { error: 5 } }; } }",
      '3:13: fields of "merge" are of no use to the layout "wrap"',
    ],
    later_layout: [
      "service A { rpc Get(M) returns (M) { option (manifold.v1.fan_out) = { layout: 77 }; } }",
      "3:13: layout 77 is not known to this version",
    ],
  };

  it("names all of it at once, with its place", async () => {
    const expected = Object.entries(apis).flatMap(([name, [content, ...problems]]) => {
      const head = `syntax = "proto3"; package ${name};\nimport "manifold/v1/fanout.proto";\n`;
      space.write(`api/${name}.proto`, `${head}${content}\nmessage M {}\n`);
      return problems.map((problem) => `${name}.proto:${problem}`);
    });
    space.module("api");
    const { exit, stderr } = await space.tryGenerate("api", { plugin: "manifold", out: "out", opt: ["all"] });
    expect(exit).not.toBe(0);
    const [first, ...lines] = stderr.trimEnd().split("\n");
    expect(first).toContain("Failure: plugin");
    expect(lines.sort()).toEqual(expected.sort());
  });

  it("tells an option that it doesn't know", async () => {
    space.write("api/merged.proto", 'syntax = "proto3";\n');
    space.module("api");
    const { exit, stderr } = await space.tryGenerate("api", { plugin: "manifold", out: "out", opt: ["fanout=1"] });
    expect(exit).not.toBe(0);
    expect(stderr).toContain('unknown option "fanout": there are all, layout, to, emit, and those of protobuf-es');
  });
});
