/** Descriptor files to a registry of types, with what is amiss in real sets of them put right. */
import {
  create,
  createFileRegistry,
  createRegistry,
  type DescFile,
  type FileRegistry,
  type Registry,
} from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

/** Left out by who builds a set without its imports. */
const wellKnown: ReadonlyMap<string, DescFile> = new Map(
  [
    file_google_protobuf_any,
    file_google_protobuf_api,
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_source_context,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_type,
    file_google_protobuf_wrappers,
  ].map((file) => [file.proto.name, file]),
);

/** Files by their names ("acme/users/v1/users.proto"). */
export type Files = ReadonlyMap<string, FileDescriptorProto>;

/** Files by name; of two with one name the first counts. */
export function filesByName(files: Iterable<FileDescriptorProto>): Map<string, FileDescriptorProto> {
  const byName = new Map<string, FileDescriptorProto>();
  for (const file of files) if (!byName.has(file.name)) byName.set(file.name, file);
  return byName;
}

/** Names of imported files that aren't there, and aren't Google's own either. */
export function missingImports(files: Files): string[] {
  const imports = [...files.values()].flatMap(({ dependency }) => dependency);
  return [...new Set(imports)].filter((name) => !files.has(name) && !wellKnown.has(name));
}

/**
 * Links files, in any order, to types. Google's own files are added where they are imported and not there.
 *
 * @throws Error naming it, if an import or a type isn't there
 */
export function linkFiles(files: Files): Registry {
  return link([...files.keys()], files);
}

/**
 * Links what can be linked: a server often has files without all of their imports, whose types nothing but an option uses, and one
 * service that can't be linked must not take the others with it.
 *
 * @throws Error if there are services, and none of them can be linked
 */
export function linkWhatCanBe(files: Files): Registry {
  const complete = new Map(files);
  for (const name of missingImports(files)) complete.set(name, create(FileDescriptorProtoSchema, { name }));
  try {
    return linkFiles(complete);
  } catch (error) {
    const withServices = [...files.values()].filter(({ service }) => service.length > 0);
    const linked = withServices.flatMap(({ name }) => {
      try {
        return [link([name], complete)];
      } catch {
        return [];
      }
    });
    if (linked.length === 0) throw error;
    return createRegistry(...linked);
  }
}

/** Links the files of these names and all that they import. */
function link(names: readonly string[], files: Files): FileRegistry {
  return createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(names, files) }));
}

/**
 * Each file after all that it imports. Without recursion, for a chain of imports may be of any length.
 *
 * @throws Error for files that import each other, or what isn't there
 */
function importsFirst(names: readonly string[], files: Files): FileDescriptorProto[] {
  const sorted = new Map<string, FileDescriptorProto>();
  const open = new Set<string>();
  const stack = [...names].reverse().map((name) => ({ name, importer: "" }));
  for (let next = stack.at(-1); next !== undefined; next = stack.at(-1)) {
    const { name, importer } = next;
    const file = files.get(name) ?? wellKnown.get(name)?.proto;
    if (file === undefined) throw new Error(`"${name}", imported by "${importer}", isn't there`);
    const waiting = sorted.has(name) ? [] : file.dependency.filter((dependency) => !sorted.has(dependency));
    if (waiting.length === 0) {
      sorted.set(name, file);
      open.delete(name);
      stack.pop();
    } else {
      if (open.has(name)) throw new Error(`"${name}" imports itself, by way of "${waiting[0]}"`);
      open.add(name);
      for (const dependency of waiting) stack.push({ name: dependency, importer: name });
    }
  }
  return [...sorted.values()];
}
