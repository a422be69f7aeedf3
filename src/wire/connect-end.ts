/** The end of a Connect stream: `{error?, metadata?}` in JSON, the payload of its last envelope, which has flag 0x02. */
import { Code } from "@connectrpc/connect";
import { Field, FieldKind } from "../http2/field.ts";
import { errorJson, statusOfErrorJson } from "./connect-error.ts";
import { isMetadata } from "./metadata.ts";
import { fieldsOfStatus, type RpcStatus, statusOfFields } from "./rpc-status.ts";
import { statusOk } from "./status.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Writes trailers, of which `grpc-status` and what belongs to it become the error, and all others the metadata. Trailers without a
 * grpc-status are an error: a stream that was cut never ends well.
 */
export function encodeConnectEnd(trailers: readonly Field[]): Uint8Array {
  const status = statusOfFields(trailers) ?? noStatus;
  // No prototype: a trailer may be called anything.
  const metadata: Record<string, string[]> = Object.create(null);
  let any = false;
  for (const field of trailers) {
    if (!isMetadata(field)) continue;
    any = true;
    const values = metadata[field.name];
    if (values === undefined) metadata[field.name] = [field.value];
    else values.push(field.value);
  }
  const end = {
    ...(status.code === statusOk ? {} : { error: errorJson(status) }),
    ...(any ? { metadata } : {}),
  };
  return encoder.encode(JSON.stringify(end));
}

/**
 * Reads the end of a stream as trailers, grpc-status first. Never throws: what can't be read at all is status `internal`, metadata
 * that couldn't stand in a header is left out, and so is a status among the metadata.
 */
export function parseConnectEnd(payload: Uint8Array): Field[] {
  let end: unknown;
  try {
    end = JSON.parse(decoder.decode(payload));
  } catch {
    return fieldsOfStatus(malformed);
  }
  if (typeof end !== "object" || end === null || Array.isArray(end)) return fieldsOfStatus(malformed);
  const { error, metadata } = end as { readonly [name: string]: unknown };
  const status = error === undefined || error === null ? success : statusOfErrorJson(error, malformed);
  return [...fieldsOfStatus(status), ...metadataFields(metadata)];
}

const success: RpcStatus = { code: statusOk, message: "", details: [] };
const noStatus: RpcStatus = { code: Code.Internal, message: "the stream ended without a status", details: [] };
const malformed: RpcStatus = { code: Code.Internal, message: "upstream sent a malformed end of stream", details: [] };

function metadataFields(metadata: unknown): Field[] {
  if (typeof metadata !== "object" || metadata === null) return [];
  const fields: Field[] = [];
  for (const [name, values] of Object.entries(metadata)) {
    if (!Array.isArray(values)) continue;
    for (const value of values) {
      if (typeof value !== "string") continue;
      const field = new Field(name.toLowerCase(), binary(value));
      if (field.kind === FieldKind.regular && isMetadata(field)) fields.push(field);
    }
  }
  return fields;
}

/** A header's value is bytes: text whose characters aren't bytes goes as UTF-8. */
function binary(text: string): string {
  let highest = 0;
  for (let at = 0; at < text.length; at++) highest = Math.max(highest, text.charCodeAt(at));
  if (highest <= 0xff) return text;
  return Array.from(encoder.encode(text), (byte) => String.fromCharCode(byte)).join("");
}
