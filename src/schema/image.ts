/** A schema from a file: a Buf image or a FileDescriptorSet, binary or JSON, gzipped or not. */
import { fromBinary, fromJsonString, type Registry } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { decompress } from "../compress/compress.ts";
import { filesByName, linkFiles } from "./files.ts";
import { methodsOf, type Schema } from "./schema.ts";

/** The largest image there may be in a gzipped file: about ten times all of Google's APIs. */
const maxImage = 256 << 20;

/**
 * Reads an image, as `buf build -o api.binpb` (or .json, each with .gz) and `protoc --include_imports -o api.binpb` write it. The bytes
 * tell which it is, whatever the file is called.
 *
 * @param bytes the file
 * @throws Error with one line that says why it can't be used: not an image, without services, without its imports
 */
export function schemaOfImage(bytes: Uint8Array): Schema {
  return schemaOfTypes(typesOfImage(bytes));
}

/**
 * The same for types that have been read already.
 *
 * @throws Error if there are no services
 */
export function schemaOfTypes(types: Registry): Schema {
  const methods = methodsOf(types);
  if (methods.size === 0) throw new Error("it has no services");
  return { method: (path) => methods.get(path), methods: () => methods.values() };
}

/**
 * All types of an image.
 *
 * @throws Error as `schemaOfImage`
 */
export function typesOfImage(bytes: Uint8Array): Registry {
  return linkFiles(filesByName(parse(unzip(bytes)).file));
}

function unzip(bytes: Uint8Array): Uint8Array {
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return gzipped ? decompress("gzip", bytes, maxImage) : bytes;
}

/** A binary set begins with the tag of its first file, 0x0a, which JSON takes for a line end: so the brace has to come. */
function parse(bytes: Uint8Array): FileDescriptorSet {
  const isJson = /^\s*\{/.test(new TextDecoder().decode(bytes.subarray(0, 64)));
  try {
    if (!isJson) return fromBinary(FileDescriptorSetSchema, bytes);
    // Buf's own fields, and options that only their makers know, are unknown here.
    return fromJsonString(FileDescriptorSetSchema, new TextDecoder().decode(bytes), { ignoreUnknownFields: true });
  } catch (error) {
    throw new Error(`it is no Buf image or FileDescriptorSet: ${(error as Error).message}`, { cause: error });
  }
}
