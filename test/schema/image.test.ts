import { gzipSync } from "node:zlib";
import { create, toJsonString } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { schemaOfImage } from "../../src/schema/image.ts";
import type { MethodSchema } from "../../src/schema/schema.ts";
import { file, image, message, method, service, things, thingsService } from "./descriptors.ts";

const json = (...files: (typeof things)[]) =>
  Buffer.from(toJsonString(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files })));

const find = (bytes: Uint8Array, path: string) => schemaOfImage(bytes).method(path) as MethodSchema | undefined;

describe("schemaOfImage()", () => {
  it.each([
    ["Get", "Note", "Thing", "unary", true],
    ["Watch", "Note", "Thing", "server_streaming", false],
    ["Put", "Thing", "Note", "client_streaming", false],
    ["Talk", "Thing", "Thing", "bidi_streaming", false],
  ])("knows %s by its path", (name, input, output, kind, idempotent) => {
    const found = find(image(things, thingsService), `/acme.v1.Things/${name}`)!;
    expect([found.input.typeName, found.output.typeName]).toEqual([`acme.v1.${input}`, `acme.v1.${output}`]);
    expect(found).toMatchObject({ path: `/acme.v1.Things/${name}`, kind, idempotent });
    expect(found.types.getMessage("acme.v1.Note")).toBeDefined();
  });

  it.each([
    "",
    "/",
    "/acme.v1.Things",
    "/acme.v1.Things/get",
    "acme.v1.Things/Get",
    "/acme.v1.Things/Get/",
    "/__proto__/x",
  ])("knows nothing of %j", (path) => {
    expect(find(image(things, thingsService), path)).toBeUndefined();
  });

  it.each([
    ["binary", image(things, thingsService)],
    ["binary, gzipped", gzipSync(image(things, thingsService))],
    ["JSON", json(things, thingsService)],
    ["JSON, gzipped", gzipSync(json(things, thingsService))],
    ["JSON, indented", Buffer.from(`\n  ${json(things, thingsService)}`)],
    ["in the wrong order", image(thingsService, things)],
    ["with a file twice", image(things, thingsService, things)],
  ])("reads an image that is %s", (_what, bytes) => {
    expect(find(bytes, "/acme.v1.Things/Get")).toBeDefined();
  });

  it("skips what only Buf knows", () => {
    const set = JSON.parse(json(things, thingsService).toString());
    for (const each of set.file) each.bufExtension = { isImport: false, unusedDependency: [] };
    expect(find(Buffer.from(JSON.stringify(set)), "/acme.v1.Things/Get")).toBeDefined();
  });

  it.each([
    ["nothing", new Uint8Array(0), "no services"],
    ["no services", image(things), "no services"],
    ["text", Buffer.from("syntax = 'proto3';"), "no Buf image or FileDescriptorSet"],
    ["other JSON", Buffer.from('{"file": 5}'), "no Buf image or FileDescriptorSet"],
    ["broken JSON", Buffer.from('{"file": ['), "no Buf image or FileDescriptorSet"],
    ["half an image", image(things, thingsService).subarray(0, 100), "no Buf image or FileDescriptorSet"],
    ["half a gzip", gzipSync(image(things, thingsService)).subarray(0, 100), "not gzip"],
    ["an import left out", image(thingsService), '"acme/v1/things.proto", imported by "acme/v1/service.proto"'],
    [
      "a type left out",
      image(file("a.proto", { package: "a", service: [service("S", method("M", "a.In -> a.Out"))] })),
      "a.In",
    ],
    [
      "a circle of imports",
      image(file("a.proto", { dependency: ["b.proto"] }), file("b.proto", { dependency: ["a.proto"] })),
      "imports itself",
    ],
    ["a file that imports itself", image(file("a.proto", { dependency: ["a.proto"] })), "imports itself"],
  ])("refuses %s, and says why", (_what, bytes, why) => {
    expect(() => schemaOfImage(bytes)).toThrow(why);
  });

  it("links a chain of imports of any length, and many ways to one file", () => {
    const files = Array.from({ length: 3000 }, (_, at) =>
      file(`${at}.proto`, {
        dependency: [at + 1, at + 2].filter((next) => next < 3000).map((next) => `${next}.proto`),
      }),
    );
    const last = file("s.proto", {
      package: "s",
      dependency: ["0.proto"],
      messageType: [message("In", {})],
      service: [service("S", method("M", "s.In -> s.In"))],
    });
    expect(find(image(last, ...files), "/s.S/M")).toBeDefined();
  });
});
