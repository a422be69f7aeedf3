/** The generated file for TypeScript or JavaScript: its descriptors as protoc-gen-es writes them, and `byBackend`. */
import type { DescField, DescFile, DescMessage, DescService } from "@bufbuild/protobuf";
import { embedFileDesc, pathInFileDesc, scalarTypeScriptType } from "@bufbuild/protobuf/codegenv2";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import type { GeneratedFile, ImportSymbol, Printable, Target } from "@bufbuild/protoplugin";
import type { FilePlan, MethodPlan } from "./plan.ts";

/** Where generated code finds what it needs while it runs. */
const runtime = "rpc-manifold/fan-out-client";

/** What is being written, and where to. */
interface Writing {
  readonly f: GeneratedFile;
  readonly target: Target;
}

/**
 * Writes a file.
 *
 * @param file the plan's descriptor
 */
export function printEs(f: GeneratedFile, target: Target, file: DescFile, plan: FilePlan): void {
  const writing = { f, target };
  printFile(writing, file);
  f.print();
  for (const message of file.messages) printMessage(writing, message);
  for (const service of file.services) {
    printService(writing, service);
    f.print();
  }
  printByBackend(writing, plan);
}

/** `export const NAME: TYPE = VALUE;`, as far as the target has these. */
function printConst({ f, target }: Writing, name: string, type: Printable, value: Printable): void {
  if (target === "dts") f.print(f.export("declare const", name), ": ", type, ";");
  else if (target === "ts") f.print(f.export("const", name), ": ", type, " = /*@__PURE__*/");
  else f.print(f.export("const", name), " = /*@__PURE__*/");
  if (target !== "dts") f.print("  ", value, ";");
}

function printFile(writing: Writing, file: DescFile): void {
  const { f } = writing;
  const { GenFile, fileDesc } = f.runtime.codegen;
  const imports = f.array(file.dependencies.map((one) => fileOf(f, one)));
  f.print(f.jsDoc(`Describes the ${file.toString()}.`));
  const value = [fileDesc, "(", f.string(embedFileDesc(file.proto).base64()), ", ", imports, ")"];
  printConst(writing, f.importSchema(file).name, GenFile, value);
}

/** The descriptor of a file; ours is there with the runtime, also where nobody generated code for it. */
function fileOf(f: GeneratedFile, file: DescFile): ImportSymbol {
  return file.proto.package === "manifold.v1" ? f.import("file_manifold_v1_fanout", runtime) : f.importSchema(file);
}

function printMessage(writing: Writing, message: DescMessage): void {
  const { f, target } = writing;
  const { GenMessage, messageDesc } = f.runtime.codegen;
  const shape = f.importShape(message);
  if (target !== "js") {
    const declaration = target === "ts" ? "type" : "declare type";
    f.print(f.jsDoc(message));
    f.print(f.export(declaration, shape.name), " = ", f.runtime.Message, "<", f.string(message.typeName), "> & {");
    for (const [at, field] of message.fields.entries()) {
      if (at > 0) f.print();
      f.print(f.jsDoc(field, "  "));
      if (field.fieldKind === "list") f.print("  ", field.localName, ": ", typeOf(f, field), "[];");
      else f.print("  ", field.localName, "?: ", typeOf(f, field), " | undefined;");
    }
    f.print("};");
    f.print();
  }
  const schema = f.importSchema(message).name;
  f.print(f.jsDoc(`Describes the ${message.toString()}.\nUse \`create(${schema})\` to create a new message.`));
  const value = [messageDesc, "(", f.importSchema(message.file), ", ", String(pathInFileDesc(message)), ")"];
  printConst(writing, schema, [GenMessage, "<", shape, ">"], value);
  f.print();
}

/** What a message is as a field: protobuf-es has shorter forms for some of Google's. */
function typeOf(f: GeneratedFile, { message }: DescField): Printable {
  if (message === undefined) throw new Error("a fan-out has fields of messages only");
  if (message.typeName === "manifold.v1.LegInfo") return f.import("LegInfo", runtime, true);
  if (message.typeName === "google.protobuf.Struct") return f.runtime.JsonObject;
  if (isWrapperDesc(message)) {
    const { scalar } = message.fields[0] as DescField & { fieldKind: "scalar" };
    return scalarTypeScriptType(scalar, false);
  }
  return f.importShape(message);
}

function printService(writing: Writing, service: DescService): void {
  const { f } = writing;
  const { GenService, serviceDesc } = f.runtime.codegen;
  const methods = service.methods.map(
    (method): Printable => [
      [f.jsDoc(method, "  "), "\n  ", method.localName, ": {\n"],
      ["    methodKind: ", f.string(method.methodKind), ";\n"],
      ["    input: typeof ", f.importSchema(method.input, true), ";\n"],
      ["    output: typeof ", f.importSchema(method.output, true), ";\n"],
      "  },\n",
    ],
  );
  f.print(f.jsDoc(service));
  const type = [GenService, "<{\n", methods, "}>"];
  const value = [serviceDesc, "(", f.importSchema(service.file), ", ", String(pathInFileDesc(service)), ")"];
  printConst(writing, f.importSchema(service).name, type, value);
}

/** `byBackend`, for all replies that the file's methods have. */
function printByBackend(writing: Writing, plan: FilePlan): void {
  const { f, target } = writing;
  const merged = mergedReplies(plan);
  const type = f.import("ByBackend", runtime, true);
  f.print(f.jsDoc("What each backend answered, or the error that it failed with, by the backend's name."));
  if (merged.length === 0)
    return printConst(writing, "byBackend", [type, "<never>"], [f.import("byBackendWith", runtime), "([])"]);
  const shapes = merged.map(({ source }, at): Printable => [at === 0 ? "" : " | ", f.importShape(source.output)]);
  const entries = merged.map(
    (method): Printable => [
      ["\n    { schema: ", f.importSchema(method.source.output), ", fields: ", fieldsText(method), " },"],
    ],
  );
  if (target === "dts") return printConst(writing, "byBackend", [type, "<", shapes, ">"], "");
  printConst(
    writing,
    "byBackend",
    [type, "<", shapes, ">"],
    [f.import("byBackendWith", runtime), "([", entries, "\n  ])"],
  );
}

/** The replies that `merge` joins, each once. */
function mergedReplies({ services }: FilePlan): MethodPlan[] {
  const found = new Map<string, MethodPlan>();
  for (const method of services.flatMap(({ methods }) => methods)) {
    const { methodKind, output } = method.source;
    const isOne = methodKind === "unary" || methodKind === "client_streaming";
    if (method.fields !== undefined && isOne && !found.has(output.typeName)) found.set(output.typeName, method);
  }
  return [...found.values()];
}

function fieldsText({ fields }: MethodPlan): string {
  const entries = Object.entries(fields!).filter(([, number]) => number !== undefined);
  return `{ ${entries.map(([name, number]) => `${name}: ${number}`).join(", ")} }`;
}
