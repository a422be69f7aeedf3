/**
 * Another proxy in Manifold's place, to see that the tests can fail: `MANIFOLD_STAND_IN=envoy npx vitest run --project
 * runtimes:node` runs the suite against Envoy with its default options. test/beside-envoy puts both through the same.
 */
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Manifold } from "./manifold.ts";
import { openSockets, residentBytes, start } from "./program.ts";
import { root } from "./runtimes.ts";
import { findTool } from "./tools.ts";
import { sleep } from "./until.ts";

/** What MANIFOLD_STAND_IN says, or undefined: Manifold itself. */
export const standIn = process.env.MANIFOLD_STAND_IN;

/** The part of Manifold's configuration that the stand-in understands: services to upstreams in cleartext. */
export interface PlainConfig {
  upstreams: Record<string, { endpoints: readonly string[] }>;
  routes: readonly { match?: { service?: string }; to?: string }[];
}

/** Envoy's program: ENVOY, else on PATH, else what bench/install has put there. */
export function findEnvoy(): string | undefined {
  return process.env.ENVOY ?? findTool("envoy") ?? installedEnvoy();
}

function installedEnvoy(): string | undefined {
  const lib = join(root, "bench/.cache/venv/lib");
  const versions = existsSync(lib) ? readdirSync(lib) : [];
  return versions.map((python) => join(lib, python, "site-packages/envoy/_bin/envoy")).find((path) => existsSync(path));
}

/** Starts Envoy with one worker for the routes of a configuration. */
export async function startEnvoy(config: PlainConfig): Promise<Manifold> {
  const folder = mkdtempSync(join(tmpdir(), "manifold-test-envoy-"));
  const http2 = { explicit_http_config: { http2_protocol_options: {} } };
  const clusters = Object.entries(config.upstreams).map(([name, { endpoints }]) => ({
    name,
    type: "STATIC",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        ...http2,
      },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: endpoints.map((url) => ({ endpoint: { address: addressOf(url) } })) }],
    },
  }));
  const routes = config.routes
    .filter(({ to }) => to !== undefined)
    .map(({ match, to }) => ({
      match: { prefix: match?.service ? `/${match.service}/` : "/" },
      route: { cluster: to, timeout: "0s" },
    }));
  const listener = {
    name: "test",
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    filter_chains: [{ filters: [connectionManager(routes)] }],
  };
  const bootstrap = {
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
    static_resources: { listeners: [listener], clusters },
  };
  writeFileSync(join(folder, "envoy.json"), JSON.stringify(bootstrap));
  const argv = [findEnvoy() ?? "envoy", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"];
  const program = start([...argv, "-c", join(folder, "envoy.json"), "--admin-address-path", join(folder, "admin")]);
  const port = await listenerPort(join(folder, "admin")).catch(() => {
    throw new Error(`envoy did not start: ${program.stderr()}`);
  });
  const { pid } = program;
  const usage = { rss: () => residentBytes(pid), sockets: () => openSockets(pid) };
  return { port, ports: [port], pid, program, folder, ...usage, stop: (graceMs) => program.stop("SIGTERM", graceMs) };
}

function connectionManager(routes: object[]): object {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      stat_prefix: "test",
      codec_type: "AUTO",
      route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        },
      ],
    },
  };
}

function addressOf(url: string): object {
  const { hostname, port } = new URL(url);
  return { socket_address: { address: hostname, port_value: Number(port) } };
}

/** Envoy tells its ports over its admin endpoint only, whose own address is in a file. */
async function listenerPort(adminFile: string): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const listeners = await readFile(adminFile, "utf8")
      .then((address) => fetch(`http://${address.trim()}/listeners`))
      .then((response) => response.text())
      .catch(() => "");
    const port = /127\.0\.0\.1:(\d+)/.exec(listeners)?.[1];
    if (port !== undefined) return Number(port);
    await sleep(50);
  }
  throw new Error("envoy does not listen");
}
