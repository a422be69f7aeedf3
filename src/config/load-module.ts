/** The module that a configuration names: its services beside the proxy. */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { loadRoutes } from "../local/load.ts";
import { type Routes, registerNow } from "../local/routes.ts";
import { isMap } from "./parts.ts";
import type { Problem } from "./problem.ts";
import { type ReadFile, whyUnread } from "./read-file.ts";
import type { Source } from "./source.ts";

interface ImportedModule {
  readonly routes: Routes | undefined;
  readonly problems: Problem[];
}

/**
 * Imports the module, if one is named, and has it register its services. Its file is read first: a runtime's word for a file that
 * isn't there is a long one.
 */
export async function importModule(source: Source, file: string, read: ReadFile): Promise<ImportedModule> {
  const path = isMap(source.value) ? source.value.module : undefined;
  if (typeof path !== "string" || path === "") return { routes: undefined, problems: [] };
  const problem = (message: string) => ({ routes: undefined, problems: [source.problem(["module"], message)] });
  let version: string;
  try {
    version = versionOf(resolve(file, "..", path), read(path));
  } catch (error) {
    return problem(`${whyUnread(error)}: ${path}`);
  }
  let routes: Routes;
  try {
    const specifier = /^(\.{0,2}\/|file:)/.test(path) ? path : `./${path}`;
    routes = await loadRoutes(specifier, pathToFileURL(resolve(file)).href, version);
  } catch (error) {
    return problem((error as Error).message);
  }
  try {
    return { routes: registerNow(routes), problems: [] };
  } catch (error) {
    return problem(`the services of ${path} can't be registered: ${error instanceof Error ? error.message : error}`);
  }
}

/** Digests of modules as they were when first imported. */
const firstDigests = new Map<string, string>();

/** A runtime imports a module once for each URL: where it has other content now, a query makes it another. */
function versionOf(path: string, bytes: Uint8Array): string {
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const first = firstDigests.get(path) ?? digest;
  firstDigests.set(path, first);
  return digest === first ? "" : `?version=${digest}`;
}
