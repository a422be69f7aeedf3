/** The words of the configuration that are more than strings: durations, sizes, addresses, URLs, patterns, header names. */
import { z } from "zod";
import { checkHeaderPattern } from "../admit/allowed-headers.ts";
import { namePattern } from "../admit/certificate.ts";
import { compileMatch } from "../route/match.ts";
import { parseListenAddress } from "../serve/address.ts";
import { originProblem } from "../serve/cors.ts";
import { parseTarget } from "../upstream/target.ts";
import { parsePath } from "../wire/path.ts";
import { suggestion } from "./suggest.ts";

/** What a parser of one word found: its value, or what is wrong with it. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly message: string; readonly hint?: string };

const right = <T>(value: T): Parsed<T> => ({ ok: true, value });
const wrong = (message: string, hint?: string): Parsed<never> => ({
  ok: false,
  message,
  ...(hint === undefined ? {} : { hint }),
});

/** "a list", "a string", 8080, ...: a value of the wrong type as a message names it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a map" : `a ${typeof value}`;
}

/** The message of a schema for a value of the wrong type. */
export function expected(what: string) {
  return (issue: { readonly input: unknown }) => `expected ${what}, got ${kindOf(issue.input)}`;
}

/** A schema for a string that a parser reads. The hint travels in the issue's `params`. */
export function scalar<T>(what: string, parse: (text: string) => Parsed<T>) {
  return z.string({ error: expected(what) }).transform((text, context): T => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.message, params: { hint: parsed.hint } });
    return z.NEVER;
  });
}

const durationPattern = /^(\d+(\.\d+)?(ms|s|m|h))+$/;
const sizePattern = /^(\d+)(B|KiB|MiB|GiB)?$/;

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** "500ms", "10s", "1.5s", "1h30m" to milliseconds. */
export function parseDuration(text: string): Parsed<number> {
  if (!durationPattern.test(text)) {
    const hint = /^\d+(\.\d+)?$/.test(text) ? `did you mean "${text}s"?` : "units are ms, s, m and h";
    return wrong(`not a duration: "${text}"`, hint);
  }
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    ms += Number(amount) * unitMs[unit as keyof typeof unitMs];
  }
  return right(ms);
}

/** Milliseconds as the configuration would say them: 300000 is "5m". */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"] as const)
    if (ms > 0 && ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  return ms === 0 ? "0s" : `${ms}ms`;
}

/** "64KiB", "1MiB", "1024" to bytes. */
export function parseSize(text: string): Parsed<number> {
  const match = sizePattern.exec(text);
  if (match === null) {
    const hint = /^(\d+) ?([KMG])[iI]?[bB]?$/i.exec(text);
    return wrong(
      `not a size: "${text}"`,
      hint === null ? "units are B, KiB, MiB and GiB" : `did you mean "${hint[1]}${hint[2]?.toUpperCase()}iB"?`,
    );
  }
  return right(Number(match[1]) * 1024 ** ["B", "KiB", "MiB", "GiB"].indexOf(match[2] ?? "B"));
}

/** Bytes as the configuration would say them: 65536 is "64KiB". */
export function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ["MiB", 1 << 20],
    ["KiB", 1 << 10],
  ] as const) {
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

/** "127.0.0.1:8080", "[::1]:8080", "name:8080", ":8080" (all interfaces): kept as it is written. */
export function parseAddress(text: string): Parsed<string> {
  try {
    parseListenAddress(text);
    return right(text);
  } catch {
    const port = /^[^:]*:(\d+)$/.exec(text)?.[1];
    if (Number(port) > 65_535) return wrong(`no such port: ${port}`, "ports are 0 to 65535");
    return wrong(`not an address: "${text}"`, addressHint(text));
  }
}

function addressHint(text: string): string {
  const url = /^https?:\/\/([^/]+)/.exec(text);
  if (url !== null) return `an address has no scheme: did you mean "${url[1]}"?`;
  if (/^\d+$/.test(text)) return `did you mean "127.0.0.1:${text}", or ":${text}" for all interfaces?`;
  if (/^[0-9a-fA-F]*:[0-9a-fA-F:]*:\d+$/.test(text)) return "an IPv6 address is written in brackets: [::1]:8080";
  return 'write host:port, such as "127.0.0.1:8080"';
}

/** The URL of an endpoint: http (cleartext) or https, a host, maybe a port, nothing else. */
export function parseEndpointUrl(text: string): Parsed<string> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === undefined) return wrong(`not a URL: "${text}"`, `did you mean "http://${text.replace(/^\/*/, "")}"?`);
  if (!/^(https?|dns\+srv(\+tls)?)$/i.test(scheme)) {
    return wrong(`unknown scheme "${scheme}"`, "known: http (cleartext), https (TLS), dns+srv, dns+srv+tls");
  }
  try {
    parseTarget(text);
    return right(text);
  } catch (error) {
    const origin = URL.canParse(text) ? new URL(text).origin : text;
    return wrong((error as Error).message, origin === text ? undefined : `did you mean "${origin}"?`);
  }
}

