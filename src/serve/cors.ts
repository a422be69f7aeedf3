/** CORS: which pages of other origins may call, and what they may read. Decisions only; nothing is sent here. */
import { Field, FieldKind, valueOf } from "../http2/field.ts";

export interface CorsOptions {
  /**
   * "https://app.example.com", "https://*.example.com" (one or more labels), each with its port if it isn't the scheme's own; "null"
   * for sandboxed pages and files; "*" for every page.
   */
  readonly origins: readonly string[];
  /** Request headers that pages may send besides those of the protocols: the names of their metadata, or "*". */
  readonly allowHeaders?: readonly string[];
  /** Response headers and trailers that pages may read besides those of the protocols, or "*". */
  readonly exposeHeaders?: readonly string[];
  /** Lets pages send cookies. Default false: a page of an allowed origin could act for the user. */
  readonly credentials?: boolean;
  /** Seconds a preflight's answer holds. Default 7200: the most that Chromium keeps. */
  readonly maxAge?: number;
}

/** What a listener does about the pages of other origins. */
export interface Cors {
  /** The answer to a preflight: `:status` 204 and all it needs. For an origin that may not call, it allows nothing. */
  preflight(request: readonly Field[]): Field[];
  /**
   * What the head of a response carries, refusals and errors too.
   *
   * @param origin the request's `origin`; undefined where it had none
   */
  responseFields(origin: string | undefined): readonly Field[];
}

/** Request headers of Connect, gRPC-Web and their compression. */
const allowed = [
  "Content-Type",
  "Connect-Protocol-Version",
  "Connect-Timeout-Ms",
  "Connect-Content-Encoding",
  "Connect-Accept-Encoding",
  "Content-Encoding",
  "Accept-Encoding",
  "Grpc-Timeout",
  "X-Grpc-Web",
  "X-User-Agent",
];

/** Response headers of the same. */
const exposed = [
  "Grpc-Status",
  "Grpc-Message",
  "Grpc-Status-Details-Bin",
  "Content-Encoding",
  "Connect-Content-Encoding",
];

const defaultMaxAge = 7200;

/**
 * Makes ready what the options say.
 *
 * @throws TypeError naming the value, if an origin isn't one, a header isn't a name, maxAge is no whole number of seconds, or a "*"
 *   stands beside credentials, where browsers take it for nothing
 */
export function createCors(options: CorsOptions): Cors {
  check(options);
  const { origins, allowHeaders = [], exposeHeaders = [], credentials = false, maxAge = defaultMaxAge } = options;
  const everyone = origins.includes("*");
  const isAllowed = originTest(origins);
  const vary = everyone ? [] : [new Field("vary", "Origin")];
  // Trailers are headers of that name to unary Connect.
  const own = exposeHeaders.flatMap((name) => (name === "*" ? [name] : [name, `Trailer-${name}`]));
  const reading = [
    ...vary,
    ...(credentials ? [new Field("access-control-allow-credentials", "true")] : []),
    new Field("access-control-expose-headers", [...exposed, ...own].join(", ")),
  ];
  const calling = [
    ...vary,
    ...(credentials ? [new Field("access-control-allow-credentials", "true")] : []),
    new Field("access-control-allow-methods", "GET, POST"),
    new Field("access-control-allow-headers", [...allowed, ...allowHeaders].join(", ")),
    new Field("access-control-max-age", String(maxAge)),
  ];
  const noContent = new Field(":status", "204");
  const anyOrigin = new Field("access-control-allow-origin", "*");
  const allowOrigin = (origin: string) => (everyone ? anyOrigin : new Field("access-control-allow-origin", origin));
  const forAll = [anyOrigin, ...reading];
  return {
    preflight(request) {
      const origin = valueOf(request, "origin");
      if (origin === undefined || !isAllowed(origin)) return [noContent, ...vary];
      return [noContent, allowOrigin(origin), ...calling];
    },
    responseFields(origin) {
      if (everyone) return forAll; // also without an origin: a cache may give it to a page
      return origin !== undefined && isAllowed(origin) ? [allowOrigin(origin), ...reading] : vary;
    },
  };
}

