/** Where the package lies that this is part of: src/cli and dist/cli are equally deep in it. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The path of a file of the package. */
export function packageFile(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as { version: string }).version;
}
