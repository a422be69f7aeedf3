/** A status with its details: as gRPC's trailers have it, between them and Connect's errors. */
import { BinaryReader, BinaryWriter, base64Decode, WireType } from "@bufbuild/protobuf/wire";
import { Field, Indexing, valueOf } from "../http2/field.ts";
import { decodeMessage, encodeMessage } from "./message.ts";
import { encodeBinary } from "./metadata.ts";
import { parseStatus, statusOk } from "./status.ts";

/** How a call ended. */
export interface RpcStatus {
  /** A number of gRPC's, or another that the server made up; 0 is success. */
  readonly code: number;
  /** "" where there is none. */
  readonly message: string;
  readonly details: readonly StatusDetail[];
}

/** A message that says more of an error: google.protobuf.Any, without a schema. */
export interface StatusDetail {
  /** Fully qualified, without the host that a type URL has: "google.rpc.RetryInfo". */
  readonly type: string;
  readonly value: Uint8Array;
}

const typeUrlHost = "type.googleapis.com/";

/**
 * Reads the status of trailers (or of the headers of a Trailers-Only response). `grpc-status` decides, whatever the details say: a 0
 * in there makes no success of an error. Details that can't be read are left out.
 *
 * @returns undefined where there is no grpc-status
 */
export function statusOfFields(fields: readonly Field[]): RpcStatus | undefined {
  const value = valueOf(fields, "grpc-status");
  if (value === undefined) return undefined;
  const code = parseStatus(value);
  const message = decodeMessage(valueOf(fields, "grpc-message") ?? "");
  if (code === statusOk) return { code, message, details: [] };
  const bytes = valueOf(fields, "grpc-status-details-bin");
  const full = bytes === undefined ? undefined : decodeDetails(bytes);
  if (full === undefined) return { code, message, details: [] };
  return { code, message: message === "" ? full.message : message, details: full.details };
}

/** Writes a status as gRPC's trailers. Not indexed: hardly two errors are alike. */
export function fieldsOfStatus(status: RpcStatus): Field[] {
  const fields = [new Field("grpc-status", String(status.code))];
  if (status.message !== "") fields.push(new Field("grpc-message", encodeMessage(status.message), Indexing.without));
  if (status.details.length > 0) {
    fields.push(new Field("grpc-status-details-bin", encodeBinary(encodeStatus(status)), Indexing.without));
  }
  return fields;
}

function decodeDetails(value: string): RpcStatus | undefined {
  try {
    return decodeStatus(base64Decode(value));
  } catch {
    return undefined;
  }
}

/**
 * Reads the bytes of a google.rpc.Status.
 *
 * @throws Error for bytes that are no protobuf message
 * @see google/rpc/status.proto: code = 1, message = 2, repeated google.protobuf.Any details = 3
 */
export function decodeStatus(bytes: Uint8Array): RpcStatus {
  const reader = new BinaryReader(bytes);
  let code = 0;
  let message = "";
  const details: StatusDetail[] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1 && type === WireType.Varint) code = reader.int32();
    else if (number === 2 && type === WireType.LengthDelimited) message = text(reader.bytes());
    else if (number === 3 && type === WireType.LengthDelimited) details.push(decodeAny(reader.bytes()));
    else reader.skip(type, number);
  }
  return { code, message, details };
}

function decodeAny(bytes: Uint8Array): StatusDetail {
  const reader = new BinaryReader(bytes);
  let type = "";
  let value: Uint8Array = new Uint8Array(0);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 1 && wireType === WireType.LengthDelimited) type = text(reader.bytes());
    else if (number === 2 && wireType === WireType.LengthDelimited) value = reader.bytes();
    else reader.skip(wireType, number);
  }
  return { type: type.slice(type.lastIndexOf("/") + 1), value };
}

/** Writes the bytes of a google.rpc.Status. */
export function encodeStatus({ code, message, details }: RpcStatus): Uint8Array {
  const writer = new BinaryWriter();
  if (code !== 0) writer.tag(1, WireType.Varint).int32(code | 0);
  if (message !== "") writer.tag(2, WireType.LengthDelimited).string(message);
  for (const { type, value } of details) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(typeUrlHost + type);
    if (value.length > 0) writer.tag(2, WireType.LengthDelimited).bytes(value);
    writer.join();
  }
  return writer.finish();
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Leniently: bytes that aren't UTF-8 become U+FFFD, for an error message is better than none. */
function text(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}
