/** The messages of gRPC's health service (grpc.health.v1): one string there, one number back. */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { envelope } from "../../wire/envelope.ts";

/** HealthCheckResponse.ServingStatus that means yes; every other means no. */
const serving = 1;

/** A HealthCheckRequest in its envelope: `service` is field 1. */
export function healthRequest(service: string): Uint8Array {
  const writer = new BinaryWriter();
  if (service !== "") writer.tag(1, WireType.LengthDelimited).string(service);
  return envelope(0, writer.finish());
}

/** Whether a HealthCheckResponse says that it serves: `status` is field 1. Undefined for bytes that are no such message. */
export function readServing(bytes: Uint8Array): boolean | undefined {
  try {
    const reader = new BinaryReader(bytes);
    let status = 0;
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (number === 1 && type === WireType.Varint) status = reader.int32();
      else reader.skip(type, number);
    }
    return status === serving;
  } catch {
    return undefined;
  }
}
