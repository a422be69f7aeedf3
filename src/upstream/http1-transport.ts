/**
 * HTTP/1.1 transport: opens one HTTP/1.1 connection to one endpoint. On a codec of our own and not on `node:http`, whose client costs
 * 54 us of CPU per call on Node 20 and 88 on Deno over a socket of ours (89, 99 and 110 on Bun with its own agent), and on Bun
 * loses the second request on such a socket.
 */
import { defaultSettings } from "../http2/settings.ts";
import { Http1ClientConnection } from "./http1/connection.ts";
import { createDial, type Dial } from "./transport.ts";

/** Opens a TCP or TLS socket and an HTTP/1.1 connection over it. The listener is never called before this returns. */
export const dialHttp1: Dial = createDial({
  alpn: "http/1.1",
  start(socket, settings, listener) {
    const { streamIdleTimeoutMs, initialWindowSize, maxSocketBuffer } = { ...defaultSettings, ...settings };
    // nothing has to come before the first request
    queueMicrotask(() => listener.onReady?.());
    return new Http1ClientConnection(socket, { listener, streamIdleTimeoutMs, initialWindowSize, maxSocketBuffer });
  },
});
