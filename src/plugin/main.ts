/** The program protoc-gen-manifold: a request of a compiler on standard input, its response on standard output. */
import { runNodeJs } from "@bufbuild/protoplugin";
import { createPlugin } from "./plugin.ts";

/** @param version of the package */
export function main(version: string): void {
  runNodeJs(createPlugin(version));
}
