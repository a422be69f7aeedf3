// Beside the services of a Connect server on node:http2, as the fallback of its adapter. gRPC, gRPC-Web and Connect, over HTTP/2
// with prior knowledge (h2c); over TLS, http2.createSecureServer({ allowHTTP1: true }) takes HTTP/1.1 on the same port.
import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { handleNode } from "./node-handler.js";
import { announce, listen, proxy } from "./proxy.js";

const server = createServer(
  connectNodeAdapter({
    routes(_router) {
      // services of this process: router.service(ElizaService, implementation)
    },
    fallback: (request, response) => handleNode(proxy.handler, request, response),
  }),
);
server.listen(listen.port, listen.hostname, () => announce(server.address().port));
