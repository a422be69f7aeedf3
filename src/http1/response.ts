/** Response: what a response's header block means on HTTP/1.1, above all how its end is told (RFC 9112 section 6). */
import { type Field, FieldKind } from "../http2/field.ts";
import type { RequestHead } from "./head.ts";
import { statusLine } from "./reason-phrase.ts";

/**
 * How the end of a body is told (section 6.3). `none`: there is no body, whatever is sent. `close`: by closing the connection, the
 * only way that is left with HTTP/1.0 and no content-length.
 */
export type BodyFraming = "none" | "length" | "chunked" | "close";

export interface ResponseHead {
  /** With CRLF. */
  readonly statusLine: string;
  /** 1xx: the response is still to come. */
  readonly isInterim: boolean;
  /** Those that came, content-length at most once. */
  readonly fields: readonly Field[];
  readonly framing: BodyFraming;
  /** Bytes of body, where framing is `length`. */
  readonly length: number;
  /** It must not have a content-length. */
  readonly withoutLength: boolean;
  /** The line that it needs besides its fields for its end to be known, with CRLF; or "". */
  readonly added: string;
}

const chunkedLine = "transfer-encoding: chunked\r\n";
const emptyLine = "content-length: 0\r\n";

const contentLength = /^\d{1,15}$/;

/**
 * Reads the header block of a response.
 *
 * @param end no body follows
 * @returns undefined where it can't be sent: no `:status` first, or a content-length that isn't true
 */
export function readResponse(fields: readonly Field[], end: boolean, request: RequestHead): ResponseHead | undefined {
  const first = fields[0];
  if (first === undefined || first.kind !== FieldKind.status) return undefined;
  const status = first.value;
  const line = statusLine(status);
  const isInterim = status.startsWith("1");
  // 101 would hand the connection to a protocol that was not agreed upon (RFC 9110 section 7.8)
  if (line === undefined || (isInterim && (end || status === "101"))) return undefined;
  let length: string | undefined;
  let lengths = 0;
  for (let i = 1; i < fields.length; i++) {
    const { kind, value } = fields[i]!;
    if (kind !== FieldKind.contentLength) continue;
    if (!contentLength.test(value) || (lengths++ > 0 && value !== length)) return undefined;
    length = value;
  }
  const bodyless = isInterim || request.isHead || status === "204" || status === "304";
  const framing = bodyless ? "none" : framingOf(length, end, request);
  if (framing === "length" && end && Number(length) > 0) return undefined;
  return {
    statusLine: line,
    isInterim,
    fields: lengths > 1 ? withoutRepeats(fields) : fields,
    framing,
    length: framing === "length" ? Number(length) : 0,
    withoutLength: isInterim || status === "204", // RFC 9110 section 8.6: not even one of 0
    added: framing === "chunked" ? chunkedLine : framing === "none" && !bodyless ? emptyLine : "",
  };
}

/** Of a response that may have a body. */
function framingOf(length: string | undefined, end: boolean, request: RequestHead): BodyFraming {
  if (length !== undefined) return "length";
  if (end) return "none";
  return request.isHttp10 ? "close" : "chunked";
}

function withoutRepeats(fields: readonly Field[]): Field[] {
  const first = fields.findIndex(({ kind }) => kind === FieldKind.contentLength);
  return fields.filter(({ kind }, at) => kind !== FieldKind.contentLength || at === first);
}
