/** Message field: the descriptor of a field whose type is a message, for messages that are made here. */
import { create } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

export interface MessageField {
  /** One word: it is its own name in JSON. */
  readonly name: string;
  /** ".acme.v1.Thing" */
  readonly type: string;
  readonly repeated?: boolean;
}

export function messageField({ name, type, repeated }: MessageField, number: number): FieldDescriptorProto {
  return create(FieldDescriptorProtoSchema, {
    name,
    jsonName: name,
    number,
    label: repeated ? FieldDescriptorProto_Label.REPEATED : FieldDescriptorProto_Label.OPTIONAL,
    type: FieldDescriptorProto_Type.MESSAGE,
    typeName: type,
  });
}