/** RFC 9110 section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A header's name, in lower case. */
export function parseHeaderName(text: string): Parsed<string> {
  return token.test(text) ? right(text.toLowerCase()) : wrong(`not a header name: "${text}"`);
}

/** Headers that belong to the connection or to the call's protocol: adding or removing them would break calls. */
const reserved = new Set(
  "connection content-length content-type grpc-timeout host keep-alive proxy-connection te transfer-encoding upgrade".split(
    " ",
  ),
);

/** A header's name that a route may add or remove, in lower case. */
export function parseChangeableHeaderName(text: string): Parsed<string> {
  const name = parseHeaderName(text);
  if (!name.ok || !reserved.has(name.value)) return name;
  const hint = { host: "use rewrite: { authority: ... }", "grpc-timeout": "use timeout" }[name.value];
  return wrong(`"${name.value}" can't be added or removed`, hint);
}

/** A header's value: printable ASCII, as gRPC wants it. */
export function parseHeaderValue(text: string): Parsed<string> {
  return /^[\x20-\x7e]*$/.test(text) ? right(text) : wrong(`not a header value: ${JSON.stringify(text)}`);
}

/** The origin of a page, as serve/cors.ts understands it. */
export function parseOrigin(text: string): Parsed<string> {
  const problem = originProblem(text);
  if (problem === undefined) return right(text);
  const origin = /^https?:\/\/[^*]+$/i.test(text) && URL.canParse(text) ? new URL(text).origin : undefined;
  return wrong(`not an origin: "${text}"`, origin === undefined ? problem : `did you mean "${origin}"?`);
}

/** A header's name in lower case, or "*" for every one; browsers know no other patterns. */
export function parseHeaderNameOrAll(text: string): Parsed<string> {
  return text === "*" || !text.includes("*")
    ? parseHeaderName(text)
    : wrong(`not a header name: "${text}"`, 'only "*" alone stands for others');
}

/** One of some words, where something else than a word may stand as well: zod's own enum would hide what is wrong with that. */
export function word<T extends string>(...words: readonly T[]) {
  return scalar(words.join(", "), (text): Parsed<T> => {
    const known = words.find((one) => one === text);
    return known === undefined ? wrong(`unknown value "${text}"`, suggestion(text, words)) : right(known);
  }).meta({ enum: [...words] });
}

/** The path of a health check by HTTP. */
export function parseHealthPath(text: string): Parsed<string> {
  if (/^\/[!-~]*$/.test(text)) return right(text);
  return wrong(`not a path: "${text}"`, text.startsWith("/") ? undefined : `did you mean "/${text}"?`);
}

/** "100/s", "600/m", "10/h", as calls per second. */
export function parseRate(text: string): Parsed<number> {
  const match = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(text);
  if (match === null) {
    const amount = /^\d+(?:\.\d+)?$/.test(text);
    return wrong(`not a rate: "${text}"`, amount ? `did you mean "${text}/s"?` : 'write "100/s", "600/m" or "10/h"');
  }
  const perSecond = (Number(match[1]) * 1_000) / unitMs[match[2] as keyof typeof unitMs];
  return perSecond > 0 ? right(perSecond) : wrong(`a rate of ${text} lets nobody in`, "use refuse for that");
}

/** A name of Kubernetes' (RFC 1123 label). */
export function parseKubernetesName(text: string): Parsed<string> {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return right(text);
  return wrong(`not a name that Kubernetes takes: "${text}"`, "letters in lower case, digits and hyphens");
}

/** Where an API is: scheme, host and port. */
export function parseApiServer(text: string): Parsed<string> {
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && url.pathname === "/" && url.search === "" && url.username === "") return right(text);
  return wrong(`not the URL of an API server: "${text}"`, 'write "https://host:port"');
}

/** A DNS server's address, maybe with a port. */
export function parseDnsServer(text: string): Parsed<string> {
  const ipv4 = /^(\d{1,3}\.){3}\d{1,3}(:\d{1,5})?$/.test(text);
  const ipv6 = /^(\[[0-9a-f:.]+\](:\d{1,5})?|[0-9a-f:.]*:[0-9a-f:.]*)$/i.test(text) && !ipv4;
  const host = ipv4 ? text.replace(/:\d+$/, "") : ipv6 ? `[${text.replace(/^\[|\](:\d+)?$/g, "")}]` : undefined;
  if (
    host !== undefined &&
    URL.canParse(`http://${host}`) &&
    Number(/(?:\]|\.\d+):(\d+)$/.exec(text)?.[1] ?? 53) <= 65_535
  ) {
    return right(text);
  }
  return wrong(
    `not the address of a DNS server: "${text}"`,
    'write "10.0.0.53", "10.0.0.53:5353" or "[fd00::53]:5353"',
  );
}

