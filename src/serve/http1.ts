/** HTTP/1.1 on the shared port: for now a clear answer and a close. */
import type { Socket } from "node:net";

const text = "HTTP/1.1 is not served here: use gRPC over HTTP/2 (with prior knowledge, or ALPN h2 over TLS).\n";

/** The whole answer to any HTTP/1.1 request (RFC 9110 section 15.6.6). */
const versionNotSupported = [
  "HTTP/1.1 505 HTTP Version Not Supported",
  "content-type: text/plain; charset=utf-8",
  `content-length: ${text.length}`,
  "connection: close",
  "",
  text,
].join("\r\n");

const requestLine = /^[!-~]+ [!-~]+ HTTP\/1\.\d\r?\n/;

/** Bytes in which the request line must end. */
const maxRequestLine = 8 << 10;

/** Milliseconds for a client to read the answer and to close, before the socket is destroyed. */
const lingerMs = 1_000;

/**
 * Answers an HTTP/1.1 request with 505; what isn't one is closed without a word.
 *
 * @param head what has been read already
 * @param timeoutMs for the whole request line
 */
export function refuseHttp1(socket: Socket, head: Uint8Array, timeoutMs: number): void {
  let line = Buffer.from(head).toString("latin1");
  let timer = setTimeout(() => socket.destroy(), timeoutMs);
  const look = () => {
    if (!line.includes("\n") && line.length < maxRequestLine) return;
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.off("data", onData);
    socket.resume();
    if (requestLine.test(line)) socket.end(versionNotSupported);
    else socket.end();
  };
  const onData = (chunk: Buffer) => {
    line += chunk.toString("latin1");
    look();
  };
  socket.on("data", onData);
  socket.on("close", () => clearTimeout(timer));
  look();
}
