// In a Fastify application, for every path that has no route. With { http2: true } it carries gRPC as well.
import Fastify from "fastify";
import { handleNode } from "./node-handler.js";
import { announce, listen, proxy } from "./proxy.js";

const http2 = process.env.HTTP2 === "1";
const app = Fastify(http2 ? { http2: true } : {});
app.get("/hello", () => "hello from fastify\n");
app.register(async (rpc) => {
  // bodies are the proxy's to read
  rpc.removeAllContentTypeParsers();
  rpc.addContentTypeParser("*", (_request, _payload, done) => done(null));
  rpc.all("/*", (request, reply) => {
    reply.hijack();
    return handleNode(proxy.handler, request.raw, reply.raw);
  });
});

await app.listen({ port: listen.port, host: listen.hostname });
announce(app.server.address().port);
