/** Messages between the supervisor and its workers: what can be asked, and how files and errors travel as JSON. */
import type { FileContents } from "../../config/files.ts";
import type { Family } from "../../observe/exposition.ts";

/** What a worker is asked, and what it answers with. */
export interface Questions {
  /** Listen, as these files say. Answer: where. */
  start: { files: FileList; disabled: readonly (readonly [upstream: string, endpoint: string])[] };
  /** Go on as these files say. Answer: where it listens now. */
  apply: { files: FileList };
  families: object;
  upstreams: object;
  enable: { upstream: string; endpoint: string; enabled: boolean };
}

export type Question = keyof Questions;

export type ToWorker =
  | { [Name in Question]: { readonly type: Name; readonly id: number } & Questions[Name] }[Question]
  /** End in order: with the whole server, or because another takes its place. */
  | { readonly type: "close"; readonly replaced: boolean }
  | { readonly type: "closeNow" };

export type FromWorker =
  /** It ends now, and had counted this. */
  | { readonly type: "last"; readonly families: readonly Family[] }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "failure"; readonly id: number; readonly error: object };

/** Contents in base64; null for files that can't be read. */
export type FileList = readonly (readonly [path: string, content: string | null])[];

export function fileList(contents: FileContents): FileList {
  return [...contents].map(([path, bytes]) => [
    path,
    bytes === undefined ? null : Buffer.from(bytes).toString("base64"),
  ]);
}

export function contentsOf(files: FileList): FileContents {
  return new Map(files.map(([path, content]) => [path, content === null ? undefined : Buffer.from(content, "base64")]));
}

/** The message, the stack and what a system's error tells. */
export function errorFields(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  return { ...error, name: error.name, message: error.message, stack: error.stack };
}

export function errorOf(fields: object): Error {
  return Object.assign(new Error("a worker failed"), fields);
}
