/** Descriptor files for tests, written down in a few lines. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  type MethodDescriptorProto,
  MethodDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel,
  type ServiceDescriptorProto,
  ServiceDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

const types = {
  int64: FieldDescriptorProto_Type.INT64,
  string: FieldDescriptorProto_Type.STRING,
  bytes: FieldDescriptorProto_Type.BYTES,
  double: FieldDescriptorProto_Type.DOUBLE,
};

/** "int64", or the full name of a message; "repeated string" for a list. */
type FieldType = string;

/** A message: its fields, numbered in their order. */
export function message(name: string, fields: Record<string, FieldType>): DescriptorProto {
  return create(DescriptorProtoSchema, {
    name,
    field: Object.entries(fields).map(([fieldName, type], at) => {
      const bare = type.replace("repeated ", "");
      const scalar: FieldDescriptorProto_Type | undefined = types[bare as keyof typeof types];
      return {
        name: fieldName,
        jsonName: fieldName.replace(/_(.)/g, (_, char: string) => char.toUpperCase()),
        number: at + 1,
        label: type === bare ? FieldDescriptorProto_Label.OPTIONAL : FieldDescriptorProto_Label.REPEATED,
        ...(scalar === undefined
          ? { type: FieldDescriptorProto_Type.MESSAGE, typeName: `.${bare}` }
          : { type: scalar }),
      };
    }),
  });
}

/** A method of "Request -> Reply", each perhaps after "stream ". */
export function method(name: string, signature: string, idempotent = false): MethodDescriptorProto {
  const [input = "", output = ""] = signature.split(" -> ");
  return create(MethodDescriptorProtoSchema, {
    name,
    inputType: `.${input.replace("stream ", "")}`,
    outputType: `.${output.replace("stream ", "")}`,
    clientStreaming: input.startsWith("stream "),
    serverStreaming: output.startsWith("stream "),
    ...(idempotent ? { options: { idempotencyLevel: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS } } : {}),
  });
}

/** A service of these methods. */
export function service(name: string, ...methods: MethodDescriptorProto[]): ServiceDescriptorProto {
  return create(ServiceDescriptorProtoSchema, { name, method: methods });
}

interface Content {
  readonly package?: string;
  readonly dependency?: string[];
  readonly messageType?: DescriptorProto[];
  readonly service?: ServiceDescriptorProto[];
}

export function file(name: string, content: Content): FileDescriptorProto {
  return create(FileDescriptorProtoSchema, { syntax: "proto3", ...content, name });
}

/** The bytes of a FileDescriptorSet. */
export function image(...files: FileDescriptorProto[]): Uint8Array {
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files }));
}

/** Messages with all that differs between JSON and protobuf. */
export const things = file("acme/v1/things.proto", {
  package: "acme.v1",
  dependency: ["google/protobuf/any.proto", "google/protobuf/timestamp.proto"],
  messageType: [
    message("Thing", {
      big_number: "int64",
      data: "bytes",
      names: "repeated string",
      at: "google.protobuf.Timestamp",
      extra: "google.protobuf.Any",
      inner: "acme.v1.Thing",
      ratio: "double",
    }),
    message("Note", { text: "string" }),
  ],
});

/** A method of each kind. */
export const thingsService = file("acme/v1/service.proto", {
  package: "acme.v1",
  dependency: ["acme/v1/things.proto"],
  service: [
    service(
      "Things",
      method("Get", "acme.v1.Note -> acme.v1.Thing", true),
      method("Watch", "acme.v1.Note -> stream acme.v1.Thing"),
      method("Put", "stream acme.v1.Thing -> acme.v1.Note"),
      method("Talk", "stream acme.v1.Thing -> stream acme.v1.Thing"),
    ),
  ],
});
