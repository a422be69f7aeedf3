/** The generated file as a `.proto`, in the style of `buf format`. */
import {
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  isFieldSet,
} from "@bufbuild/protobuf";
import { type FileOptions, FileOptionsSchema, MethodOptions_IdempotencyLevelSchema } from "@bufbuild/protobuf/wkt";
import { getComments, getSyntaxComments } from "@bufbuild/protoplugin";
import { fan_out_of, LayoutSchema, type MergeFields, MergeFieldsSchema } from "../gen/manifold/v1/fanout_pb.ts";
import type { TypeNames } from "./names.ts";

/**
 * Rules of buf's linter that a fan-out can't keep: it has the requests of the method that it stands for, and replies of its own.
 * Their names would have to be those of neither.
 */
const lintIgnored = [
  "RPC_REQUEST_RESPONSE_UNIQUE",
  "RPC_REQUEST_STANDARD_NAME",
  "RPC_RESPONSE_STANDARD_NAME",
  "SERVICE_SUFFIX",
];

/** @param head what stands at the top, lines without a comment's slashes */
export function protoTextOf(file: DescFile, names: TypeNames, head: string): string {
  const blocks = [
    ...getSyntaxComments(file).leadingDetached.map((text) => comment(text, "")),
    `${comment(head, "")}syntax = "proto3";\n`,
    ...(file.proto.package === "" ? [] : [`package ${file.proto.package};\n`]),
    file.proto.dependency.map((name) => `import ${quote(name)};\n`).join(""),
    fileOptions(file),
    ...file.services.map((service) => serviceText(service, names)),
    ...file.messages.map((message) => messageText(message, names)),
  ];
  return blocks.filter((block) => block !== "").join("\n");
}

function fileOptions({ proto: { options } }: DescFile): string {
  if (options === undefined) return "";
  const lines: string[] = [];
  for (const field of FileOptionsSchema.fields) {
    if (!isFieldSet(options, field)) continue;
    const value = options[field.localName as keyof FileOptions] as string | boolean | number;
    if (field.fieldKind === "enum") lines.push(`option ${field.name} = ${field.enum.value[value as number]!.name};\n`);
    else if (field.fieldKind === "scalar")
      lines.push(`option ${field.name} = ${typeof value === "string" ? quote(value) : value};\n`);
  }
  return lines.sort().join("");
}

function serviceText(service: DescService, names: TypeNames): string {
  const ignored = lintIgnored.map((rule) => ` buf:lint:ignore ${rule}\n`).join("");
  const head = comment(`${getComments(service).leading ?? ""}\n${ignored}`, "");
  const deprecated = service.deprecated ? "  option deprecated = true;\n\n" : "";
  return `${head}service ${service.name} {\n${deprecated}${service.methods.map((method) => methodText(method, names)).join("")}}\n`;
}

function methodText(method: DescMethod, names: TypeNames): string {
  const { name, proto, input, output } = method;
  const type = (stream: boolean, of: DescMessage) => `${stream ? "stream " : ""}${names.write(of)}`;
  const head = `rpc ${name}(${type(proto.clientStreaming, input)}) returns (${type(proto.serverStreaming, output)})`;
  return `${comment(getComments(method).leading ?? "", "  ")}  ${head} {\n${methodOptions(method, names)}  }\n`;
}

function methodOptions(method: DescMethod, names: TypeNames): string {
  const { deprecated, idempotency } = method;
  const { method: called, layout, merge, progressive } = getOption(method, fan_out_of);
  const level = MethodOptions_IdempotencyLevelSchema.value[idempotency]!.name;
  return [
    ...(deprecated ? ["    option deprecated = true;\n"] : []),
    ...(idempotency === 0 ? [] : [`    option idempotency_level = ${level};\n`]),
    `    option (${names.qualify("manifold.v1.fan_out_of")}) = {\n`,
    `      method: ${quote(called)}\n`,
    `      layout: ${LayoutSchema.value[layout]!.name}\n`,
    ...(merge === undefined ? [] : mergeText(merge)),
    ...(progressive ? ["      progressive: true\n"] : []),
    "    };\n",
  ].join("");
}

function mergeText(fields: MergeFields): string[] {
  const set = MergeFieldsSchema.fields.filter((field) => isFieldSet(fields, field));
  const lines = set.map((field) => `        ${field.name}: ${fields[field.localName as "element"]}\n`);
  return ["      merge: {\n", ...lines, "      }\n"];
}

function messageText(message: DescMessage, names: TypeNames): string {
  const fields = message.fields.map((field) => {
    const type = names.write(field.message!);
    const label = field.fieldKind === "list" ? "repeated " : "";
    return `${comment(getComments(field).leading ?? "", "  ")}  ${label}${type} ${field.name} = ${field.number};\n`;
  });
  return `${comment(getComments(message).leading ?? "", "")}message ${message.name} {\n${fields.join("")}}\n`;
}

/** Each line as a comment, indented. */
function comment(text: string, indent: string): string {
  if (text === "") return "";
  return text
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => `${indent}//${line.trimEnd()}\n`)
    .join("");
}

/** A string of protobuf's text. */
function quote(text: string): string {
  return `"${text.replaceAll(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}
