// The module of module.yaml: services of this process. curl -d '{}' -H 'content-type: application/json' .../acme.clock.v1.Clock/Now
import { create, createFileRegistry } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_empty,
  file_google_protobuf_timestamp,
  timestampNow,
} from "@bufbuild/protobuf/wkt";

// Yours comes from generated code: import { Clock } from "./gen/acme/clock/v1/clock_pb.js"
const file = create(FileDescriptorProtoSchema, {
  name: "acme/clock/v1/clock.proto",
  package: "acme.clock.v1",
  syntax: "proto3",
  dependency: [file_google_protobuf_empty.proto.name, file_google_protobuf_timestamp.proto.name],
  service: [
    {
      name: "Clock",
      method: [{ name: "Now", inputType: ".google.protobuf.Empty", outputType: ".google.protobuf.Timestamp" }],
    },
  ],
});
const imports = [file_google_protobuf_empty, file_google_protobuf_timestamp];
export const Clock = createFileRegistry(file, (name) => imports.find((each) => each.proto.name === name)).getService(
  "acme.clock.v1.Clock",
);

/** @param router a ConnectRouter of @connectrpc/connect */
export function routes(router) {
  router.service(Clock, { now: () => timestampNow() });
}
