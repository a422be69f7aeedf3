import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DemoService } from "../../src/gen/manifold/demo/v1/demo_pb.ts";
import { loadRoutes } from "../../src/local/load.ts";
import { createLocalRoutes } from "../../src/local/routes.ts";

describe("createLocalRoutes()", () => {
  it("finds methods by their path, whatever the query", () => {
    const routes = createLocalRoutes((router) => router.service(DemoService, {}));
    expect(routes.paths).toHaveLength(DemoService.methods.length);
    expect(routes.match("/manifold.demo.v1.DemoService/Greet")?.method.name).toBe("Greet");
    expect(routes.match("/manifold.demo.v1.DemoService/Greet?connect=v1")?.method.name).toBe("Greet");
    expect(routes.match("/manifold.demo.v1.DemoService/greet")).toBeUndefined();
    expect(routes.match("/manifold.demo.v1.DemoService/Greet/")).toBeUndefined();
    expect(routes.match("/")).toBeUndefined();
  });

  it("refuses a function that registers later", () => {
    expect(() => createLocalRoutes(() => Promise.reject(new Error("nobody hears it")))).toThrow("asynchronous");
  });

  it("refuses a method that is there twice", () => {
    expect(() =>
      createLocalRoutes((router) => router.service(DemoService, {}).rpc(DemoService.method.greet, () => ({}))),
    ).toThrow("/manifold.demo.v1.DemoService/Greet");
  });
});

describe("loadRoutes()", () => {
  let folder: string;
  let base: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "manifold-test-"));
    base = pathToFileURL(join(folder, "manifold.yaml")).href;
    writeFileSync(join(folder, "named.mjs"), "export function routes(router) { router.seen = 'named'; }");
    writeFileSync(join(folder, "default.mjs"), "export default (router) => { router.seen = 'default'; }");
    writeFileSync(join(folder, "neither.mjs"), "export const service = 1;");
    writeFileSync(join(folder, "empty.mjs"), "");
    writeFileSync(join(folder, "broken.mjs"), "import './not-there.mjs';");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([["named"], ["default"]])("takes the %s export", async (name) => {
    const router = { seen: "" };
    (await loadRoutes(`./${name}.mjs`, base))(router as never);
    expect(router.seen).toBe(name);
    expect(await loadRoutes(join(folder, `${name}.mjs`), base)).toBeTypeOf("function");
  });

  it.each([
    ["./neither.mjs", 'module "./neither.mjs" exports service, expected a function'],
    ["./empty.mjs", 'module "./empty.mjs" exports nothing'],
    ["./broken.mjs", 'module "./broken.mjs" can\'t be loaded'],
    ["./not-there.mjs", 'module "./not-there.mjs" can\'t be loaded'],
    ["routes.mjs", 'write "./routes.mjs"'],
  ])("names %s, which it can't use", async (specifier, message) => {
    await expect(loadRoutes(specifier, base)).rejects.toThrow(TypeError);
    await expect(loadRoutes(specifier, base)).rejects.toThrow(message);
  });
});
