/** What a schema can't say of an upstream's endpoints: that each has a name of its own and fits the upstream's TLS. */
import { parseTarget } from "../upstream/target.ts";
import type { Part } from "./parts.ts";
import type { Problem } from "./problem.ts";
import type { Path, Source } from "./source.ts";
import type { UpstreamConfig } from "./upstream-schema.ts";

/** Endpoints as they are written down, in the configuration or in a file of their own. */
export type EndpointList = Extract<UpstreamConfig["endpoints"], readonly unknown[]>;

/** Those that stand in the configuration itself; none where somebody else tells. */
export function listedEndpoints({ endpoints }: Pick<UpstreamConfig, "endpoints">): EndpointList {
  return Array.isArray(endpoints) ? endpoints : [];
}

/** Those whose key an earlier one has too. */
export function repeated<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return items.filter((item, index) => items.findIndex((other) => keyOf(other) === keyOf(item)) < index);
}

/** Of an upstream that is sound by itself. */
export function endpointProblems(source: Source, { path, value }: Part<UpstreamConfig>): Problem[] {
  const at = [...path, "endpoints"];
  const rules = { secure: value.tls !== undefined, who: `upstream "${String(path.at(-1))}"` };
  const problems = Array.isArray(value.endpoints)
    ? listProblems(source, { path: at, value: value.endpoints }, rules)
    : sourceProblems(source, { path: at, value: value.endpoints });
  const { cert, key } = value.tls ?? {};
  if ((cert === undefined) !== (key === undefined)) {
    const [given, other] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    problems.push(source.problem([...path, "tls", given], `"${given}" needs "${other}" beside it`, { part: "key" }));
  }
  return problems;
}

/** What the upstream asks of each endpoint. */
export interface EndpointRules {
  /** It has `tls`, so all of them must be TLS. */
  readonly secure: boolean;
  /** "upstream "users"". */
  readonly who: string;
}

export function listProblems(source: Source, { path, value }: Part<EndpointList>, rules: EndpointRules): Problem[] {
  const endpoints = value.map((endpoint, index) => endpointOf(endpoint, [...path, index]));
  const problems = repeated(endpoints, (endpoint) => endpoint.name).map((endpoint) =>
    source.problem(endpoint.at, `endpoint "${endpoint.name}" is given twice`, { hint: "each needs a name of its own" }),
  );
  for (const { url, urlAt, serverName, secure } of endpoints) {
    const hint = `did you mean "${url.replace(/^http:/i, "https:").replace(/^dns\+srv:/i, "dns+srv+tls:")}"?`;
    if (!secure && rules.secure) {
      problems.push(source.problem(urlAt, `${rules.who} has tls, but this endpoint is cleartext`, { hint }));
    } else if (!secure && serverName !== undefined) {
      problems.push(source.problem(urlAt, "server_name is for TLS, but this endpoint is cleartext", { hint }));
    }
  }
  return problems;
}

function endpointOf(endpoint: EndpointList[number], at: Path) {
  const { url, name, server_name: serverName } = typeof endpoint === "string" ? { url: endpoint } : endpoint;
  const target = parseTarget(url);
  return {
    at: typeof endpoint === "string" ? at : [...at, name === undefined ? "url" : "name"],
    urlAt: typeof endpoint === "string" ? at : [...at, "url"],
    url,
    name: name ?? target.name,
    serverName,
    secure: target.secure,
  };
}

type Discovered = Exclude<UpstreamConfig["endpoints"], readonly unknown[]>;

function sourceProblems(source: Source, { path, value }: Part<Discovered>): Problem[] {
  const { file, kubernetes } = value;
  if (file === undefined && kubernetes === undefined) return [source.problem(path, "give file or kubernetes")];
  if (file !== undefined && kubernetes !== undefined) {
    return [source.problem([...path, "kubernetes"], "either file or kubernetes, not both", { part: "key" })];
  }
  const secure = kubernetes?.server?.toLowerCase().startsWith("https:") ?? true;
  if (kubernetes?.ca !== undefined && !secure) {
    return [source.problem([...path, "kubernetes", "ca"], "ca is for TLS, but the server is cleartext")];
  }
  return [];
}
