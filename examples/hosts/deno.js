// In Deno.serve. Run it with: deno run -A examples/hosts/deno.js
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { announce, listen, proxy } from "./proxy.js";

Deno.serve({ ...listen, onListen: ({ port }) => announce(port) }, createFetchHandler(proxy.handler));
