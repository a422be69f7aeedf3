/** Joined schema: what the caller of a fan-out gets, described by means of what its endpoints answer: for callers that speak JSON. */
import { create, createFileRegistry, createRegistry, type DescFile, type DescMessage } from "@bufbuild/protobuf";
import { DescriptorProtoSchema, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { file_manifold_v1_fanout, LegInfoSchema } from "../gen/manifold/v1/fanout_pb.ts";
import type { OneToMany } from "../route/director.ts";
import { messageField } from "../schema/message-field.ts";
import { type MethodSchema, methodUnknown, type Schema, schemaNeeded } from "../schema/schema.ts";

/**
 * The schema of a fan-out that was given none of its own.
 *
 * @param upstream what is known of the endpoints' methods; asked for at the first call that needs it
 */
export function joinedSchema(destination: OneToMany, upstream: () => Schema | undefined): Schema {
  return {
    method(path) {
      const schema = upstream();
      if (schema === undefined) throw schemaNeeded(path, "json");
      const method = schema.method(pathAtEndpoints(destination, path));
      const joined = (found: MethodSchema | undefined) => {
        if (found === undefined) throw methodUnknown(path);
        return destination.layout.name === "wrap" ? wrapped(found, destination.kind) : found;
      };
      return method instanceof Promise ? method.then(joined) : joined(method);
    },
  };
}

/** The path that the endpoints are called with. */
export function pathAtEndpoints({ rewrite }: Pick<OneToMany, "rewrite">, path: string): string {
  if (rewrite?.service === undefined && rewrite?.method === undefined) return path;
  const [, service, method] = path.split("/");
  return `/${rewrite.service ?? service}/${rewrite.method ?? method}`;
}

const known = new WeakMap<DescMessage, { fanOut: DescMessage; leg: DescMessage }>();

/** The method, with the messages that layout `wrap` writes in place of its own reply. */
function wrapped(method: MethodSchema, kind: OneToMany["kind"]): MethodSchema {
  const { output, types } = method;
  const made = known.get(output) ?? messagesOf(output);
  known.set(output, made);
  const stream = kind === "stream" || (kind === undefined && /^(server|bidi)/.test(method.kind));
  return { ...method, output: stream ? made.leg : made.fanOut, types: createRegistry(types, LegInfoSchema) };
}

/** `FanOut { repeated Leg legs = 1; }`, `Leg { LegInfo info = 1; Reply reply = 2; }`: nobody sees their names in JSON. */
function messagesOf(reply: DescMessage): { fanOut: DescMessage; leg: DescMessage } {
  const files = new Map<string, DescFile>([reply.file, file_manifold_v1_fanout].map((file) => [file.proto.name, file]));
  const name = "manifold/joined.proto";
  const proto = create(FileDescriptorProtoSchema, {
    name,
    package: "manifold.joined",
    syntax: "proto3",
    dependency: [...files.keys()],
    messageType: [
      create(DescriptorProtoSchema, {
        name: "FanOut",
        field: [messageField({ name: "legs", type: ".manifold.joined.Leg", repeated: true }, 1)],
      }),
      create(DescriptorProtoSchema, {
        name: "Leg",
        field: [
          messageField({ name: "info", type: `.${LegInfoSchema.typeName}` }, 1),
          messageField({ name: "reply", type: `.${reply.typeName}` }, 2),
        ],
      }),
    ],
  });
  const registry = createFileRegistry(proto, (file) => files.get(file));
  return { fanOut: registry.getMessage("manifold.joined.FanOut")!, leg: registry.getMessage("manifold.joined.Leg")! };
}
