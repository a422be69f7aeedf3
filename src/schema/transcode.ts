/** Messages from JSON to protobuf and back, by their descriptors. */
import {
  type DescMessage,
  fromBinary,
  fromJsonString,
  type JsonWriteOptions,
  type Registry,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

export interface TranscodeOptions {
  /** What may be in a google.protobuf.Any. */
  readonly types: Registry;
  /** The most bytes that the message may have, as it was and as it becomes. */
  readonly limit: number;
  /** Code of the error for a message that can't be read: `invalid_argument` for the caller's, `internal` for the upstream's. */
  readonly fault: Code;
  /** How JSON is written. Default: as Connect does, implicit fields left out, enums by name, lowerCamelCase. */
  readonly json?: Partial<Pick<JsonWriteOptions, "alwaysEmitImplicit" | "enumAsInteger" | "useProtoFieldName">>;
}

/** The longest error that goes to a caller: a message that is wrong may be wrong in much. */
const maxErrorLength = 512;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads JSON and writes protobuf. Unknown fields are left out, as Connect's own servers do.
 *
 * @param json UTF-8; no bytes at all are no message, the empty one is `{}`
 * @throws ConnectError of code `fault` that names the field, or `resource_exhausted` over the limit
 */
export function jsonToProto(type: DescMessage, json: Uint8Array, options: TranscodeOptions): Uint8Array {
  admit(json.length, options.limit);
  let bytes: Uint8Array;
  try {
    const message = fromJsonString(type, decoder.decode(json), { registry: options.types, ignoreUnknownFields: true });
    bytes = toBinary(type, message);
  } catch (error) {
    throw unreadable(type, error, options.fault);
  }
  admit(bytes.length, options.limit);
  return bytes;
}

/**
 * Reads protobuf and writes JSON. Unknown fields, for which JSON has no names, are left out.
 *
 * @throws ConnectError of code `fault`, naming the type, or `resource_exhausted` over the limit: JSON can be longer by far
 */
export function protoToJson(type: DescMessage, bytes: Uint8Array, options: TranscodeOptions): Uint8Array {
  admit(bytes.length, options.limit);
  let text: string;
  try {
    const message = fromBinary(type, bytes, { readUnknownFields: false });
    text = toJsonString(type, message, { ...options.json, registry: options.types });
  } catch (error) {
    throw unreadable(type, error, options.fault);
  }
  admit(text.length, options.limit);
  const json = encoder.encode(text);
  admit(json.length, options.limit);
  return json;
}

function admit(length: number, limit: number): void {
  if (length > limit) throw new ConnectError(`message is larger than ${limit} bytes`, Code.ResourceExhausted);
}

/** The library's message names the field; a decoder's or JSON's own doesn't even name the type. */
function unreadable(type: DescMessage, error: unknown, code: Code): ConnectError {
  const why = error instanceof Error ? error.message : String(error);
  const short = why.length <= maxErrorLength ? why : `${why.slice(0, maxErrorLength)}...`;
  const message = short.includes(type.typeName) ? short : `${type.typeName}: ${short}`;
  return new ConnectError(message, code, undefined, undefined, error);
}
