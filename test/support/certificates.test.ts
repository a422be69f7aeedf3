import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { CertificateAuthority } from "./certificates.ts";

describe("CertificateAuthority", () => {
  const authority = new CertificateAuthority("test authority");
  const leaf = authority.issue({ commonName: "leaf", dns: ["a.example"], ips: ["127.0.0.1"] });

  it("issues certificates that verify against it and carry the names asked for", () => {
    const certificate = new X509Certificate(leaf.cert);
    const issuer = new X509Certificate(authority.cert);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.checkHost("a.example")).toBe("a.example");
    expect(certificate.checkIP("127.0.0.1")).toBe("127.0.0.1");
    expect(issuer.ca).toBe(true);
  });

  it("issues one that has ended", () => {
    const ended = new X509Certificate(authority.issue({ commonName: "old", days: -2 }).cert);
    expect(new Date(ended.validTo).getTime()).toBeLessThan(Date.now());
  });
});
