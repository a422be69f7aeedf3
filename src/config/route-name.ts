/** Route names: what logs, metrics and reports of changes call a route. */
import type { RouteConfig } from "./route-schema.ts";

/** Its own name, else what it asks of a call: "acme.users.v1.UserService", "*.internal", "* x-tenant" for a header. */
function routeName({ name, match = {} }: Pick<RouteConfig, "name" | "match">): string {
  if (name !== undefined) return name;
  const { service, method, authority, headers = {} } = match;
  return [method ?? service ?? authority ?? "*", ...Object.keys(headers)].join(" ");
}

/** The names of all, each with a number behind it where an earlier route has the same: "* x-tenant #2". */
export function routeNames(routes: readonly RouteConfig[]): string[] {
  const seen = new Map<string, number>();
  return routes.map((route) => {
    const name = routeName(route);
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} #${count}`;
  });
}
