/** The proxies that are compared, each as the command that starts it in front of a backend. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Wire } from "./h2load.ts";
import { freePort, type Running, start } from "./process.ts";

/** Where things are. */
export interface Places {
  /** Root of the repository. */
  root: string;
  /** bench/.cache: untracked. */
  cache: string;
}

export interface Peer {
  /** Of the row in the tables. Two peers may share it where they take different wires: the same program, set up twice. */
  readonly name: string;
  /** What it can be asked to carry to a backend of gRPC over HTTP/2. */
  readonly takes: readonly Wire[];
  /** The version, or what is missing on this machine. */
  version(places: Places): { version: string } | { missing: string };
  /**
   * Starts it in front of the backend, and resolves when it listens.
   *
   * @param words more of the command line, for Manifold
   */
  start(places: Places, backendPort: number, words?: readonly string[]): Promise<Running>;
  /** The same in front of many, to all of which each call goes. Absent where it has no such thing. */
  startFanOut?(places: Places, backendPorts: readonly number[]): Promise<Running>;
}

const bridged: readonly Wire[] = ["web-h2", "web-h1", "connect-h1"];

/** In the order in which each round runs them. */
export const peers: readonly Peer[] = [
  ...manifolds("manifold"),
  envoy("envoy", ["grpc"], "HTTP2", []),
  envoy("envoy-bridge", bridged, "AUTO", [
    ["grpc_web", "grpc_web.v3.GrpcWeb"],
    ["connect_grpc_bridge", "connect_grpc_bridge.v3.FilterConfig"],
  ]),
  {
    name: "nginx",
    takes: ["grpc"],
    version: () => versionOf("nginx", ["-v"], /nginx\/(\S+)/),
    async start({ cache }, backendPort) {
      const port = await freePort();
      const config = join(cache, "nginx.conf");
      writeFileSync(config, nginxConfig(cache, port, backendPort));
      const args = ["-c", config, "-e", join(cache, "nginx-error.log")];
      return start({ name: "nginx", command: "nginx", args, port, cacheDir: cache });
    },
  },
  {
    name: "grpc-proxy",
    takes: ["grpc"],
    version: ({ root }) => {
      const binary = goProgram(root, "grpcproxy");
      return versionOf("go", ["version", "-m", binary], /siderolabs\/grpc-proxy\s+v(\S+)/);
    },
    start: (places, backendPort) => startGrpcProxy(places, [backendPort]),
    startFanOut: startGrpcProxy,
  },
  {
    name: "grpcwebproxy",
    takes: ["web-h1"],
    version: ({ root }) => {
      const binary = goProgram(root, "grpcwebproxy");
      if (!existsSync(binary)) return { missing: "run bench/install" };
      return versionOf("go", ["version", "-m", binary], /improbable-eng\/grpc-web\s+v(\S+)/);
    },
    async start({ root, cache }, backendPort) {
      const port = await freePort();
      const args = [`--backend_addr=127.0.0.1:${backendPort}`, "--run_tls_server=false", "--allow_all_origins"];
      args.push("--server_bind_address=127.0.0.1", `--server_http_debug_port=${port}`);
      return start({ name: "grpcwebproxy", command: goProgram(root, "grpcwebproxy"), args, port, cacheDir: cache });
    },
  },
];

/**
 * Manifold of another checkout, installed and built there, to measure a change against what was before it. Only to one
 * backend: it has all settings at their defaults, so that an old version understands its configuration.
 */
export function basePeers(root: string): Peer[] {
  return manifolds("base").map((peer) => ({
    name: peer.name,
    takes: peer.takes,
    version: (places) => peer.version({ ...places, root }),
    start: (places, backendPort) => peer.start({ ...places, root }, backendPort),
  }));
}

/** A program that test/go/build or bench/install has built. */
export function goProgram(root: string, name: string): string {
  return join(root, "test/.cache/bin", name);
}

async function startGrpcProxy({ root, cache }: Places, backendPorts: readonly number[]): Promise<Running> {
  const port = await freePort();
  const to = backendPorts.map((backendPort) => `127.0.0.1:${backendPort}`).join();
  const args = ["--listen", `127.0.0.1:${port}`, "--to", to];
  return start({ name: "grpc-proxy", command: goProgram(root, "grpcproxy"), args, port, cacheDir: cache });
}

function manifolds(prefix: "manifold" | "base"): Peer[] {
  return [
    manifold(`${prefix}-node`, () => process.execPath, ["bin/manifold"]),
    manifold(`${prefix}-bun`, (root) => join(root, "node_modules/.bin/bun"), ["src/cli/main.ts"]),
    manifold(`${prefix}-deno`, (root) => join(root, "node_modules/.bin/deno"), ["run", "-A", "src/cli/main.ts"]),
  ];
}

