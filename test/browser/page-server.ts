/** Serves the test's page, bundled for a browser, at two origins. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

export interface PageServer {
  /** "http://127.0.0.1:40123", and another. */
  readonly origins: readonly [string, string];
  close(): Promise<void>;
}

export async function servePage(): Promise<PageServer> {
  const script = await bundle(fileURLToPath(new URL("page/main.ts", import.meta.url)));
  const servers = await Promise.all([serveScript(script), serveScript(script)]);
  const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origins: [originOf(servers[0]), originOf(servers[1])],
    async close() {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

async function bundle(input: string): Promise<string> {
  const build = await rolldown({ input, platform: "browser", logLevel: "silent" });
  const { output } = await build.generate({ format: "esm" });
  await build.close();
  return output[0].code;
}

function serveScript(script: string): Promise<Server> {
  const page =
    '<!doctype html><title>test</title><link rel="icon" href="data:,"><script type="module" src="main.js"></script>';
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/main.js" ? ["text/javascript", script] : ["text/html", page];
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
