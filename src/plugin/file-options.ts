/** Options of a file that its fan-outs share: the package is the same, so the languages' names of it have to be. */
import { create, type DescFile } from "@bufbuild/protobuf";
import { type FileOptions, FileOptionsSchema } from "@bufbuild/protobuf/wkt";

/** Those that name the package in some language, or how code for it is made. */
const sharedOptions = [
  "csharpNamespace",
  "goPackage",
  "javaMultipleFiles",
  "javaPackage",
  "objcClassPrefix",
  "optimizeFor",
  "phpClassPrefix",
  "phpMetadataNamespace",
  "phpNamespace",
  "rubyPackage",
  "swiftPrefix",
] as const satisfies readonly (keyof FileOptions)[];

/**
 * The options of the generated file; undefined where there are none.
 *
 * @param name of the generated file, without its extension
 */
export function fileOptionsOf(source: DescFile, name: string): FileOptions | undefined {
  const given = source.proto.options;
  if (given === undefined) return undefined;
  const options = create(FileOptionsSchema);
  for (const key of sharedOptions) {
    if (Object.hasOwn(given, key)) Object.assign(options, { [key]: given[key] });
  }
  // Java's name of the file itself: the same would be there twice.
  if (Object.hasOwn(given, "javaOuterClassname")) options.javaOuterClassname = `${pascalCase(name)}Proto`;
  if (given.deprecated) options.deprecated = true;
  return options;
}

function pascalCase(path: string): string {
  const base = path.slice(path.lastIndexOf("/") + 1);
  return base.replaceAll(/(?:^|[^a-zA-Z0-9]+)([a-zA-Z0-9]?)/g, (_, first: string) => first.toUpperCase());
}
