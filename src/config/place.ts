/** Places: addresses, hosts and URLs, as the configuration says them. */
import { parseListenAddress } from "../serve/address.ts";
import { originProblem } from "../serve/cors.ts";
import { parseTarget } from "../upstream/target.ts";
import { type Parsed, right, wrong } from "./parsed.ts";

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

/** The origin of a page, as serve/cors.ts understands it. */
export function parseOrigin(text: string): Parsed<string> {
  const problem = originProblem(text);
  if (problem === undefined) return right(text);
  const origin = /^https?:\/\/[^*]+$/i.test(text) && URL.canParse(text) ? new URL(text).origin : undefined;
  return wrong(`not an origin: "${text}"`, origin === undefined ? problem : `did you mean "${origin}"?`);
}

/** What may stand in :authority. */
export function parseAuthority(text: string): Parsed<string> {
  return /^[\w.\-~%:[\]]+$/.test(text) ? right(text) : wrong(`not an authority: "${text}"`);
}

/** The path of a health check by HTTP. */
export function parseHealthPath(text: string): Parsed<string> {
  if (/^\/[!-~]*$/.test(text)) return right(text);
  return wrong(`not a path: "${text}"`, text.startsWith("/") ? undefined : `did you mean "/${text}"?`);
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
