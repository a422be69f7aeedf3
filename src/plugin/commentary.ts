/** Comments of a generated file, where a descriptor has them: by the path to what they are about. */
import { create } from "@bufbuild/protobuf";
import { type SourceCodeInfo_Location, SourceCodeInfo_LocationSchema } from "@bufbuild/protobuf/wkt";

/** Numbers of the fields of google/protobuf/descriptor.proto that a path is made of. */
const steps = { syntax: 12, message: 4, field: 2, service: 6, method: 2 } as const;

type Step = keyof typeof steps;

export class Commentary {
  readonly locations: SourceCodeInfo_Location[] = [];

  /** Adds a comment: paragraphs, of which some may be absent. */
  add(path: readonly (Step | number)[], paragraphs: readonly (string | undefined)[]): void {
    const text = paragraphs.map((one) => clean(one ?? "")).filter((one) => one !== "");
    if (text.length === 0) return;
    const numbers = path.map((step) => (typeof step === "number" ? step : steps[step]));
    this.locations.push(
      create(SourceCodeInfo_LocationSchema, {
        path: numbers,
        span: [0, 0, 0],
        leadingComments: `${text.join("\n\n")}\n`,
      }),
    );
  }

  /** Adds comments that stand alone before something. */
  addDetached(before: Step, comments: readonly string[]): void {
    if (comments.length === 0) return;
    this.locations.push(
      create(SourceCodeInfo_LocationSchema, {
        path: [steps[before]],
        span: [0, 0, 0],
        leadingDetachedComments: [...comments],
      }),
    );
  }
}

/** Without what linters were told of the source, and with one space before each line. */
function clean(comment: string): string {
  const lines = comment.split("\n").filter((line) => !/^\s*buf:lint:ignore\b/.test(line));
  const text = lines.join("\n").replace(/^\n+/, "").trimEnd();
  const indented = lines.filter((line) => line.trim() !== "").every((line) => line.startsWith(" "));
  return indented ? text : text.replaceAll(/^(?=.)/gm, " ");
}
