/** An upstream made of hand-made peers: it records every call and answers as the test says, byte by byte. */
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { H2Peer } from "./h2-peer.js";
export const canaryPath = "/manifold.test.Canary/Ping";
const okHeaders = [
    [":status", "200"],
    ["content-type", "application/grpc"],
];
export const okTrailers = [["grpc-status", "0"]];
/** Starts one on loopback. What no handler is given for is echoed. */
export async function startUpstream(options = {}) {
    const handlers = new Map(Object.entries(options.handlers ?? {}));
    const connections = [];
    const calls = [];
    const onSocket = (socket) => {
        const connection = { opened: 0 };
        const onStream = (stream) => {
            connection.opened++;
            const path = stream.field(":path") ?? "";
            if (options.record !== false && path !== canaryPath)
                calls.push(stream);
            const handler = path === canaryPath ? echo : (handlers.get(path) ?? handlers.get("*") ?? echo);
            handler(stream, connection);
        };
        connection.peer = new H2Peer(socket, { ...options, role: "server", onStream });
        connections.push(connection);
    };
    const server = options.tls
        ? createTlsServer({ ALPNProtocols: ["h2"], ...options.tls }, onSocket)
        : createServer(onSocket);
    await new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    const { port } = server.address();
    return {
        port,
        url: `${options.tls ? "https" : "http"}://127.0.0.1:${port}`,
        connections,
        calls,
        handle: (path, handler) => void handlers.set(path, handler),
        close: () => new Promise((resolve) => {
            server.close(() => resolve());
            for (const { peer } of connections)
                peer.socket.destroy();
        }),
    };
}
/** Answers with headers at once, then each chunk of the request as it came, then trailers with status 0. */
export function echo(stream) {
    stream.sendHeaders(okHeaders);
    let sent = 0;
    const more = () => {
        for (; sent < stream.chunks.length; sent++)
            stream.sendData(stream.chunks[sent]);
        if (!stream.ended)
            return;
        stream.onMore = undefined;
        stream.sendTrailers(okTrailers);
    };
    stream.onMore = more;
    more();
}
/** Waits for the request's end and sends this: fields, messages' bytes, trailers. */
export function reply(parts) {
    return (stream) => {
        const answer = () => {
            if (!stream.ended)
                return;
            stream.onMore = undefined;
            stream.sendHeaders(parts.headers ?? okHeaders);
            if (parts.body)
                stream.sendData(parts.body);
            stream.sendTrailers(parts.trailers ?? okTrailers);
        };
        stream.onMore = answer;
        answer();
    };
}
/** Ends the call with a Trailers-Only response. */
export function trailersOnly(status, more = []) {
    const fields = [...okHeaders, ["grpc-status", String(status)], ...more];
    return (stream) => stream.sendHeaders(fields, { end: true });
}
