/** Discovery by DNS: the addresses behind a host name, the hosts behind the name of a service, and how long that holds. */
import { lookup, Resolver } from "node:dns";

/** What a resolver found, and for how long. */
export interface Answer {
  readonly addresses: readonly string[];
  /** Milliseconds for which the answer is good; undefined where nobody says. */
  readonly ttlMs: number | undefined;
}

/** Resolves a host name to every address it has; rejects where there is none. */
export type Lookup = (host: string) => Promise<Answer | readonly string[]>;

/** An SRV record (RFC 2782). */
export interface ServiceRecord {
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** Resolves the name of a service to its SRV records; rejects where there is none. Runtimes don't tell their TTL. */
export type LookupService = (name: string) => Promise<readonly ServiceRecord[]>;

export interface DnsOptions {
  /** Servers to ask in place of the system's: "10.0.0.53", "[fd00::53]:5353". Names of the hosts file are then unknown. */
  readonly servers?: readonly string[];
}

/** Milliseconds for one question to one server; each is asked twice. */
const questionMs = 2_000;

/** @throws TypeError naming the server, if it isn't an address, maybe with a port */
export function createLookups({ servers }: DnsOptions = {}): { lookup: Lookup; lookupService: LookupService } {
  newResolver(servers);
  return {
    lookup: servers === undefined ? lookupAddresses : (host) => ask(host, servers),
    lookupService: (name) => askForService(name, servers),
  };
}

/**
 * The system's resolver (hosts file, search domains, DNS), and beside it DNS itself, which alone tells for how long an answer is
 * good. Where they disagree the system counts: the name may stand in the hosts file.
 */
const lookupAddresses: Lookup = async (host) => {
  const asked = ask(host, undefined).catch(() => undefined);
  const system = await lookupSystem(host).catch((error: Error) => error);
  const dns = await Promise.race([asked, pause(graceMs)]);
  if (dns === undefined) {
    if (system instanceof Error) throw system;
    return system;
  }
  if (system instanceof Error) return dns;
  const agree = dns.addresses.some((address) => system.includes(address));
  return agree ? dns : { addresses: system, ttlMs: dns.ttlMs };
};

/** Milliseconds that DNS has beyond the system's answer: a name of the hosts file must not wait for a server that isn't there. */
const graceMs = 250;

function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref();
  });
}

function lookupSystem(host: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true, order: "verbatim" } as { all: true }, (error, found) => {
      if (error) reject(error);
      else if (found.length === 0) reject(new Error(`${host} has no address`));
      else resolve(found.map(({ address }) => address));
    });
  });
}

/** A new one for each question: they keep answers (Bun's does), and don't notice when resolv.conf changes. */
function newResolver(servers: readonly string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: questionMs, tries: 2 });
  if (servers === undefined) return resolver;
  try {
    resolver.setServers(servers);
  } catch (error) {
    throw new TypeError(`dns servers ${servers.join(", ")}: ${(error as Error).message}`, { cause: error });
  }
  return resolver;
}

interface TimedAddress {
  readonly address: string;
  /** Seconds. */
  readonly ttl: number;
}

async function ask(host: string, servers: readonly string[] | undefined): Promise<Answer> {
  const resolver = newResolver(servers);
  const [v4, v6] = await Promise.allSettled([
    new Promise<readonly TimedAddress[]>((resolve, reject) => {
      resolver.resolve4(host, { ttl: true }, (error, found) => (error ? reject(error) : resolve(found)));
    }),
    new Promise<readonly TimedAddress[]>((resolve, reject) => {
      resolver.resolve6(host, { ttl: true }, (error, found) => (error ? reject(error) : resolve(found)));
    }),
  ]);
  const found = [v4, v6].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (found.length === 0) throw v4.status === "rejected" ? v4.reason : new Error(`${host} has no address`);
  const ttls = found.map(({ ttl }) => ttl).filter((ttl) => Number.isFinite(ttl));
  return {
    addresses: found.map(({ address }) => address),
    ttlMs: ttls.length === 0 ? undefined : Math.min(...ttls) * 1_000,
  };
}

function askForService(name: string, servers: readonly string[] | undefined): Promise<readonly ServiceRecord[]> {
  const resolver = newResolver(servers);
  return new Promise((resolve, reject) => {
    resolver.resolveSrv(name, (error, found) => {
      // "." says that the service is decidedly not there (RFC 2782)
      const records = error ? [] : found.filter((record) => record.name !== "" && record.name !== ".");
      if (error) reject(error);
      else if (records.length === 0) reject(new Error(`${name} has no hosts`));
      else resolve(records.map(({ name: host, port, priority, weight }) => ({ host, port, priority, weight })));
    });
  });
}
