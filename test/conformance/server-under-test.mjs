// What connectconformance starts as its server: a server of the suite's with Manifold in front of it. In cleartext both
// are; over TLS both are, and where the case has client certificates, Manifold asks for the client's and shows one of
// its own to the server behind.
//
// Environment: BACKEND, the path of the server's program; UPSTREAM, how Manifold speaks to it: the upstream's configuration as
// JSON, without endpoints; MANIFOLD_COMMAND, the command line as JSON; CLIENT_PEM, a file with { ca, cert, key } as JSON: the
// certificate that Manifold shows, and its authority; ROUTE, more of Manifold's route as JSON, with which the suite sees that it
// can fail.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delimited, forBackend, readDelimited, readPort, readRequest, writeResponse } from "./compat.mjs";

const { BACKEND, UPSTREAM, MANIFOLD_COMMAND, CLIENT_PEM, ROUTE } = process.env;
const folder = mkdtempSync(join(tmpdir(), "manifold-conformance-"));
const children = [];
let stopping = false;
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

const requestBytes = await readDelimited(process.stdin);
const request = readRequest(requestBytes);
const upstream = JSON.parse(UPSTREAM);
const client = JSON.parse(readFileSync(CLIENT_PEM, "utf8"));
const port = await startManifold(await startBackend());
process.stdout.write(delimited(writeResponse(port, request.useTls ? request.cert : "")));

async function startBackend() {
  const server = spawn(BACKEND, { stdio: ["pipe", "pipe", "inherit"] });
  watch(server, BACKEND);
  const { protocols, http = "2" } = upstream;
  const clientAuthority = request.clientTlsCert === "" ? undefined : client.ca;
  server.stdin.end(delimited(forBackend(requestBytes, { protocol: protocols[0], http, clientAuthority })));
  return readPort(await readDelimited(server.stdout));
}

async function startManifold(upstreamPort) {
  const file = (name, content) => {
    writeFileSync(join(folder, name), content);
    return name;
  };
  const listener = { address: "127.0.0.1:0" };
  Object.assign(upstream, { endpoints: [`${request.useTls ? "https" : "http"}://127.0.0.1:${upstreamPort}`] });
  if (request.useTls) {
    listener.tls = { cert: file("server.crt", request.cert), key: file("server.key", request.key) };
    upstream.tls = { ca: "server.crt" };
    if (request.clientTlsCert !== "") {
      listener.tls.client_ca = file("client-ca.crt", request.clientTlsCert);
      Object.assign(upstream.tls, { cert: file("client.crt", client.cert), key: file("client.key", client.key) });
    }
  }
  const route = { to: "backend", ...JSON.parse(ROUTE ?? "{}") };
  const config = { listeners: [listener], upstreams: { backend: upstream }, routes: [route] };
  const path = join(folder, file("manifold.yaml", JSON.stringify(config)));
  const [program, ...args] = JSON.parse(MANIFOLD_COMMAND);
  const manifold = spawn(program, [...args, "--access-log", "off", "--config", path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  watch(manifold, "manifold");
  let printed = "";
  for await (const chunk of manifold.stdout.iterator({ destroyOnReturn: false })) {
    printed += chunk;
    const listening = /https?:\/\/127\.0\.0\.1:(\d+)/.exec(printed);
    if (listening) {
      manifold.stdout.resume();
      return Number(listening[1]);
    }
  }
  throw new Error(`manifold did not say where it listens: ${printed}`);
}

function watch(child, what) {
  children.push(child);
  child.on("exit", (code, signal) => {
    if (stopping) return;
    console.error(`${what} ended: ${code ?? signal}`);
    stop();
  });
}

/** Streams may be open: nobody waits for them any more. */
function stop() {
  if (stopping) return;
  stopping = true;
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
