/** Replies that the layout `merge` joined, as a client reads them. */
import { create, type DescField, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { Status } from "../gen/google/rpc/status_pb.ts";
import { type MergeFields, siderolabs } from "../layout/merge-fields.ts";
import { errorOfStatus, errorOfText } from "./errors.ts";
import { freeName } from "./free-name.ts";

/** Whose an element is, and the error where it stands for a failed leg. */
export interface Origin {
  /** "" where it says nothing: the call was not fanned out. */
  readonly backend: string;
  readonly error?: ConnectError;
}

/** Reads the metadata of an element, or of a message of a stream. */
export function originOf(schema: DescMessage, element: Message, fields: MergeFields = siderolabs): Origin {
  const metadata = fieldOf(schema, element, fields.metadata);
  if (metadata?.field.message === undefined || metadata.value === undefined) return { backend: "" };
  const part = (number: number | undefined) =>
    number === undefined ? undefined : fieldOf(metadata.field.message!, metadata.value as Message, number)?.value;
  const backend = String(part(fields.hostname) ?? "");
  const [text, status] = [part(fields.error), part(fields.status) as Status | undefined];
  if (status !== undefined && status.code !== 0) return { backend, error: errorOfStatus(status) };
  return typeof text === "string" && text !== "" ? { backend, error: errorOfText(text) } : { backend };
}

/**
 * What each backend answered: a reply with its own elements, metadata and all, or its error.
 *
 * @param fields default those of siderolabs/grpc-proxy
 */
export function mergedByBackend<Desc extends DescMessage>(
  schema: Desc,
  reply: MessageShape<Desc>,
  fields: MergeFields = siderolabs,
): Map<string, MessageShape<Desc> | ConnectError> {
  const answers = new Map<string, MessageShape<Desc> | ConnectError>();
  const replies = new Map<string, MessageShape<Desc>>();
  for (const field of schema.fields) {
    if (field.fieldKind !== "list" || field.listKind !== "message") continue;
    for (const element of valueOf(reply, field) as Message[]) {
      const { backend, error } = originOf(field.message, element, fields);
      if (error !== undefined) {
        answers.set(freeName(answers, backend), error);
        continue;
      }
      let own = replies.get(backend);
      if (own === undefined) {
        own = create(schema);
        replies.set(backend, own);
        answers.set(freeName(answers, backend), own);
      }
      (valueOf(own, field) as Message[]).push(element);
    }
  }
  return answers;
}

function fieldOf(
  schema: DescMessage,
  message: Message,
  number: number,
): { field: DescField; value: unknown } | undefined {
  const field = schema.fields.find((one) => one.number === number);
  return field === undefined ? undefined : { field, value: valueOf(message, field) };
}

function valueOf(message: Message, field: DescField): unknown {
  return (message as unknown as Record<string, unknown>)[field.localName];
}
