/** Problems with what was given, at the places where they are. */
import type { AnyDesc } from "@bufbuild/protobuf";
import { getComments } from "@bufbuild/protoplugin";

/** Something that has a place in a file. */
export type Place = Exclude<AnyDesc, { kind: "file" }>;

/** All that is wrong with the source. Its message is what the user gets: a line for each problem. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** "acme/v1/node.proto:12:3", counted from 1; without numbers where the source is not known. */
function placeOf(desc: Place): string {
  const { sourcePath } = getComments(desc);
  const { proto } =
    desc.kind === "enum_value" || desc.kind === "field" || desc.kind === "oneof" || desc.kind === "rpc"
      ? desc.parent.file
      : desc.file;
  const location = proto.sourceCodeInfo?.location.find(
    ({ path }) => path.length === sourcePath.length && path.every((part, at) => part === sourcePath[at]),
  );
  const [line, column] = location?.span ?? [];
  return line === undefined || column === undefined ? proto.name : `${proto.name}:${line + 1}:${column + 1}`;
}

/** "acme/v1/node.proto:12:3: what is wrong". */
export function problemAt(desc: Place, message: string): string {
  return `${placeOf(desc)}: ${message}`;
}
