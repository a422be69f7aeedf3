/** Writer: heads, chunks and trailers as bytes (RFC 9112 sections 4, 5 and 7.1). It checks no order; it lets no line be split. */
import { Field, FieldKind } from "../http2/field.ts";
import { writeLatin1 } from "../http2/hpack/latin1.ts";
import type { Output } from "../http2/output.ts";
import { CR, LF } from "./characters.ts";
import { statusLine } from "./reason-phrase.ts";
import type { RequestError } from "./request-error.ts";

export interface HeadToWrite {
  /** With CRLF, as `statusLine` gives it. */
  readonly statusLine: string;
  readonly fields: readonly Field[];
  /** A content-length among the fields is left out. */
  readonly withoutLength: boolean;
}

/** Bytes of one field beside name and value: colon, space, CRLF. */
const fieldOverhead = 4;

/** A chunk's size in at most eight digits, and CRLF. */
const maxChunkHead = 10;

/** Said in the head of the last response of a connection (section 9.6). */
export const closeLine = "connection: close\r\n";

const plainText = new Field("content-type", "text/plain; charset=utf-8");

const continued = "HTTP/1.1 100 Continue\r\n\r\n";

/**
 * Writes status line and header section. Pseudo-header fields and those that are the connection's to say are left out, and so is
 * every field that would break out of its line: none of them may reach the wire (fault C1).
 *
 * @param added field lines of the connection's own, each with CRLF
 */
export function writeHead(output: Output, { statusLine, fields, withoutLength }: HeadToWrite, added: string): void {
  output.reserve(statusLine.length + lengthOf(fields) + added.length + 2);
  output.at = writeLatin1(statusLine, output.block, output.at);
  writeFields(output, fields, withoutLength ? FieldKind.regular : FieldKind.contentLength);
  output.at = writeLatin1(added, output.block, output.at);
  writeEmptyLine(output);
}

/** Writes a whole response that refuses a request and closes the connection. */
export function writeRefusal(output: Output, { status, message }: RequestError, isHead: boolean): void {
  const body = Buffer.from(`${message}\n`, "latin1");
  const fields = [plainText, new Field("content-length", String(body.length))];
  writeHead(output, { statusLine: statusLine(String(status))!, fields, withoutLength: false }, closeLine);
  if (!isHead) output.append(body, 0, body.length);
}

/** Writes the head of one chunk; its data and `writeChunkEnd` follow. @param length above 0 */
export function writeChunkHead(output: Output, length: number): void {
  output.reserve(maxChunkHead);
  const { block } = output;
  let at = output.at;
  for (let shift = (31 - Math.clz32(length)) & ~3; shift >= 0; shift -= 4) {
    const digit = (length >>> shift) & 15;
    block[at++] = digit < 10 ? 0x30 + digit : 0x57 + digit;
  }
  output.at = at;
  writeEmptyLine(output);
}

export function writeChunkEnd(output: Output): void {
  output.reserve(2);
  writeEmptyLine(output);
}

/** Writes the last chunk and the trailer section. Names that only a header section may have are left out. */
export function writeLastChunk(output: Output, trailers: readonly Field[]): void {
  output.reserve(lengthOf(trailers) + 5);
  output.block[output.at++] = 0x30;
  writeEmptyLine(output);
  writeFields(output, trailers, FieldKind.regular);
  writeEmptyLine(output);
}

export function writeContinue(output: Output): void {
  output.reserve(continued.length);
  output.at = writeLatin1(continued, output.block, output.at);
}

/** Writes regular fields, and those of one more kind. */
function writeFields(output: Output, fields: readonly Field[], besides: FieldKind): void {
  const { block } = output;
  let at = output.at;
  for (let i = 0; i < fields.length; i++) {
    const { kind, name, value } = fields[i]!;
    if (kind !== FieldKind.regular && kind !== besides) continue;
    at = writeLatin1(name, block, at);
    block[at++] = 0x3a;
    block[at++] = 0x20;
    at = writeLatin1(value, block, at);
    block[at++] = CR;
    block[at++] = LF;
  }
  output.at = at;
}

function writeEmptyLine(output: Output): void {
  output.block[output.at++] = CR;
  output.block[output.at++] = LF;
}

function lengthOf(fields: readonly Field[]): number {
  let length = 0;
  for (let i = 0; i < fields.length; i++) length += fields[i]!.name.length + fields[i]!.value.length + fieldOverhead;
  return length;
}
