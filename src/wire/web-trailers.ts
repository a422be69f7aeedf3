/** The trailers of gRPC-Web: the payload of the last frame of a response's body, written as HTTP/1 writes headers. */
import { Field, FieldKind } from "../http2/field.ts";
import { trimSpace } from "./white-space.ts";

/**
 * Writes trailers as lower-case `name: value` lines, each with CR LF. What couldn't stand in a header doesn't come out of it
 * (names that aren't tokens, values with CR, LF or NUL), so no value can make a line of its own.
 *
 * @returns the payload, for an envelope with flag 0x80; empty for no fields: then the frame must be left out
 * @see gRPC-Web, "Protocol differences vs gRPC over HTTP2": trailers
 */
export function encodeWebTrailers(fields: readonly Field[]): Uint8Array {
  let text = "";
  for (const { name, value, kind } of fields) {
    if (kind === FieldKind.regular) text += `${name}: ${value}\r\n`;
  }
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/**
 * Reads the payload of a trailer frame: lines that end in CR LF, or in LF alone, with any space around name and value.
 *
 * @returns undefined if a line is no field, or one that a trailer can't be: the response is malformed
 */
export function parseWebTrailers(payload: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  for (const line of binaryString(payload).split("\n")) {
    const text = trimSpace(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (text === "") continue;
    const colon = text.indexOf(":");
    if (colon === -1) return undefined;
    const field = new Field(trimSpace(text.slice(0, colon)).toLowerCase(), trimSpace(text.slice(colon + 1)));
    if (field.kind === FieldKind.nextHop) continue;
    if (field.kind !== FieldKind.regular) return undefined;
    fields.push(field);
  }
  return fields;
}

function binaryString(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
