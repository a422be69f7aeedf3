// Manifold as a library: a director in place of a file. Run it with: node examples/library.js
import { Code, ConnectError } from "@connectrpc/connect";
import { createProxy, createUpstream, serve } from "rpc-manifold";

const [address = "127.0.0.1:8080", ...endpoints] = process.argv.slice(2);
const users = createUpstream({
  name: "users",
  endpoints: endpoints.length > 0 ? endpoints : ["http://127.0.0.1:50051", "http://127.0.0.1:50052"],
});

const proxy = createProxy({
  director(call) {
    if (call.service.startsWith("internal.")) throw new ConnectError("unknown method", Code.Unimplemented);
    return { mode: "one-to-one", upstream: users, rewrite: { addHeaders: [["x-peer", call.peer.address]] } };
  },
  onCall: ({ call, status, endpoint }) => console.log(call.path, status, endpoint),
});

const server = await serve(proxy, { listen: [address] });
console.log(`listening on ${server.addresses[0]?.address}:${server.addresses[0]?.port}`);

process.once("SIGTERM", async () => {
  await server.close();
  users.close();
});
