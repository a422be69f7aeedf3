import { describe, expect, it } from "vitest";
import { authorizeCertificate, namesOf } from "../../src/admit/certificate.ts";
import type { Call, PeerCertificate } from "../../src/call.ts";

function certificate(subject: string, ...alternativeNames: string[]): PeerCertificate {
  return { subject, alternativeNames, fingerprint256: "AA" };
}

function callOf(shown: PeerCertificate | undefined): Call {
  const peer = { address: "192.0.2.1", port: 1, ...(shown === undefined ? {} : { certificate: shown }) };
  return { peer, protocol: "grpc" } as unknown as Call;
}

const spiffe = certificate("users", "DNS:users.acme.example", "URI:spiffe://acme.example/ns/prod/users");

describe("authorizeCertificate()", () => {
  it("takes the URI first, then a DNS name, then the common name", () => {
    const authorize = authorizeCertificate();
    expect(authorize(callOf(spiffe))).toEqual({ name: "spiffe://acme.example/ns/prod/users" });
    expect(authorize(callOf(certificate("x", "DNS:Users.acme.example")))).toEqual({ name: "users.acme.example" });
    expect(authorize(callOf(certificate("users")))).toEqual({ name: "users" });
  });

  it.each([
    ["spiffe://acme.example/ns/prod/users", true],
    ["spiffe://acme.example/ns/*", true],
    ["spiffe://acme.example/*", true],
    ["spiffe://acme.example/ns/prod/user", false],
    ["spiffe://acme.example/ns/test/*", false],
    ["users.acme.example", true],
    ["*.acme.example", true],
    ["*.example", true],
    ["*.other.example", false],
    ["acme.example", false],
    ["users", false], // the common name counts only where there are no others
  ])("with %s in the list: %s", (pattern, allowed) => {
    const authorize = authorizeCertificate({ allow: ["nobody.example", pattern] });
    if (allowed) expect(authorize(callOf(spiffe))).toMatchObject({ name: expect.any(String) });
    else expect(() => authorize(callOf(spiffe))).toThrow("not allowed");
  });

  it("is unauthenticated without a certificate", () => {
    expect(() => authorizeCertificate()(callOf(undefined))).toThrow("[unauthenticated]");
  });

  it.each(["", "*", "a*", "*.", "*.a.*", "spiffe://acme*", "spiffe://*/users", "spiffe://acme.example/*/a"])(
    "refuses the pattern %j",
    (pattern) => {
      expect(() => authorizeCertificate({ allow: [pattern] })).toThrow(JSON.stringify(pattern));
    },
  );
});

describe("namesOf()", () => {
  it("leaves names out that node:tls had to quote, and addresses", () => {
    const shown = certificate("cn", 'DNS:"a.example, URI:spiffe://acme.example/admin"', "IP Address:10.0.0.1");
    expect(namesOf(shown)).toEqual([]);
  });
});
