// Nodes: one server on each port that is named, each an upstream that has never heard of fan-out.
//   bun examples/fan-out/nodes.ts 50051 50052
import { createServer } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { NodeService } from "./gen/acme/node/v1/node_pb.ts";

const ports = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [50051, 50052];

function routesOf(port: number): (router: ConnectRouter) => void {
  return (router) =>
    router.service(NodeService, {
      getVersion: () => ({ version: `v1.0.${port}` }),
      async *followLog({ lines }, { signal }) {
        for (let line = 1; lines === 0 || line <= lines; line++) {
          yield { line: `line ${line} of ${port}` };
          await sleep(100, undefined, { signal });
        }
      },
      restart: () => ({}),
    });
}

for (const port of ports) {
  const server = createServer(connectNodeAdapter({ routes: routesOf(port) }));
  server.listen(port, "127.0.0.1", () => console.log(`node on http://127.0.0.1:${port}`));
}
