/** Local services of a configuration: those it asks for, and those of its module. */
import { createLocalRoutes, type Routes } from "../local/routes.ts";
import { addHealth, type HealthState } from "../services/health.ts";
import type { Config } from "./schema.ts";

interface LocalParts {
  readonly config: Config;
  /** What the module registers. */
  readonly routes?: Routes | undefined;
}

/** @throws TypeError naming the path, if two services have one */
export function localRoutes({ config, routes }: LocalParts, health: HealthState): Routes | undefined {
  if (config.health_service !== true) return checked(routes);
  return checked((router) => {
    addHealth(router, health);
    routes?.(router);
  });
}

/** Full names of the services that a module registers. */
export function servicesOf(routes: Routes | undefined): string[] {
  const paths = routes === undefined ? [] : createLocalRoutes(routes).paths;
  return [...new Set(paths.map((path) => path.slice(1, path.indexOf("/", 1))))];
}

/** Registered once for nothing, so that what can't be fails before anything has changed. */
function checked(routes: Routes | undefined): Routes | undefined {
  if (routes !== undefined) createLocalRoutes(routes);
  return routes;
}
