/** TLS towards an upstream: whom it trusts, and what it shows of us. */
import { createSecureContext, type SecureContext } from "node:tls";

/** Every certificate and key as PEM text. */
export interface UpstreamTls {
  /** Who may sign the endpoints' certificates. Default: the authorities the runtime trusts. */
  readonly ca?: string;
  /** Our own certificate chain, for servers that ask for one; with `key`. */
  readonly cert?: string;
  readonly key?: string;
  /** Name for SNI, and which certificates must have. Default: the host of each endpoint's URL. */
  readonly serverName?: string;
}

/**
 * Reads the certificates of an upstream, once for all its connections.
 *
 * @throws Error if one of them isn't PEM, or (not on every runtime) certificate and key don't belong together
 */
export function createTlsContext(tls: UpstreamTls): SecureContext {
  const { ca, cert, key } = tls;
  // Asked here because runtimes take anything for an authority and then trust nobody, and Deno for a certificate too.
  checkPem("ca", ca, "CERTIFICATE");
  checkPem("cert", cert, "CERTIFICATE");
  checkPem("key", key, "PRIVATE KEY");
  return createSecureContext({
    minVersion: "TLSv1.2", // RFC 9113 section 9.2
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
}

/** Names the setting alone: a value that was meant to be a key is nothing for a log. */
function checkPem(setting: keyof UpstreamTls, pem: string | undefined, what: "CERTIFICATE" | "PRIVATE KEY"): void {
  if (pem === undefined || new RegExp(`-----BEGIN [A-Z ]*${what}-----`).test(pem)) return;
  throw new TypeError(`tls.${setting} has no PEM block "${what}"`);
}
