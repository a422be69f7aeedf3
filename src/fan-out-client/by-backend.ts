/** `byBackend()`: a reply of many backends, taken apart by their names. */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { MergeFields } from "../layout/merge-fields.ts";
import { freeName } from "./free-name.ts";
import { legsOf, type WrappedLeg } from "./leg.ts";
import { mergedByBackend } from "./merged.ts";

/** What each backend answered, or the error that it failed with, in the order of the reply. */
export type Answers<Reply> = Map<string, Reply | ConnectError>;

/** Takes replies apart: those that protoc-gen-manifold calls `...FanOut`, and messages that `merge` joined, `Merged`. */
export interface ByBackend<Merged extends Message> {
  <Reply extends Merged>(reply: Reply): Answers<Reply>;
  <Reply>(reply: { legs: readonly WrappedLeg<Reply>[] }): Answers<Reply>;
}

/** How to read a message that `merge` joined. */
export interface MergedReply {
  readonly schema: DescMessage;
  readonly fields: MergeFields;
}

/**
 * What each backend answered, or the error that it failed with. Nothing is left out: of two legs with one name the second has
 * " (2)" behind it, and so on. Merged elements don't say which leg of a name they are of: these are one answer.
 */
export const byBackend: ByBackend<never> = byBackendWith<never>([]);

/** A `byBackend()` that knows messages that `merge` joins. */
export function byBackendWith<Merged extends Message>(merged: readonly MergedReply[]): ByBackend<Merged> {
  const read = (reply: Message | { legs: readonly WrappedLeg<unknown>[] }): Answers<unknown> => {
    const known = merged.find(({ schema }) => "$typeName" in reply && schema.typeName === reply.$typeName);
    if (known !== undefined) return mergedByBackend(known.schema, reply as Message, known.fields);
    const answers: Answers<unknown> = new Map();
    for (const { backend, reply: answer, error } of legsOf(reply as { legs: readonly WrappedLeg<unknown>[] })) {
      answers.set(freeName(answers, backend), error ?? answer);
    }
    return answers;
  };
  return read as ByBackend<Merged>;
}
