// In an Express application, under a path. express.json() may come before it: JSON that it has parsed is written anew.
import express from "express";
import { handleNode } from "./node-handler.js";
import { announce, listen, proxy } from "./proxy.js";

const app = express();
app.use(express.json({ limit: "4mb" })); // its default is 100 kB
app.get("/hello", (_request, response) => response.send("hello from express\n"));
// Express takes "/api" off the front of request.url
app.use("/api", (request, response) => handleNode(proxy.handler, request, response, request.body));

const server = app.listen(listen.port, listen.hostname, () => announce(server.address().port));
