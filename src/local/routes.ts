/** Local routes: services of our own beside the proxy, by path. */
import { type ConnectRouter, type ConnectRouterOptions, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";

/** Registers services: `(router) => router.service(ElizaService, implementation)`. */
export type Routes = (router: ConnectRouter) => void;

export interface LocalRoutes {
  /** "/acme.users.v1.UserService/Get" of every method, in the order of registration. */
  readonly paths: readonly string[];
  /** The handler of a `:path`, whose query doesn't count; undefined where the path isn't one of ours. */
  match(path: string): UniversalHandler | undefined;
}

/**
 * Collects the services that a function registers. They speak gRPC, gRPC-Web and Connect.
 *
 * @param options what `createConnectRouter` takes. Unless told otherwise gzip and brotli are accepted, as by Connect's own servers
 * @throws TypeError naming the path, if a method is registered twice, or if the function is asynchronous; what it throws itself
 */
export function createLocalRoutes(routes: Routes, options: ConnectRouterOptions = {}): LocalRoutes {
  const handlers = register(routes, options);
  return {
    paths: [...handlers.keys()],
    match(path) {
      const query = path.indexOf("?");
      return handlers.get(query === -1 ? path : path.slice(0, query));
    },
  };
}

/**
 * Calls the function now, so that what is wrong with it is found before anything is served.
 *
 * @returns a function that registers the same, and doesn't call it again
 * @throws as `createLocalRoutes` does
 */
export function registerNow(routes: Routes): Routes {
  const handlers = register(routes, {});
  return (router) => void router.handlers.push(...handlers.values());
}

/** By path. */
function register(routes: Routes, options: ConnectRouterOptions): Map<string, UniversalHandler> {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli], ...options });
  const result: unknown = routes(router);
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new TypeError("routes() is asynchronous: what it registers later would never be served");
  }
  const handlers = new Map<string, UniversalHandler>();
  for (const handler of router.handlers) {
    if (handlers.has(handler.requestPath)) throw new TypeError(`two handlers for ${handler.requestPath}`);
    handlers.set(handler.requestPath, handler);
  }
  return handlers;
}
