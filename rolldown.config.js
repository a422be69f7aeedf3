// Bundles protoc-gen-manifold, after tsc has built the rest. Only the generator needs @bufbuild/protoplugin, whose dependency on a
// TypeScript compiler would make every install of the proxy five times as large: the bundle has what it uses of it.
import { defineConfig } from "rolldown";

const notice = `// protoc-gen-manifold, with parts of @bufbuild/protoplugin:
// Copyright 2021-2026 Buf Technologies, Inc. Licensed under the Apache License, Version 2.0, as the rest: see LICENSE.`;

export default defineConfig({
  input: "src/plugin/main.ts",
  platform: "node",
  logLevel: "silent",
  external: [/^node:/, /^@bufbuild\/protobuf(\/|$)/],
  plugins: [{ name: "without-transpiler", load: withoutTranspiler }],
  output: { dir: "dist/plugin", cleanDir: true, banner: notice },
});

/** This plugin prints TypeScript, JavaScript and declarations itself, so nothing of its code is ever transpiled. */
function withoutTranspiler(id) {
  if (!/protoplugin\/dist\/esm\/transpile\.js$/.test(id)) return undefined;
  return 'export function transpile() { throw new Error("protoc-gen-manifold transpiles nothing"); }';
}
