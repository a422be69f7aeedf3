/** Load: the module that a configuration names for its local services. */
import type { Routes } from "./routes.ts";

/**
 * Imports a module that exports `routes`, or as its default, a function that registers services.
 *
 * @param specifier "./routes.js", "/etc/manifold/routes.js" or a file: URL
 * @param base the configuration file, as a file: URL: what a relative specifier is relative to
 * @param query behind the URL, such as "?version=2": a runtime imports a module once for each URL. Default none
 * @throws TypeError naming the module, if it can't be imported, or exports no such function
 */
export async function loadRoutes(specifier: string, base: string, query = ""): Promise<Routes> {
  const url = resolveModule(specifier, base);
  let loaded: { default?: unknown; routes?: unknown };
  try {
    loaded = await import(query === "" ? url : anew(url, query));
  } catch (error) {
    throw new TypeError(`module "${specifier}" can't be loaded: ${messageOf(error)}`, { cause: error });
  }
  const routes = loaded.routes ?? loaded.default;
  if (typeof routes === "function") return routes as Routes;
  const names = Object.keys(loaded);
  const found = names.length === 0 ? "nothing" : names.join(", ");
  throw new TypeError(`module "${specifier}" exports ${found}, expected a function as "routes" or as its default`);
}

function resolveModule(specifier: string, base: string): string {
  if (/^(\.{0,2}\/|file:)/.test(specifier)) return new URL(specifier, base).href;
  throw new TypeError(`module "${specifier}" is no file: write "./${specifier}"`);
}

/** Bun looks at a query only where it stands behind a path: for a file's URL it gives what it has imported before. */
function anew(url: string, query: string): string {
  return "Bun" in globalThis ? decodeURIComponent(new URL(url).pathname) + query : url + query;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
