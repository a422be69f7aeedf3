/** A plan as the descriptor of the generated file, with its comments: what all outputs are written from. */
import { create, createFileRegistry, type DescFile, setExtension } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  FileDescriptorProtoSchema,
  type MethodDescriptorProto,
  MethodDescriptorProtoSchema,
  type MethodOptions,
  MethodOptionsSchema,
  type ServiceDescriptorProto,
  ServiceDescriptorProtoSchema,
  ServiceOptionsSchema,
  SourceCodeInfoSchema,
} from "@bufbuild/protobuf/wkt";
import { getComments, getSyntaxComments } from "@bufbuild/protoplugin";
import { FanOutOfSchema, fan_out_of, Layout, MergeFieldsSchema } from "../gen/manifold/v1/fanout_pb.ts";
import { type MessageField, messageField } from "../schema/message-field.ts";
import { Commentary } from "./commentary.ts";
import { fileOptionsOf } from "./file-options.ts";
import type { FilePlan, MethodPlan, ServicePlan } from "./plan.ts";

/** Where LegInfo and the options are. */
export const fanOutProto = "manifold/v1/fanout.proto";

const legInfo = ".manifold.v1.LegInfo";

/**
 * Makes the descriptor of a plan, linked with the files that it imports.
 *
 * @param resolve finds an imported file
 */
export function descriptorOf(plan: FilePlan, resolve: (name: string) => DescFile | undefined): DescFile {
  const { source } = plan;
  const comments = new Commentary();
  const builder = { package: source.proto.package, messages: [] as DescriptorProto[], comments };
  comments.addDetached("syntax", getSyntaxComments(source).leadingDetached);
  const services = plan.services.map((service, at) => serviceOf(service, at, builder));
  const file = create(FileDescriptorProtoSchema, {
    name: `${plan.name}.proto`,
    package: source.proto.package,
    syntax: "proto3",
    dependency: importsOf(plan),
    messageType: builder.messages,
    service: services,
    sourceCodeInfo: create(SourceCodeInfoSchema, { location: comments.locations }),
  });
  const options = fileOptionsOf(source, plan.name);
  if (options !== undefined) file.options = options;
  return createFileRegistry(file, resolve).getFile(file.name)!;
}

interface Builder {
  readonly package: string;
  readonly messages: DescriptorProto[];
  readonly comments: Commentary;
}

/** Files of the types that are named, and no others: an import that isn't used is a fault. */
function importsOf(plan: FilePlan): string[] {
  const names = new Set([fanOutProto]);
  for (const { source } of plan.services.flatMap(({ methods }) => methods)) {
    names.add(source.input.file.proto.name);
    names.add(source.output.file.proto.name);
  }
  return [...names].sort();
}

function serviceOf({ source, name, methods }: ServicePlan, at: number, builder: Builder): ServiceDescriptorProto {
  builder.comments.add(
    ["service", at],
    [
      getComments(source).leading,
      `Fan-out of ${source.typeName}: a call goes to many backends, and their replies are one.`,
    ],
  );
  const service = create(ServiceDescriptorProtoSchema, { name });
  if (source.deprecated) service.options = create(ServiceOptionsSchema, { deprecated: true });
  for (const method of methods) {
    const output = outputOf(method, builder);
    const add = (made: MethodDescriptorProto, note?: string) => {
      builder.comments.add(
        ["service", at, "method", service.method.length],
        [getComments(method.source).leading, note],
      );
      service.method.push(made);
    };
    add(methodOf(method, output, false), noteOn(method));
    if (method.progressive !== undefined) add(methodOf(method, output, true), "Tells each reply as it comes.");
  }
  return service;
}

function noteOn({ source, messages }: MethodPlan): string | undefined {
  if (getComments(source).leading !== undefined) return undefined;
  const what =
    messages?.fanOut === undefined
      ? "Tells what every backend answers, as it comes."
      : "Tells what every backend answers.";
  return what;
}

function methodOf(
  { source, layout, fields, ownFields, progressive }: MethodPlan,
  output: string,
  asItComes: boolean,
): MethodDescriptorProto {
  const { clientStreaming, serverStreaming } = source.proto;
  const options: MethodOptions = create(MethodOptionsSchema);
  if (source.deprecated) options.deprecated = true;
  const idempotencyLevel = source.proto.options?.idempotencyLevel;
  if (idempotencyLevel !== undefined && idempotencyLevel !== 0 && !asItComes)
    options.idempotencyLevel = idempotencyLevel;
  const of = create(FanOutOfSchema, {
    method: `${source.parent.typeName}/${source.name}`,
    layout: { wrap: Layout.WRAP, merge: Layout.MERGE, talos: Layout.TALOS }[layout],
    progressive: asItComes,
  });
  if (ownFields) of.merge = create(MergeFieldsSchema, { ...fields, status: fields?.status ?? 0 });
  setExtension(options, fan_out_of, of);
  return create(MethodDescriptorProtoSchema, {
    name: asItComes ? progressive! : source.name,
    inputType: `.${source.input.typeName}`,
    outputType: output,
    options,
    ...(clientStreaming ? { clientStreaming } : {}),
    ...(serverStreaming || asItComes ? { serverStreaming: true } : {}),
  });
}

/** What a method answers with. Its messages are made here, where the layout needs any. */
function outputOf({ source, messages }: MethodPlan, builder: Builder): string {
  if (messages === undefined) return `.${source.output.typeName}`;
  const { leg, fanOut } = messages;
  const called = `${source.parent.name}.${source.name}`;
  const full = (name: string) => (builder.package === "" ? `.${name}` : `.${builder.package}.${name}`);
  if (fanOut !== undefined) {
    addMessage(builder, fanOut, `What all backends answer to ${called}.`, [
      { name: "legs", type: full(leg), repeated: true, comment: "One for each backend, also where it failed." },
    ]);
  }
  addMessage(builder, leg, `What one backend answers to ${called}.`, [
    { name: "info", type: legInfo, comment: "Which backend, and how it failed if it did." },
    { name: "reply", type: `.${source.output.typeName}`, comment: "The backend's own answer. Absent where it failed." },
  ]);
  return full(fanOut ?? leg);
}

interface FieldPlan extends MessageField {
  readonly comment: string;
}

/** Fields are numbered in their order, as src/layout/wrap.ts writes them. */
function addMessage(
  { messages, comments }: Builder,
  name: string,
  comment: string,
  fields: readonly FieldPlan[],
): void {
  const at = messages.length;
  comments.add(["message", at], [comment]);
  for (const [index, field] of fields.entries()) comments.add(["message", at, "field", index], [field.comment]);
  messages.push(
    create(DescriptorProtoSchema, { name, field: fields.map((field, index) => messageField(field, index + 1)) }),
  );
}
