/** A folder in which buf and the built plugin work, as they do in a user's project. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { run } from "../support/program.ts";
import { root } from "../support/runtimes.ts";

const programs = {
  buf: join(root, "node_modules/.bin/buf"),
  es: join(root, "node_modules/.bin/protoc-gen-es"),
  manifold: join(root, "bin/protoc-gen-manifold"),
};

/** A plugin's run: where its files go, and its options. */
export interface Generation {
  readonly plugin: "es" | "manifold";
  readonly out: string;
  readonly opt: readonly string[];
}

export class Workspace {
  readonly path = mkdtempSync(join(tmpdir(), "manifold-plugin-"));
  readonly #modules: { path: string; includes?: string[] }[] = [];

  /** @param hasGoogle the user has google/rpc/status.proto already, so the package's copy is left out */
  constructor(hasGoogle = false) {
    // What a user has of the package; options come from there, and LegInfo.
    for (const folder of ["google", "manifold/v1"]) this.copy(`manifold/${folder}`, join(root, "proto", folder));
    this.#modules.push({ path: "manifold", ...(hasGoogle ? { includes: ["manifold/manifold"] } : {}) });
  }

  /** Copies a folder of protos, which becomes a module. */
  add(name: string, from: string): void {
    this.copy(name, from);
    this.module(name);
  }

  /** Copies a folder, as if its files could be written to: those in Go's module cache can't. */
  copy(name: string, from: string): void {
    for (const one of readdirSync(from, { recursive: true, encoding: "utf8" })) {
      if (one.endsWith(".proto")) this.write(join(name, one), readFileSync(join(from, one), "utf8"));
    }
  }

  /** Makes a link to a folder. */
  link(name: string, to: string): void {
    mkdirSync(join(this.path, name, ".."), { recursive: true });
    symlinkSync(to, join(this.path, name), "dir");
  }

  /** Makes a module of a folder that is there. */
  module(name: string): void {
    if (!this.#modules.some(({ path }) => path === name)) this.#modules.push({ path: name });
    this.write("buf.yaml", JSON.stringify({ version: "v2", modules: this.#modules }));
  }

  write(name: string, content: string): void {
    mkdirSync(join(this.path, name, ".."), { recursive: true });
    writeFileSync(join(this.path, name), content);
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), "utf8");
  }

  /** Files below a folder, in order: "acme/v1/node.proto". */
  list(folder: string): string[] {
    const all = readdirSync(join(this.path, folder), { recursive: true, withFileTypes: true });
    const files = all.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
    return files.map((file) => file.slice(join(this.path, folder).length + 1)).sort();
  }

  /** All files below a folder. */
  contents(folder: string): Record<string, string> {
    return Object.fromEntries(this.list(folder).map((file) => [file, this.read(join(folder, file))]));
  }

  /** Runs buf. */
  buf(...args: string[]): Promise<{ exit: number | string | undefined; stdout: string; stderr: string }> {
    return run([programs.buf, ...args], { cwd: this.path, timeoutMs: 120_000 });
  }

  /** Generates code for a module, or for a path within it. */
  async generate(module: string, ...generations: readonly Generation[]): Promise<void> {
    const { exit, stderr } = await this.tryGenerate(module, ...generations);
    if (exit !== 0) throw new Error(`buf generate failed: ${stderr}`);
  }

  tryGenerate(module: string, ...generations: readonly Generation[]) {
    const plugins = generations.map(({ plugin, out, opt }) => ({
      local: [process.execPath, programs[plugin]],
      out,
      opt,
      strategy: "all",
      include_imports: plugin === "es",
    }));
    return this.buf("generate", module, "--template", JSON.stringify({ version: "v2", plugins }));
  }

  /** Compiles modules, with what they import. */
  async build(module = "."): Promise<FileDescriptorSet> {
    const { exit, stderr } = await this.buf("build", module, "-o", "image.binpb");
    if (exit !== 0) throw new Error(`buf build failed: ${stderr}`);
    return fromBinary(FileDescriptorSetSchema, readFileSync(join(this.path, "image.binpb")));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
