/** Certificate: what a director is told of the one that a client has shown. */
import type { TLSSocket } from "node:tls";
import type { PeerCertificate } from "../call.ts";

/** The certificate that the handshake has verified, or undefined where the client showed none. */
export function certificateOf(socket: TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerCertificate?.();
  if (!certificate || Object.keys(certificate).length === 0) return undefined;
  const commonName = certificate.subject?.CN;
  return {
    subject: (Array.isArray(commonName) ? commonName[0] : commonName) ?? "",
    alternativeNames: splitNames(certificate.subjectaltname ?? ""),
    fingerprint256: certificate.fingerprint256 ?? "",
  };
}

/**
 * The names in node:tls's one line of them. A name with a comma in it stands there as a JSON string: cut through, it would
 * be read as names that nobody has certified (CVE-2021-44532).
 */
export function splitNames(line: string): string[] {
  return line.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"|,(?! ))+/g)?.map((name) => name.trimStart()) ?? [];
}
