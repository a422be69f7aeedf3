/** `manifold init`: writes a commented configuration to start from. */
import { writeFileSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";
import process from "node:process";
import { packageFile } from "./package.ts";

/** The file couldn't be written; the message says why. */
export class InitError extends Error {
  override readonly name = "InitError";
}

/** @throws InitError if the file is there already, or can't be written */
export function init(file = "manifold.yaml"): void {
  const schema = relative(dirname(resolve(file)), packageFile("schema/manifold.schema.json")).replaceAll(sep, "/");
  try {
    writeFileSync(file, starter(schema.startsWith(".") ? schema : `./${schema}`), { flag: "wx" });
  } catch (error) {
    const { code } = error as { code?: string };
    throw new InitError(
      code === "EEXIST" ? `${file} is there already; it was left as it is` : `can't write ${file} (${code})`,
    );
  }
  process.stdout.write(
    `wrote ${file}\n  look through it, then: manifold check --config ${file}, manifold --config ${file}\n`,
  );
}

/** @param schema path of the JSON Schema for the editor, as seen from the file */
function starter(schema: string): string {
  return `# yaml-language-server: $schema=${schema}
# Configuration of Manifold. Durations are written 500ms, 10s, 5m or 1h, sizes 65536 or 64KiB.
# Paths of files are relative to this one.

listeners:
  - address: 127.0.0.1:8080 # ":8080" listens on all interfaces
  # - address: 0.0.0.0:8443
  #   tls:
  #     cert: tls.crt
  #     key: tls.key
  #     client_ca: ca.crt # clients must show a certificate that one of these signed
  #   cors: { origins: ["https://app.example.com"] } # whose pages may call

upstreams:
  users:
    endpoints: # http: cleartext (HTTP/2 with prior knowledge); https: TLS with ALPN
      - http://127.0.0.1:50051
      # - { name: second, url: https://users.internal:50051 }
    # protocols: [grpc] # or grpc_web, connect: what it speaks; calls in others are bridged to the first
    # http: "2" # or "1.1", for grpc_web and connect
    # schema: reflection # or { image: api.binpb }: for callers that speak JSON
    # balance: round_robin # or least_request, pick_first, { ring_hash: { header: x-user } }
    # health: { grpc: {} } # or http: { path: /healthz }, tcp: true: unhealthy endpoints get no calls
    # tls: { ca: ca.crt, cert: client.crt, key: client.key }
    # connect_timeout: 5s
    # max_connections: 4 # to one endpoint

routes: # the first that matches wins; a call that none matches is answered "unimplemented"
  # - match: { service: internal.* }
  #   refuse: { code: permission_denied, message: not for you }
  # - match: { method: acme.users.v1.UserService/Export, headers: { x-role: { prefix: admin } } }
  #   to: users
  #   timeout: 5m
  #   rewrite: { authority: users.internal }
  #   add_headers: { x-via: manifold }
  #   remove_headers: [x-debug]
  - to: users

# module: ./routes.js # services of your own, beside the proxy
# access_log: auto # pretty on a terminal, JSON lines otherwise; or pretty, json, off
# log_level: info
# drain_timeout: 30s # time that calls have to finish after SIGTERM
`;
}
