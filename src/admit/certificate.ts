/** Certificate: who calls, by the names in the certificate that a client has shown over TLS. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { PeerCertificate } from "../call.ts";
import type { Authorize } from "./admission.ts";

export interface CertificateOptions {
  /**
   * Who may call: "spiffe://acme.example/users" or "spiffe://acme.example/*" (a URI, or how it begins), "users.acme.example" or
   * "*.acme.example" (a DNS name, or any under it), a common name. Default: everyone whose certificate the listener takes.
   */
  readonly allow?: readonly string[];
}

/**
 * Makes of a certificate's name the call's identity: its first URI (SPIFFE's place for it), else its first DNS name, else its
 * common name. With `allow` it is the first that may call. Without a certificate a call is `unauthenticated`, with one
 * that isn't allowed `permission_denied`.
 *
 * @throws TypeError naming the pattern, if it can't be one
 */
export function authorizeCertificate({ allow }: CertificateOptions = {}): Authorize {
  const tests = allow?.map(namePattern);
  return ({ peer }) => {
    if (peer.certificate === undefined) {
      throw new ConnectError("a client certificate is needed", Code.Unauthenticated);
    }
    const names = namesOf(peer.certificate);
    const name = tests === undefined ? names[0] : names.find((one) => tests.some((test) => test(one)));
    if (name !== undefined) return { name };
    const cause = `certificate of ${names.join(", ") || "nobody"} is not in the list`;
    throw new ConnectError("not allowed", Code.PermissionDenied, undefined, undefined, cause);
  };
}

/** URIs, DNS names, and the common name only where there are neither (RFC 9525 section 2). A name that node:tls quotes is none that is meant here. */
export function namesOf({ subject, alternativeNames }: PeerCertificate): string[] {
  const of = (type: string) =>
    alternativeNames.filter((name) => name.startsWith(`${type}:`)).map((name) => name.slice(type.length + 1));
  const names = [...of("URI"), ...of("DNS").map((name) => name.toLowerCase())].filter((name) => !name.startsWith('"'));
  return alternativeNames.length === 0 && subject !== "" ? [subject] : names;
}

/** @throws TypeError naming the pattern, if a `*` stands where it means nothing */
export function namePattern(pattern: string): (name: string) => boolean {
  if (pattern.includes("://")) {
    const prefix = pattern.endsWith("/*") ? pattern.slice(0, -1) : undefined;
    if (/\*/.test(prefix ?? pattern)) throw unusable(pattern);
    return prefix === undefined ? (name) => name === pattern : (name) => name.startsWith(prefix);
  }
  const suffix = pattern.startsWith("*.") ? pattern.slice(1).toLowerCase() : undefined;
  if (pattern === "" || suffix === "." || /\*/.test(suffix ?? pattern)) throw unusable(pattern);
  if (suffix !== undefined)
    return (name) => !name.includes("/") && name.length > suffix.length && name.endsWith(suffix);
  const lower = pattern.toLowerCase();
  return (name) => name === pattern || name === lower;
}

function unusable(pattern: string): TypeError {
  return new TypeError(
    `not the name of a certificate: "${pattern}"; give "spiffe://domain/path", "spiffe://domain/*", "name.example" or "*.example"`,
  );
}
