/** Whether messages are such as the layout `merge` can join: told by their descriptors, before any call. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { MergeFields } from "./merge-fields.ts";

/** What is wrong with a message, and with which part of it. */
export interface ShapeProblem {
  readonly where: DescField | DescMessage;
  readonly message: string;
}

/**
 * Looks for what joining would lose or garble: singular fields at the top of a reply, elements that can't say where they come from.
 *
 * @param reply what the method answers with
 * @param stream it answers with a stream of these: then each is an element
 * @returns nothing where all is well
 */
export function mergeProblems(reply: DescMessage, stream: boolean, fields: MergeFields): ShapeProblem[] {
  if (stream) return elementProblems(reply, fields);
  const problems = reply.fields.flatMap((field) => topProblems(field, fields));
  if (!reply.fields.some(({ number }) => number === fields.element)) {
    problems.push({ where: reply, message: `${reply.typeName} has no field ${fields.element}, where failed legs go` });
  }
  return problems;
}

function topProblems(field: DescField, fields: MergeFields): ShapeProblem[] {
  const problem = (why: string) => [{ where: field, message: `${nameOf(field)} ${why}` }];
  switch (field.fieldKind) {
    case "map":
      return problem("is a map: entries with the same key would replace each other");
    case "list":
      if (field.listKind !== "message")
        return problem("is a list of no messages: its values can't say where they come from");
      if (field.delimitedEncoding) return problem("is a list of groups, which can't be annotated");
      return elementProblems(field.message, fields);
    default:
      return problem("is singular: of all replies the last one's value would be left");
  }
}

function elementProblems(element: DescMessage, { metadata, hostname, error, status }: MergeFields): ShapeProblem[] {
  const field = element.fields.find(({ number }) => number === metadata);
  const problem = (where: DescField | DescMessage, message: string) => [{ where, message }];
  if (field === undefined) return problem(element, `${element.typeName} has no field ${metadata} for its metadata`);
  if (field.fieldKind !== "message" || field.delimitedEncoding || field.oneof !== undefined) {
    return problem(field, `${nameOf(field)} is no singular message: its metadata can't go there`);
  }
  const of = field.message;
  return [
    ...partProblems(of, hostname, "the name of the endpoint", isString),
    ...partProblems(of, error, "the error", isString),
    ...(status === undefined ? [] : partProblems(of, status, "the status", isStatus)),
  ];
}

function partProblems(
  of: DescMessage,
  number: number,
  what: string,
  fits: (field: DescField) => string | undefined,
): ShapeProblem[] {
  const field = of.fields.find((one) => one.number === number);
  if (field === undefined) return [{ where: of, message: `${of.typeName} has no field ${number} for ${what}` }];
  const wanted = field.oneof === undefined ? fits(field) : "a field outside of a oneof";
  return wanted === undefined
    ? []
    : [{ where: field, message: `${nameOf(field)} has to be ${wanted}: it is for ${what}` }];
}

/** ScalarType.STRING */
const stringType = 9;

function isString(field: DescField): string | undefined {
  return field.fieldKind === "scalar" && field.scalar === stringType ? undefined : "a string";
}

function isStatus(field: DescField): string | undefined {
  const fits =
    field.fieldKind === "message" && field.message.typeName === "google.rpc.Status" && !field.delimitedEncoding;
  return fits ? undefined : "a google.rpc.Status";
}

function nameOf(field: DescField): string {
  return `field "${field.name}" of ${field.parent.typeName}`;
}