/** True for the request by which a browser asks whether it may send another. It is no RPC, and no upstream hears of it. */
export function isPreflight(request: readonly Field[]): boolean {
  let options = false;
  let origin = false;
  let asks = false;
  for (const { kind, name, value } of request) {
    if (kind === FieldKind.method) options = value === "OPTIONS";
    else if (name === "origin") origin = true;
    else if (name === "access-control-request-method") asks = true;
  }
  return options && origin && asks;
}

/**
 * A response's head with what CORS adds. What an upstream says of CORS itself is dropped: two answers are none to a browser.
 *
 * @param cors from `responseFields()`
 */
export function withCors(head: readonly Field[], cors: readonly Field[]): Field[] {
  const fields = head.filter(({ name }) => !name.startsWith("access-control-"));
  fields.push(...cors);
  return fields;
}

const originPattern = /^[a-z][a-z0-9+.-]*:\/\/(\*\.)?([^/?#@*\s:[\]]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i;

/** What is wrong with an origin; undefined if nothing is. For a configuration's check, too. */
export function originProblem(origin: string): string | undefined {
  if (origin === "*" || origin === "null") return undefined;
  if (originPattern.test(origin)) return undefined;
  if (!origin.includes("://")) return `give the scheme, such as "https://${origin}"`;
  if (/^[^:]+:\/\/[^/]*\*/.test(origin))
    return 'a "*" stands for whole labels at the start, as in "https://*.example.com"';
  return "only scheme, host and port may be given, and no slash at the end";
}

function check({ origins, allowHeaders = [], exposeHeaders = [], credentials = false, maxAge = 0 }: CorsOptions): void {
  if (origins.length === 0) throw new TypeError("cors.origins is empty: no page could call");
  for (const origin of origins) {
    const problem = originProblem(origin);
    if (problem !== undefined) throw new TypeError(`invalid origin "${origin}": ${problem}`);
  }
  for (const name of [...allowHeaders, ...exposeHeaders]) {
    if (new Field(name.toLowerCase(), "").kind === FieldKind.malformed)
      throw new TypeError(`invalid header name "${name}"`);
  }
  for (const [setting, values] of Object.entries({ origins, allowHeaders, exposeHeaders })) {
    if (credentials && values.includes("*")) {
      throw new TypeError(`cors.${setting} has "*", which cors.credentials forbids: name them`);
    }
  }
  if (!Number.isSafeInteger(maxAge) || maxAge < 0) {
    throw new TypeError(`cors.maxAge must be a whole number of seconds, not ${maxAge}`);
  }
}

function originTest(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const wildcards: (readonly [prefix: string, suffix: string])[] = [];
  for (const given of origins) {
    if (given === "*") return () => true;
    const [scheme = "", host = ""] = serialize(given).split("://");
    if (host.startsWith("*.")) wildcards.push([`${scheme}://`, host.slice(1)]);
    else exact.add(serialize(given));
  }
  return (origin) => exact.has(origin) || wildcards.some(([prefix, suffix]) => isBelow(origin, prefix, suffix));
}

/** As a browser writes it (RFC 6454 section 6.2): lower case, no default port, international names in ASCII. */
function serialize(origin: string): string {
  const standIn = origin.replace("://*.", "://wildcard.");
  if (!/^https?:/i.test(origin) || !URL.canParse(standIn)) return origin.toLowerCase();
  const written = new URL(standIn).origin;
  return standIn === origin ? written : written.replace("://wildcard.", "://*.");
}

/** Labels and nothing else between the two: "https://a.b" and ".example.com", but neither "https://evil.com/.example.com". */
function isBelow(origin: string, prefix: string, suffix: string): boolean {
  if (!origin.startsWith(prefix) || !origin.endsWith(suffix)) return false;
  const labels = origin.slice(prefix.length, origin.length - suffix.length);
  return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(labels);
}
