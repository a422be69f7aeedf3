/** Messages for tests of layouts, as protobuf-es has them: what a client reads. */
import { create, createFileRegistry, type DescMessage, fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
} from "@bufbuild/protobuf/wkt";
import { file_google_rpc_status } from "../../src/gen/google/rpc/status_pb.ts";
import { file_manifold_v1_fanout } from "../../src/gen/manifold/v1/fanout_pb.ts";

const scalars = {
  string: FieldDescriptorProto_Type.STRING,
  int32: FieldDescriptorProto_Type.INT32,
  bytes: FieldDescriptorProto_Type.BYTES,
  group: FieldDescriptorProto_Type.GROUP,
};

/** A message: "repeated string names" or "acme.Thing thing", each with its number. */
export function message(name: string, fields: Record<string, number>): DescriptorProto {
  return create(DescriptorProtoSchema, {
    name,
    field: Object.entries(fields).map(([declaration, number]) => {
      const [fieldName = "", type = "", repeated] = declaration.split(" ").reverse();
      const scalar: FieldDescriptorProto_Type | undefined = scalars[type as keyof typeof scalars];
      return {
        name: fieldName,
        jsonName: fieldName,
        number,
        label: repeated === undefined ? FieldDescriptorProto_Label.OPTIONAL : FieldDescriptorProto_Label.REPEATED,
        ...(scalar === undefined
          ? { type: FieldDescriptorProto_Type.MESSAGE, typeName: `.${type}` }
          : { type: scalar }),
      };
    }),
  });
}

const known = [
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_rpc_status,
  file_manifold_v1_fanout,
];

/** Links messages of package "test"; google.rpc.Status and manifold.v1.LegInfo may be among their fields. */
export function link(...messageType: DescriptorProto[]): (name: string) => DescMessage {
  const file: FileDescriptorProto = create(FileDescriptorProtoSchema, {
    name: "test.proto",
    package: "test",
    syntax: "proto3",
    dependency: ["google/rpc/status.proto", "manifold/v1/fanout.proto"],
    messageType,
  });
  const registry = createFileRegistry(file, (name) => known.find((one) => one.proto.name === name));
  return (name) => registry.getMessage(`test.${name}`)!;
}

/** What the layout "merge" is for: grpc-proxy's numbers, and two lists in one reply. */
export const siderolabs = link(
  message("Metadata", { "string hostname": 99, "string upstream_error": 100 }),
  message("Element", {
    "test.Metadata metadata": 99,
    "string value": 1,
    "int32 counter": 2,
    "repeated string names": 3,
    "test.Element inner": 4,
  }),
  message("Reply", { "repeated test.Element response": 1, "repeated test.Element others": 2000 }),
);

export const talos = link(
  message("Metadata", { "string hostname": 1, "string error": 2, "google.rpc.Status status": 3 }),
  message("Element", { "test.Metadata metadata": 1, "string value": 2 }),
  message("Reply", { "repeated test.Element messages": 1 }),
);

/** What the layout "wrap" is read by. */
export const wrapped = link(
  message("Reply", { "string value": 1, "repeated int32 numbers": 2, "test.Reply inner": 3 }),
  message("Leg", { "manifold.v1.LegInfo info": 1, "test.Reply reply": 2 }),
  message("FanOut", { "repeated test.Leg legs": 1 }),
);

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** Reads a message for its fields, by their names. */
// biome-ignore lint/suspicious/noExplicitAny: it is as the descriptor says, which has no type here
export function read(type: DescMessage, bytes: Uint8Array): any {
  return fromBinary(type, bytes);
}
