/** Request head: header fields as on HTTP/2, written as a request line and a header section (RFC 9112 sections 3 and 5). */
import { type Field, FieldKind } from "../../http2/field.ts";

export interface RequestHead {
  /** All of it, the empty line at the end included, as a binary string. */
  readonly text: string;
  readonly isHead: boolean;
  /** Bytes of body that were promised; -1 for a chunked one. */
  readonly contentLength: number;
}

/** No fields of one request: about a body that we don't wait to be asked for, and about how it is sent. */
const dropped = new Set(["expect", "trailer"]);

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const target = /^[!-~\x80-\xff]+$/;
const authorityForm = /^[!-~]*$/;

/** RFC 9110 section 5.5: control characters but the tab may be replaced by a space. Those that end a line were refused before. */
const control = /[^\t\r\n -~\x80-\xff]/g;

/**
 * Writes a head.
 *
 * @param fields pseudo-fields first
 * @param end no body comes
 * @returns undefined if a pseudo-field can't be written on one line
 */
export function writeRequestHead(fields: readonly Field[], end: boolean): RequestHead | undefined {
  let method = "";
  let path = "";
  let authority: string | undefined;
  let length: string | undefined;
  let cookie: string | undefined;
  let lines = "";
  for (const { kind, name, value } of fields) {
    if (kind === FieldKind.regular) {
      if (dropped.has(name)) continue;
      // RFC 9113 section 8.2.3: HTTP/2 splits what is one line here
      if (name === "cookie") cookie = cookie === undefined ? value : `${cookie}; ${value}`;
      else lines += `${name}: ${value}\r\n`;
    } else if (kind === FieldKind.method) method = value;
    else if (kind === FieldKind.path) path = value;
    else if (kind === FieldKind.authority) authority = value;
    else if (kind === FieldKind.host) authority ??= value;
    else if (kind === FieldKind.contentLength) length = value;
  }
  if (cookie !== undefined) lines += `cookie: ${cookie}\r\n`;
  authority ??= "";
  if (!token.test(method) || !target.test(path) || !authorityForm.test(authority)) return undefined;
  // 0 is said by chunks where the end is still to come: else the request would be whole before it is known to keep its promise
  const contentLength = end ? 0 : Number(length ?? 0) || -1;
  return {
    text: `${method} ${path} HTTP/1.1\r\nhost: ${authority}\r\n${lines.replace(control, " ")}${framing(method, contentLength)}\r\n`,
    isHead: method === "HEAD",
    contentLength,
  };
}

/** RFC 9110 section 8.6: a method that goes with a body says so where there is none. */
function framing(method: string, contentLength: number): string {
  if (contentLength > 0) return `content-length: ${contentLength}\r\n`;
  if (contentLength < 0) return "transfer-encoding: chunked\r\n";
  return method === "GET" || method === "HEAD" ? "" : "content-length: 0\r\n";
}