/** A key set's address, or the path of a file with one. */
export function parseKeySet(text: string): Parsed<string> {
  if (text === "") return wrong("must not be empty");
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === undefined) return right(text);
  if (!/^https?$/i.test(scheme)) return wrong(`unknown scheme "${scheme}"`, "known: https, and http for tests");
  return URL.canParse(text) ? right(text) : wrong(`not a URL: "${text}"`);
}

/** What a function refuses with a TypeError. */
function parseBy(check: (text: string) => unknown): (text: string) => Parsed<string> {
  return (text) => {
    try {
      check(text);
      return right(text);
    } catch (error) {
      return wrong((error as Error).message);
    }
  };
}

/** "reflection" is the only word; a file is given as a map. */
export function parseSchemaWord(text: string): Parsed<"reflection"> {
  if (text === "reflection") return right(text);
  const isFile = /[./\\]/.test(text);
  return wrong(
    `unknown value "${text}"`,
    isFile ? `a file is given as { image: ${text} }` : suggestion(text, ["reflection"]),
  );
}

/** A pattern of a match, as route/match.ts understands it. */
function parsePattern(key: "service" | "method" | "authority"): (text: string) => Parsed<string> {
  return (text) => {
    try {
      compileMatch({ [key]: text });
      return right(text);
    } catch (error) {
      const hint =
        key === "service" && text.includes("/") ? "a method is matched by method: service/method" : undefined;
      return wrong((error as Error).message, hint);
    }
  };
}

/** The name of a service, without a pattern. */
export function parseServiceName(text: string): Parsed<string> {
  return parsePath(`/${text}/Method`) !== undefined && !text.includes("*")
    ? right(text)
    : wrong(`not a service: "${text}"`);
}

/** A method with its service, without a pattern. */
export function parseExactMethod(text: string): Parsed<string> {
  return parsePath(`/${text}`) !== undefined && !text.includes("*")
    ? right(text)
    : wrong(`not a method: "${text}"`, 'give "service/method"');
}

/** What may stand in :authority. */
export function parseAuthority(text: string): Parsed<string> {
  return /^[\w.\-~%:[\]]+$/.test(text) ? right(text) : wrong(`not an authority: "${text}"`);
}

export const duration = scalar('a duration such as "10s"', parseDuration).meta({ pattern: durationPattern.source });

/** A duration for which nothing makes no sense. */
export const positiveDuration = duration.refine((ms) => ms > 0, { error: "must be more than 0" });

/** A duration that HTTP counts in seconds. */
export const wholeSeconds = duration.refine((ms) => ms % 1_000 === 0, { error: "must be whole seconds" });

/** Bytes, as a number or as "64KiB". */
export const size = z.union(
  [z.int().nonnegative(), scalar("a size", parseSize).meta({ pattern: sizePattern.source })],
  {
    error: expected('a size such as 65536 or "64KiB"'),
  },
);

export const address = scalar('an address such as "127.0.0.1:8080"', parseAddress);
export const endpointUrl = scalar('a URL such as "http://127.0.0.1:50051"', parseEndpointUrl).meta({
  pattern: "^(https?|dns\\+srv(\\+tls)?)://[^/]+/?$",
});
export const headerName = scalar("the name of a header", parseHeaderName);
export const changeableHeaderName = scalar("the name of a header", parseChangeableHeaderName);
export const headerNameOrAll = scalar('the name of a header, or "*"', parseHeaderNameOrAll);
export const origin = scalar('an origin such as "https://app.example.com"', parseOrigin);
export const schemaWord = scalar("reflection", parseSchemaWord).meta({ enum: ["reflection"] });
export const headerValue = scalar("a string", parseHeaderValue);
export const servicePattern = scalar("a string", parsePattern("service"));
export const methodPattern = scalar("a string", parsePattern("method"));
export const exactMethod = scalar("a method", parseExactMethod);
export const authorityPattern = scalar("a string", parsePattern("authority"));
export const healthPath = scalar('a path such as "/healthz"', parseHealthPath).meta({ pattern: "^/[!-~]*$" });
export const serviceName = scalar("the name of a service", parseServiceName);
export const authority = scalar("a host, or host:port", parseAuthority);
export const rate = scalar('a rate such as "100/s"', parseRate).meta({ pattern: "^\\d+(\\.\\d+)?/[smh]$" });
export const kubernetesName = scalar("a name", parseKubernetesName);
export const apiServer = scalar("a URL", parseApiServer);
export const dnsServer = scalar("the address of a DNS server", parseDnsServer);
export const keySet = scalar("a URL, or the path of a file", parseKeySet);
export const headerPattern = scalar("the name of a header", parseBy(checkHeaderPattern));
export const certificateName = scalar("a name", parseBy(namePattern));
export const identityPattern = scalar(
  "a name",
  parseBy((identity) => compileMatch({ identity })),
);
