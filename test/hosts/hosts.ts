/** The hosts that the proxy is mounted in: how each example is started, and what its host can carry. */
import { join } from "node:path";
import { type Program, start } from "../support/program.ts";
import { commandOn, type RuntimeName, root, skipAbsent } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

export interface Host {
  readonly name: string;
  readonly file: string;
  readonly runtime: RuntimeName;
  readonly http: "1.1" | "2";
  /** Where in the host the proxy is mounted. */
  readonly path: string;
  /** Calls of gRPC go through. */
  readonly grpc: boolean;
  readonly env?: Record<string, string>;
  /** Why callers that hang up before an answer are noticed late, or not by this host. */
  readonly deafUntilAnswer?: string;
  /** A path that the host itself answers. */
  readonly own?: string;
}

/** Seen with a server of nothing but Deno.serve, on Deno 2.9. */
const deafUntilAnswer = "Deno.serve looks for a hang-up only if the request's body came in one packet with its head";

export const hosts: readonly Host[] = [
  { name: "connect-node", file: "connect-node.js", runtime: "node", http: "2", path: "", grpc: true },
  { name: "connect-node on Bun", file: "connect-node.js", runtime: "bun", http: "2", path: "", grpc: true },
  { name: "connect-node on Deno", file: "connect-node.js", runtime: "deno", http: "2", path: "", grpc: true },
  { name: "node:http", file: "node-http1.js", runtime: "node", http: "1.1", path: "", grpc: false },
  { name: "node:http on Bun", file: "node-http1.js", runtime: "bun", http: "1.1", path: "", grpc: false },
  { name: "node:http on Deno", file: "node-http1.js", runtime: "deno", http: "1.1", path: "", grpc: false },
  { name: "Express", file: "express.js", runtime: "node", http: "1.1", path: "/api", grpc: false, own: "/hello" },
  { name: "Fastify", file: "fastify.js", runtime: "node", http: "1.1", path: "", grpc: false, own: "/hello" },
  {
    name: "Fastify over HTTP/2",
    file: "fastify.js",
    runtime: "node",
    http: "2",
    path: "",
    grpc: true,
    env: { HTTP2: "1" },
  },
  { name: "Hono", file: "hono.js", runtime: "node", http: "1.1", path: "/api", grpc: false, own: "/hello" },
  { name: "Bun.serve", file: "bun.js", runtime: "bun", http: "1.1", path: "", grpc: false },
  { name: "Deno.serve", file: "deno.js", runtime: "deno", http: "1.1", path: "", grpc: false, deafUntilAnswer },
  { name: "Deno.serve over HTTP/2", file: "deno.js", runtime: "deno", http: "2", path: "", grpc: false },
];

/** True, after saying why, where a host's runtime isn't there. */
export function isAbsent({ name, runtime }: Host): boolean {
  const command = commandOn(runtime);
  return "absent" in command && !skipAbsent(name, command.absent);
}

export interface RunningHost {
  /** With the path where the proxy is mounted. */
  readonly url: string;
  readonly program: Program;
}

/** Starts an example before an upstream. */
export async function startHost({ file, runtime, path, env }: Host, upstream: string): Promise<RunningHost> {
  const command = commandOn(runtime);
  if ("absent" in command) throw new Error(command.absent);
  const runner = runtime === "deno" ? command.argv.slice(0, 3) : command.argv.slice(0, 1);
  const argv = [...runner, join(root, "examples/hosts", file), "127.0.0.1:0", upstream];
  const program = start(argv, { cwd: root, env: { ...process.env, ...env } });
  const address = () => /listening on (127\.0\.0\.1:\d+)/.exec(program.stdout())?.[1];
  const bound = await until("the host to listen", () => address() ?? program.exit() !== undefined, 30_000);
  if (typeof bound !== "string") throw new Error(`${file} on ${runtime} ended: ${program.stderr()}`);
  return { url: `http://${bound}${path}`, program };
}
