/** Target: what one configured endpoint URL says of where and how to connect. */

/** An endpoint as a user writes it: a URL, or a URL with a name. */
export type EndpointOptions =
  | string
  | {
      /** What logs and metrics call it. Default: host:port of the URL. */
      readonly name?: string;
      /**
       * "http://host:port" (h2c with prior knowledge), "https://host:port" (TLS with ALPN h2), or the name of SRV records, which say
       * hosts, ports, priorities and weights: "dns+srv://_grpc._tcp.users.example", "dns+srv+tls://_grpc._tcp.users.example".
       */
      readonly url: string;
      /** Name for SNI, and which the certificate must have. Default: the upstream's, else the URL's host. */
      readonly serverName?: string;
      /** Its share of the calls beside the others: a whole number, at least 1. Default 1. */
      readonly weight?: number;
      /** Its tier: calls go to the lowest number of which enough endpoints are ready. Default 0. */
      readonly priority?: number;
      /** What subsets tell endpoints apart by: { version: "v2" }. Default none. */
      readonly labels?: Readonly<Record<string, string>>;
    };

/** A URL taken apart. */
export interface Target {
  readonly name: string;
  /** Host name or address, IPv6 without brackets; or the name of SRV records. */
  readonly host: string;
  /** `host` names SRV records; they say the port. */
  readonly srv: boolean;
  readonly port: number;
  readonly secure: boolean;
  /** As given with the endpoint; undefined: the upstream's, else the host. */
  readonly serverName: string | undefined;
  /** Addresses to try one after the other; undefined where the host is a name that has to be resolved. */
  readonly addresses: readonly string[] | undefined;
  readonly weight: number;
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Takes an endpoint apart.
 *
 * @throws TypeError naming the value, if it isn't an http or https URL of a host and nothing else, or a number is out of range
 */
export function parseTarget(options: EndpointOptions): Target {
  const {
    name,
    url,
    serverName,
    weight = 1,
    priority = 0,
    labels = {},
  } = typeof options === "string" ? { url: options } : options;
  const { host, port, secure, srv } = parseUrl(url);
  checkWhole(url, "weight", weight, 1);
  checkWhole(url, "priority", priority, 0);
  return {
    name: name ?? (srv ? host : hostPort(host, port)),
    host,
    srv,
    port,
    secure,
    serverName,
    addresses: isAddress(host) ? [host] : !srv && isLocalhost(host) ? localhostAddresses : undefined,
    weight,
    priority,
    labels,
  };
}

/** Weights of SRV records, the largest there are in use, have 16 bits. */
const maxWhole = 65_535;

function checkWhole(url: string, what: string, value: number, min: number): void {
  if (Number.isInteger(value) && value >= min && value <= maxWhole) return;
  throw new TypeError(
    `invalid endpoint "${url}": ${what} must be a whole number from ${min} to ${maxWhole}, not ${value}`,
  );
}

type Place = Pick<Target, "host" | "port" | "secure" | "srv">;

function parseUrl(url: string): Place {
  const srv = /^dns\+srv(\+tls)?:\/\/([^/]*)\/?$/i.exec(url);
  if (srv !== null) return { host: checkServiceName(url, srv[2]!), port: 0, secure: srv[1] !== undefined, srv: true };
  if (!/^https?:\/\//i.test(url)) {
    const hint = url.includes("://")
      ? "only http, https, dns+srv and dns+srv+tls are known"
      : `write "http://${url}" or "https://${url}"`;
    throw new TypeError(`invalid endpoint "${url}": ${hint}`);
  }
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined) throw new TypeError(`invalid endpoint "${url}": not a URL`);
  const extra = parsed.username !== "" || parsed.password !== "" || parsed.search !== "" || parsed.hash !== "";
  if (extra || parsed.pathname !== "/") {
    throw new TypeError(`invalid endpoint "${url}": only scheme, host and port may be given`);
  }
  if (parsed.port === "0") throw new TypeError(`invalid endpoint "${url}": port 0 can't be connected to`);
  const secure = parsed.protocol === "https:";
  const port = parsed.port === "" ? (secure ? 443 : 80) : Number(parsed.port);
  return { host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"), port, secure, srv: false };
}

function checkServiceName(url: string, name: string): string {
  if (name.length <= 253 && /^([a-z0-9_]([a-z0-9_-]{0,62})\.)+[a-z0-9_-]{1,63}\.?$/i.test(name))
    return name.toLowerCase();
  const hint = name.includes(":")
    ? "SRV records say the port themselves"
    : "give a name such as _grpc._tcp.users.example";
  throw new TypeError(`invalid endpoint "${url}": ${hint}`);
}

/**
 * "users.example" of "_grpc._tcp.users.example": what a certificate must name. Not the hosts that the records say, for DNS is no
 * authority of who may serve a name (RFC 6125 section 6.2.1).
 */
export function domainOf(service: string): string {
  return service.replace(/^_[^.]+\._(?:tcp|udp)\./, "").replace(/\.$/, "");
}

/** `URL` has already written every spelling of an IPv4 address as four decimal numbers, and put IPv6 into brackets. */
export function isAddress(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** RFC 6761 section 6.3: these names are the loopback, so no resolver is asked. */
function isLocalhost(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

/**
 * "localhost" is one server with two addresses, and most servers listen on one of them only. As two endpoints, every
 * second call would meet a closed port; so it is one endpoint whose addresses are tried in turn.
 */
const localhostAddresses = ["127.0.0.1", "::1"] as const;

/** "10.0.0.1:50051", "[::1]:50051". */
export function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
