// The proxy that all examples of this folder mount. Arguments: the address to listen on, and the upstream's endpoints.
import { createProxy, createUpstream } from "rpc-manifold";

const [address = "127.0.0.1:8080", ...endpoints] = process.argv.slice(2);
const [hostname = "", port = ""] = address.split(":");

const upstream = createUpstream({
  name: "demo",
  endpoints: endpoints.length > 0 ? endpoints : ["http://127.0.0.1:50051"],
  schema: "reflection", // for callers that send JSON
});

export const proxy = createProxy({ director: () => ({ mode: "one-to-one", upstream }) });

/** Where to listen. */
export const listen = { hostname, port: Number(port) };

/** Says where a server listens. */
export function announce(port) {
  console.log(`listening on ${hostname}:${port}`);
}
