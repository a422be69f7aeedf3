/** Addresses to listen on, as a user writes them. */

export interface ListenAddress {
  /** IPv6 without brackets; "" for all interfaces. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/**
 * Reads "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or ":8080" (all interfaces).
 *
 * @throws TypeError naming the value
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new TypeError(`invalid address "${text}": expected host:port, such as 127.0.0.1:8080, [::1]:8080 or :8080`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}

/** Whether an address can be reached from its own machine alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
