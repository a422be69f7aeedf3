// On node:http: gRPC-Web and Connect over HTTP/1.1.
import { createServer } from "node:http";
import { handleNode } from "./node-handler.js";
import { announce, listen, proxy } from "./proxy.js";

const server = createServer((request, response) => handleNode(proxy.handler, request, response));
server.listen(listen.port, listen.hostname, () => announce(server.address().port));
