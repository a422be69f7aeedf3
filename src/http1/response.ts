/** Response: what a response's header block means on HTTP/1.1, above all how its end is told (RFC 9112 section 6). */
import { type Field, FieldKind } from "../http2/field.ts";
import type { RequestHead } from "./head.ts";

/**
 * How the end of a body is told (section 6.3). `none`: there is no body, whatever is sent. `close`: by closing the connection, the
 * only way that is left with HTTP/1.0 and no content-length.
 */
export type BodyFraming = "none" | "length" | "chunked" | "close";

export interface ResponseHead {
  readonly status: string;
  /** 1xx: the response is still to come. */
  readonly isInterim: boolean;
  /** The fields to write, content-length at most once. */
  readonly fields: readonly Field[];
  readonly framing: BodyFraming;
  /** Bytes of body where framing is `length`. */
  readonly length: number;
  /** Content-length may be written, if there is one. */
  readonly withLength: boolean;
}

const statusCode = /^[1-9]\d\d$/;
const contentLength = /^\d{1,15}$/;

/**
 * Reads the header block of a response.
 *
 * @param end no body follows
 * @returns undefined where it can't be sent: no `:status` first, or a content-length that isn't true
 */
export function readResponse(fields: readonly Field[], end: boolean, request: RequestHead): ResponseHead | undefined {
  const first = fields[0];
  if (first === undefined || first.kind !== FieldKind.status || !statusCode.test(first.value)) return undefined;
  const status = first.value;
  const isInterim = status[0] === "1";
  // 101 would hand the connection to a protocol that was not agreed upon (RFC 9110 section 7.8)
  if (isInterim && (end || status === "101")) return undefined;
  const lengths = fields.filter(({ kind }) => kind === FieldKind.contentLength);
  const length = lengths[0]?.value;
  if (lengths.some(({ value }) => value !== length || !contentLength.test(value))) return undefined;
  const head = { status, isInterim, fields: lengths.length > 1 ? withoutRepeats(fields) : fields, length: 0 };
  // RFC 9110 section 8.6: not even a content-length of 0
  if (isInterim || status === "204") return { ...head, framing: "none", withLength: false };
  if (request.isHead || status === "304") return { ...head, framing: "none", withLength: true };
  if (length !== undefined) {
    if (end && Number(length) > 0) return undefined;
    return { ...head, framing: "length", length: Number(length), withLength: true };
  }
  if (end) return { ...head, framing: "none", withLength: true };
  return { ...head, framing: request.isHttp10 ? "close" : "chunked", withLength: true };
}

function withoutRepeats(fields: readonly Field[]): Field[] {
  const first = fields.findIndex(({ kind }) => kind === FieldKind.contentLength);
  return fields.filter(({ kind }, at) => kind !== FieldKind.contentLength || at === first);
}