function manifold(name: string, command: (root: string) => string, script: string[]): Peer {
  const run = async (root: string, cache: string, options: string[]): Promise<Running> => {
    const port = await freePort();
    const args = [...script.slice(0, -1), join(root, script.at(-1)!), "--listen", `127.0.0.1:${port}`, ...options];
    return start({ name, command: command(root), args, port, cacheDir: cache, env: { NO_COLOR: "1" } });
  };
  return {
    name,
    takes: ["grpc", ...bridged],
    version: ({ root }) => {
      if (!existsSync(join(root, script.at(-1)!))) return { missing: `no ${script.at(-1)}` };
      return versionOf(command(root), ["--version"], /(\d+\.\d+\.\d+)/);
    },
    start({ root, cache }, backendPort, words = []) {
      const config = join(cache, `${name}.json`);
      const limits = name.startsWith("base") ? {} : { limits: noLimits };
      const upstreams = { backend: { endpoints: [`http://127.0.0.1:${backendPort}`], ...limits } };
      writeFileSync(config, JSON.stringify({ upstreams, routes: [{ to: "backend" }] }));
      return run(root, cache, ["--config", config, "--access-log", "off", ...words]);
    },
    startFanOut({ root, cache }, backendPorts) {
      const config = join(cache, "fan-out.manifold.yaml");
      writeFileSync(config, JSON.stringify(fanOutConfig(backendPorts)));
      return run(root, cache, ["--config", config, "--access-log", "off"]);
    },
  };
}

/** On the number of calls, raised as Envoy's are. */
const noLimits = { requests: 1_000_000, pending: 1_000_000, connections: 1_000_000 };

/** One call to all, replies joined as grpc-proxy's README has it. JSON is YAML, too. */
function fanOutConfig(ports: readonly number[]): object {
  const kind = { unary: ["manifold.test.v1.Test/Unary"], server_streaming: ["manifold.test.v1.Test/ServerStream"] };
  return {
    upstreams: { nodes: { endpoints: ports.map((port) => `http://127.0.0.1:${port}`), limits: noLimits } },
    routes: [{ fan_out: { to: "nodes", layout: "merge", kind } }],
  };
}

/**
 * @param file names its log and its configuration
 * @param filters what runs before the router: the name, and the type's name within Envoy's HTTP filters
 */
function envoy(file: string, takes: readonly Wire[], codec: string, filters: readonly [string, string][]): Peer {
  return {
    name: "envoy",
    takes,
    version: ({ cache }) => {
      const binary = envoyBinary(cache);
      if (binary === undefined) return { missing: "run bench/install" };
      return versionOf(binary, ["--version"], /\/(\d+\.\d+\.\d+)\//);
    },
    async start({ cache }, backendPort) {
      const port = await freePort();
      const config = join(cache, `${file}.json`);
      writeFileSync(config, JSON.stringify(envoyConfig({ port, backendPort, codec, filters })));
      const args = ["-c", config, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"];
      return start({ name: file, command: envoyBinary(cache)!, args, port, cacheDir: cache });
    },
  };
}

function versionOf(command: string, args: string[], pattern: RegExp): { version: string } | { missing: string } {
  try {
    // nginx prints its version to stderr.
    const output = execFileSync("sh", ["-c", 'exec "$0" "$@" 2>&1', command, ...args], { encoding: "utf8" });
    return { version: pattern.exec(output)?.[1] ?? "unknown" };
  } catch {
    return { missing: `cannot run ${command}` };
  }
}

/** The binary within the Python package that bench/install puts into bench/.cache/venv. */
function envoyBinary(cache: string): string | undefined {
  const lib = join(cache, "venv/lib");
  if (!existsSync(lib)) return undefined;
  return readdirSync(lib)
    .map((python) => join(lib, python, "site-packages/envoy/_bin/envoy"))
    .find((path) => existsSync(path));
}

/** Limits of number are raised out of the way; nothing is logged; everything else is Envoy's default. */
function envoyConfig(options: {
  port: number;
  backendPort: number;
  codec: string;
  filters: readonly [string, string][];
}): object {
  const any = (type: string, rest: object) => ({ "@type": `type.googleapis.com/envoy.${type}`, ...rest });
  const address = (value: number) => ({ socket_address: { address: "127.0.0.1", port_value: value } });
  const route = { match: { prefix: "/" }, route: { cluster: "backend", timeout: "0s" } };
  const filters = [...options.filters, ["router", "router.v3.Router"] as const];
  const manager = any("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "bench",
    codec_type: options.codec,
    stream_idle_timeout: "0s",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: filters.map(([name, type]) => ({ name, typed_config: any(`extensions.filters.http.${type}`, {}) })),
  });
  const unlimited = { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 };
  const cluster = {
    name: "backend",
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: { thresholds: [unlimited] },
    load_assignment: {
      cluster_name: "backend",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(options.backendPort) } }] }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        { explicit_http_config: { http2_protocol_options: {} } },
      ),
    },
  };
  const chain = { filters: [{ name: "http", typed_config: manager }] };
  return {
    static_resources: {
      listeners: [{ name: "in", address: address(options.port), filter_chains: [chain] }],
      clusters: [cluster],
    },
  };
}

/** One worker; upstream connections kept, one per call at a time, since nginx does not share them. */
function nginxConfig(cache: string, port: number, backendPort: number): string {
  return `
daemon off;
worker_processes 1;
worker_rlimit_nofile 30000;
pid ${cache}/nginx.pid;
error_log ${cache}/nginx-error.log warn;
events { worker_connections 25000; }
http {
  access_log off;
  client_body_temp_path ${cache}/nginx-body;
  proxy_temp_path ${cache}/nginx-proxy;
  fastcgi_temp_path ${cache}/nginx-fastcgi;
  scgi_temp_path ${cache}/nginx-scgi;
  uwsgi_temp_path ${cache}/nginx-uwsgi;
  client_max_body_size 0;
  client_body_timeout 1h;
  keepalive_requests 1000000000;
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} http2;
    location / { grpc_pass grpc://backend; grpc_read_timeout 1h; grpc_send_timeout 1h; }
  }
}
`;
}
