// The proxy as a Connect transport: calls of this process run through services, director, balancing and bridges, without a socket
// of ours. Run it with: node examples/transport.js
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createProxy, createProxyTransport } from "rpc-manifold";
import { Clock, routes } from "./services.js";

const proxy = createProxy({
  routes, // services of this process, beside what the director sends elsewhere
  director(call) {
    throw new ConnectError(`nobody serves ${call.service}`, Code.Unimplemented);
  },
});

const clock = createClient(Clock, createProxyTransport(proxy));
const { seconds } = await clock.now({});
console.log(`it is ${new Date(Number(seconds) * 1_000).toISOString()}`);
