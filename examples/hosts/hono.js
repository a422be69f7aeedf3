// In a Hono application, under a path, by Request and Response: so on each of Hono's hosts. Here it is its server for Node.
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createHandler } from "rpc-manifold";
import { announce, listen, proxy } from "./proxy.js";

const app = new Hono();
app.get("/hello", (context) => context.text("hello from hono\n"));
const handle = createFetchHandler(createHandler(proxy, { requestPathPrefix: "/api" }));
app.all("/api/*", (context) => handle(context.req.raw));

serve({ fetch: app.fetch, port: listen.port, hostname: listen.hostname }, ({ port }) => announce(port));
