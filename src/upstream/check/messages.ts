/** The messages of gRPC's health service (grpc.health.v1) as a client needs them. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { envelope } from "../../wire/envelope.ts";

/** A request in its envelope. */
export function healthRequest(service: string): Uint8Array {
  return envelope(0, toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
}

/** Whether a response says that it serves. Undefined for bytes that are no such message. */
export function readServing(bytes: Uint8Array): boolean | undefined {
  try {
    return fromBinary(HealthCheckResponseSchema, bytes).status === HealthCheckResponse_ServingStatus.SERVING;
  } catch {
    return undefined;
  }
}
