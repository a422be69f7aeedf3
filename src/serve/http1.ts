/** HTTP/1.1 on the shared port: for now a clear answer and a close. */

const text = "HTTP/1.1 is not served here: use gRPC over HTTP/2 (with prior knowledge, or ALPN h2 over TLS).\n";

/** The whole answer to any HTTP/1.1 request (RFC 9110 section 15.6.6). */
export const versionNotSupported = [
  "HTTP/1.1 505 HTTP Version Not Supported",
  "content-type: text/plain; charset=utf-8",
  `content-length: ${text.length}`,
  "connection: close",
  "",
  text,
].join("\r\n");

/** True where the first bytes of a connection look like an HTTP/1 request: a method and a space, or a part of them. */
export function looksLikeHttp1(head: Uint8Array): boolean {
  return /^[A-Za-z]{1,20}(?: |$)/.test(String.fromCharCode(...head.subarray(0, 21)));
}
