// In Bun.serve. Run it with: bun examples/hosts/bun.js
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { announce, listen, proxy } from "./proxy.js";

const server = Bun.serve({
  ...listen,
  fetch: createFetchHandler(proxy.handler),
  idleTimeout: 0, // streams may be silent for longer than Bun's 10 s; the proxy has limits of its own
});
announce(server.port);
