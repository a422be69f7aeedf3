/** Match: what a route asks of a call. No regular expressions: each pattern can be read, and none can be made slow. */
import { claimOf, claimValues } from "../admit/claims.ts";
import type { Call } from "../call.ts";

/** All that is given must hold; nothing given matches every call. */
export interface Match {
  /** "acme.users.v1.UserService", "acme.*" (whatever begins with "acme.", at any depth) or "*". */
  readonly service?: string;
  /** "Service/Method"; the service as above, the method exact, "Get*" or "*". */
  readonly method?: string;
  /** "api.example.com", "*.example.com" (one or more labels), each with or without ":port"; letter case is ignored. */
  readonly authority?: string;
  /** By header name. With several values of a header, one that fits is enough. */
  readonly headers?: Readonly<Record<string, HeaderMatch>>;
  /** The name that `authorize` found, whole or "beginning*". */
  readonly identity?: string;
  /** What a token must say, by the claim's name: "tenant", "realm_access.roles". Of a list, one value that fits is enough. */
  readonly claims?: Readonly<Record<string, HeaderMatch>>;
}

/** The exact value, or whether there is one, or how it begins. */
export type HeaderMatch = string | { readonly present: boolean } | { readonly prefix: string };

/** A match made ready, in two parts so that the first can be kept per path. */
export interface CompiledMatch {
  matchesPath(service: string, method: string): boolean;
  /** Undefined: only the path counts. */
  readonly matchesCall: ((call: Call) => boolean) | undefined;
}

type Test = (text: string) => boolean;

/** @throws TypeError naming the pattern, if it can't be understood */
export function compileMatch(match: Match = {}): CompiledMatch {
  const service = match.service === undefined ? any : servicePattern(match.service);
  const [ofService, ofMethod] = match.method === undefined ? [any, any] : methodPattern(match.method);
  const tests = Object.entries(match.headers ?? {}).map(([name, value]) => headerTest(name, value));
  for (const [name, value] of Object.entries(match.claims ?? {})) tests.push(claimTest(name, value));
  if (match.identity !== undefined) tests.push(identityTest(match.identity));
  if (match.authority !== undefined) {
    const authority = authorityPattern(match.authority);
    tests.unshift((call) => authority(call.authority));
  }
  return {
    matchesPath: (name, method) => service(name) && ofService(name) && ofMethod(method),
    matchesCall: tests.length === 0 ? undefined : (call) => tests.every((test) => test(call)),
  };
}

const any: Test = () => true;

/** "acme*" is refused: who means "acme." would let "acmeevil.Service" in. */
function servicePattern(pattern: string): Test {
  if (pattern === "*") return any;
  const prefix = pattern.endsWith(".*") ? pattern.slice(0, -1) : undefined;
  const rest = prefix ?? pattern;
  if (!isName(rest) || rest === ".") {
    throw new TypeError(`invalid service "${pattern}": give a full name, "prefix.*" or "*"`);
  }
  return prefix === undefined ? (name) => name === pattern : (name) => name.startsWith(prefix);
}

function methodPattern(pattern: string): [service: Test, method: Test] {
  const [service, method, ...more] = pattern.replace(/^\//, "").split("/");
  if (service === undefined || method === undefined || more.length > 0) {
    throw new TypeError(`invalid method "${pattern}": give "service/method"`);
  }
  if (method === "*") return [servicePattern(service), any];
  const prefix = method.endsWith("*") ? method.slice(0, -1) : undefined;
  if (!isName(prefix ?? method)) {
    throw new TypeError(`invalid method "${pattern}": the part after the slash is a name, "prefix*" or "*"`);
  }
  return [
    servicePattern(service),
    prefix === undefined ? (name) => name === method : (name) => name.startsWith(prefix),
  ];
}

/** Nothing that a path can't carry, and no `*`. */
function isName(text: string): boolean {
  return /^[!"$&-)+-.0->@-[\]-~]+$/.test(text);
}

function authorityPattern(pattern: string): Test {
  const wanted = splitAuthority(pattern);
  const wildcard = wanted.host.startsWith("*.");
  const suffix = wildcard ? wanted.host.slice(1) : "";
  if (wanted.host.replace(/^\*\./, "") === "" || suffix.includes("*") || (!wildcard && wanted.host.includes("*"))) {
    throw new TypeError(`invalid authority "${pattern}": give a host, or "*." and a domain`);
  }
  return (authority) => {
    const { host, port } = splitAuthority(authority);
    if (wanted.port !== undefined && port !== wanted.port) return false;
    return wildcard ? host.length > suffix.length && host.endsWith(suffix) : host === wanted.host;
  };
}

/** In lower case, and without the dot that may end a host name: "a.example." is the same host, and must meet the same rules. */
function splitAuthority(authority: string): { host: string; port: string | undefined } {
  const port = /:(\d*)$/.exec(authority);
  const isPort = port !== null && (authority.startsWith("[") ? authority[port.index - 1] === "]" : true);
  const host = (isPort ? authority.slice(0, port.index) : authority).toLowerCase();
  return { host: host.replace(/\.$/, ""), port: isPort && port[1] !== "" ? port[1] : undefined };
}

function headerTest(name: string, value: HeaderMatch): (call: Call) => boolean {
  const key = name.toLowerCase();
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(key)) throw new TypeError(`invalid header name "${name}"`);
  if (typeof value === "string") return someValue(key, (one) => one === value);
  if ("present" in value) return (call) => (call.header(key) !== undefined) === value.present;
  return someValue(key, (one) => one.startsWith(value.prefix));
}

function someValue(key: string, test: Test): (call: Call) => boolean {
  return (call) => {
    const first = call.header(key);
    return first !== undefined && (test(first) || call.headerValues(key).some(test));
  };
}

function identityTest(pattern: string): (call: Call) => boolean {
  const prefix = pattern.endsWith("*") ? pattern.slice(0, -1) : undefined;
  if (pattern === "" || (prefix ?? pattern).includes("*")) {
    throw new TypeError(`invalid identity "${pattern}": give a name, or how it begins with "*" behind it`);
  }
  if (prefix === undefined) return (call) => call.identity?.name === pattern;
  return (call) => call.identity?.name.startsWith(prefix) === true;
}

function claimTest(name: string, value: HeaderMatch): (call: Call) => boolean {
  if (name === "") throw new TypeError("invalid claim: it has no name");
  const valuesOf = (call: Call) => claimValues(claimOf(call.identity?.claims, name), name);
  if (typeof value === "string") return (call) => valuesOf(call).includes(value);
  if ("present" in value) return (call) => valuesOf(call).length > 0 === value.present;
  return (call) => valuesOf(call).some((one) => one.startsWith(value.prefix));
}
