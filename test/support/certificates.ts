/** Certificates for tests, made when they run: X.509 in DER by hand (RFC 5280), keys and signatures by node:crypto. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export interface Certificate {
  /** PEM. */
  cert: string;
  /** PEM, PKCS #8. */
  key: string;
}

export interface CertificateRequest {
  commonName: string;
  /** Names for the subject's alternative names. */
  dns?: readonly string[];
  /** IPv4 addresses for the same. */
  ips?: readonly string[];
  /** URIs for the same. */
  uris?: readonly string[];
  /** Days from now until it ends; below zero it has ended. Default 30. */
  days?: number;
}

/** A certificate authority that signs what tests need. */
export class CertificateAuthority {
  readonly cert: string;
  readonly #name: Buffer;
  readonly #key: KeyObject;

  constructor(commonName: string) {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#name = nameOf(commonName);
    this.#key = keys.privateKey;
    const extensions = [extension("551d13", sequence(boolean(true)), true)]; // basicConstraints: a CA
    this.cert = this.#sign(nameOf(commonName), keys.publicKey, { days: 30, extensions });
  }

  issue({ commonName, dns = [], ips = [], uris = [], days = 30 }: CertificateRequest): Certificate {
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = [
      ...dns.map((name) => der(0x82, Buffer.from(name))),
      ...uris.map((uri) => der(0x86, Buffer.from(uri))),
      ...ips.map((ip) => der(0x87, Buffer.from(ip.split(".").map(Number)))),
    ];
    const extensions = names.length > 0 ? [extension("551d11", sequence(...names))] : [];
    const cert = this.#sign(nameOf(commonName), keys.publicKey, { days, extensions });
    return { cert, key: keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string };
  }

  #sign(subject: Buffer, key: KeyObject, { days, extensions }: { days: number; extensions: Buffer[] }): string {
    const algorithm = sequence(objectId("2a8648ce3d040302")); // ecdsa-with-SHA256
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))), // version 3
      der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])), // serial number, positive
      algorithm,
      this.#name,
      sequence(time(Math.min(days, 0) - 1), time(days)),
      subject,
      key.export({ type: "spki", format: "der" }),
      ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
    );
    const signature = sign("sha256", body, this.#key);
    return pem(sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature]))));
  }
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0]));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), der(0x04, value));
}

/** A name of one common name. */
function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(objectId("550403"), der(0x0c, Buffer.from(commonName)))));
}

/** GeneralizedTime so many days from now. */
function time(days: number): Buffer {
  const iso = new Date(Date.now() + days * 86_400_000).toISOString();
  return der(0x18, Buffer.from(`${iso.slice(0, 19).replace(/[-:T]/g, "")}Z`));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
